//! Fields that the vendor does not publish, declared by the user: they fill a column that is there, or get one
//! of their own. A declaration of the user's goes before ours; it must never change a column's type.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use ipfix::{Convert, Element};

use crate::stream::{ColumnDecl, ColumnType, Filled, FilledBy, Stream};

/// A field of a user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomElement {
    /// The element on the wire.
    pub element: Element,
    /// Its name, for the column's comment.
    pub name: String,
    /// The column that it fills.
    pub column: String,
    /// The column's type.
    pub column_type: ColumnType,
}

/// Why a field cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    /// The column has another type.
    #[error("column {stream}.{column} is {declared}, element {element} says {wanted}")]
    Type {
        /// The stream.
        stream: &'static str,
        /// The column.
        column: String,
        /// The element, `pen/id`.
        element: Element,
        /// Its type.
        declared: &'static str,
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// The column is computed, made by enrichment or says where a record came from.
    #[error("column {stream}.{column} is not filled by elements: name another for {element}")]
    NotFilled {
        /// The stream.
        stream: &'static str,
        /// The column.
        column: String,
        /// The element, `pen/id`.
        element: Element,
    },
}

impl Stream {
    /// The stream with fields of the user's own.
    ///
    /// # Errors
    /// A column of another type, or one that elements do not fill.
    pub fn with_elements(&self, elements: &[CustomElement]) -> Result<Stream, ElementError> {
        let mut stream = self.clone();
        for custom in elements {
            let from = FilledBy { element: custom.element, convert: Convert::Plain };
            let known = stream.columns.iter_mut().find(|column| column.name == custom.column);
            match known {
                Some(column) => fill(self.name, column, custom, from)?,
                None => stream.columns.push(new_column(custom, from)),
            }
        }
        Ok(stream)
    }
}

fn fill(
    stream: &'static str,
    column: &mut ColumnDecl,
    custom: &CustomElement,
    from: FilledBy,
) -> Result<(), ElementError> {
    let text = [ColumnType::Text, ColumnType::LowCardinalityText];
    let both_text = text.contains(&column.column_type) && text.contains(&custom.column_type);
    if column.column_type != custom.column_type && !both_text {
        return Err(ElementError::Type {
            stream,
            column: custom.column.clone(),
            element: custom.element,
            declared: column.column_type.sql(),
            wanted: custom.column_type.sql(),
        });
    }
    match &mut column.filled {
        Filled::Elements(elements) => elements.insert(0, from),
        Filled::Unpublished => column.filled = Filled::Elements(vec![from]),
        Filled::Constant(_) | Filled::Computed(_) | Filled::Enriched(_) => {
            return Err(ElementError::NotFilled {
                stream,
                column: custom.column.clone(),
                element: custom.element,
            });
        }
    }
    Ok(())
}

fn new_column(custom: &CustomElement, from: FilledBy) -> ColumnDecl {
    ColumnDecl {
        name: interned(&custom.column),
        column_type: custom.column_type,
        filled: Filled::Elements(vec![from]),
        codec: "ZSTD(1)",
        unit: "",
        comment: interned(&format!("{} ({}), declared in the collector", custom.name, custom.element)),
    }
}

/// Declarations live as long as the program. The same text is kept once, so reading the same configuration
/// again and again does not grow.
fn interned(text: &str) -> &'static str {
    static TEXTS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text) {
        return known;
    }
    let kept: &'static str = text.to_owned().leak();
    texts.insert(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dnsflow, gtpflow};

    fn custom(column: &str, column_type: ColumnType) -> CustomElement {
        CustomElement {
            element: Element::vas_experts(3316),
            name: "imsi".to_owned(),
            column: column.to_owned(),
            column_type,
        }
    }

    #[test]
    fn a_new_column_is_appended_and_a_known_one_is_filled() {
        let stream = gtpflow().with_elements(&[custom("imsi", ColumnType::Text)]).unwrap();
        let added = stream.columns.last().unwrap();
        assert_eq!((added.name, added.is_inserted()), ("imsi", true));
        assert_eq!(stream.wanted().len(), gtpflow().wanted().len() + 1);

        let stream = dnsflow().with_elements(&[custom("dns_host", ColumnType::Text)]).unwrap();
        assert_eq!(stream.columns.len(), dnsflow().columns.len());
        let host = stream.columns.iter().find(|column| column.name == "dns_host").unwrap();
        let Filled::Elements(elements) = &host.filled else { panic!("{host:?}") };
        assert_eq!(elements[0].element, Element::vas_experts(3316));
    }

    #[test]
    fn types_and_computed_columns_are_respected() {
        let wrong = gtpflow().with_elements(&[custom("cause", ColumnType::UInt64)]).unwrap_err();
        assert_eq!(wrong.to_string(), "column gtpflow.cause is UInt8, element 43823/3316 says UInt64");
        let computed = gtpflow().with_elements(&[custom("date", ColumnType::Date)]).unwrap_err();
        assert!(matches!(computed, ElementError::NotFilled { .. }));
        let origin = gtpflow().with_elements(&[custom("dpi_id", ColumnType::UInt16)]).unwrap_err();
        assert!(matches!(origin, ElementError::NotFilled { .. }));
    }
}
