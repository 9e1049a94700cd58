//! Templates as bytes: what stands at the head of each journal segment.
//!
//! Layout, all numbers big-endian: version (1 byte), number of templates (4); for each template
//! domain (4), time of arrival in microseconds (8), id (2), scope fields (2), fields (2); for each
//! field enterprise number (4), id (2), length (2).

use nom::multi::count;
use nom::number::complete::{be_u8, be_u16, be_u32, be_u64};
use nom::{IResult, Parser};
use thiserror::Error;

use super::{Limits, TemplateCache};
use crate::element::Element;
use crate::template::{FieldSpec, Template};

const VERSION: u8 = 1;

/// Why bytes are no exported templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ImportError {
    /// Written by another version.
    #[error("templates were exported in layout {0}, only layout 1 is known")]
    Version(u8),
    /// Cut off, or with bytes left over.
    #[error("exported templates are damaged")]
    Damaged,
}

impl TemplateCache {
    /// Appends all templates, with the times of their arrival, to `out`.
    pub fn export(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&(self.entries.len() as u32).to_be_bytes());
        for (domain, template, received_at_us) in self.iter() {
            out.extend_from_slice(&domain.to_be_bytes());
            out.extend_from_slice(&received_at_us.to_be_bytes());
            out.extend_from_slice(&template.id.to_be_bytes());
            out.extend_from_slice(&template.scope_count.to_be_bytes());
            out.extend_from_slice(&(template.fields.len() as u16).to_be_bytes());
            for field in &template.fields {
                out.extend_from_slice(&field.element.pen.to_be_bytes());
                out.extend_from_slice(&field.element.id.to_be_bytes());
                out.extend_from_slice(&field.length.to_be_bytes());
            }
        }
    }

    /// Makes a cache of what [`Self::export`] wrote. All templates are taken over even if `limits`
    /// are narrower than those they were accepted under: what was decodable stays so. Memory is
    /// bounded by the length of `bytes`.
    ///
    /// # Errors
    /// If `bytes` are not exactly one export.
    pub fn import(limits: Limits, bytes: &[u8]) -> Result<Self, ImportError> {
        let (bytes, version) = damaged(be_u8(bytes))?;
        if version != VERSION {
            return Err(ImportError::Version(version));
        }
        let (mut rest, templates) = damaged(be_u32(bytes))?;
        let mut cache = Self::new(limits);
        for _ in 0..templates {
            let (after, (domain, received_at_us, template)) = damaged(exported_template(rest))?;
            cache.insert(domain, template, received_at_us);
            rest = after;
        }
        if rest.is_empty() { Ok(cache) } else { Err(ImportError::Damaged) }
    }
}

fn exported_template(input: &[u8]) -> IResult<&[u8], (u32, u64, Template)> {
    let (input, (domain, received_at_us)) = (be_u32, be_u64).parse(input)?;
    let (input, (id, scope_count, field_count)) = (be_u16, be_u16, be_u16).parse(input)?;
    let (input, fields) = count(exported_field, usize::from(field_count)).parse(input)?;
    Ok((input, (domain, received_at_us, Template::new(id, scope_count, fields))))
}

fn exported_field(input: &[u8]) -> IResult<&[u8], FieldSpec> {
    let (input, (pen, id, length)) = (be_u32, be_u16, be_u16).parse(input)?;
    Ok((input, FieldSpec::new(Element { pen, id }, length)))
}

/// The number parsers fail for one reason only: too few bytes.
fn damaged<T>(result: IResult<&[u8], T>) -> Result<(&[u8], T), ImportError> {
    result.map_err(|_| ImportError::Damaged)
}
