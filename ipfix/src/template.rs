//! Templates: which fields a record has, in which order and how long; and how they are read.
//!
//! A template here is a checked description and nothing else: where it is valid and for how long is
//! the business of [`crate::cache`]. Reading one never allocates more than the given limit allows,
//! whatever number of fields it announces.

use nom::combinator::cond;
use nom::multi::count;
use nom::number::complete::{be_u16, be_u32};
use nom::{IResult, Parser};

use crate::element::Element;
use crate::message::Protocol;

/// The field length that means: each record says how long its value is (RFC 7011 section 7).
///
/// NetFlow v9 knows no variable lengths, but a field of 65,535 bytes fits in no packet either, so
/// that reading it as a variable one takes nothing away.
pub const VARIABLE: u16 = u16::MAX;

/// The bit of a field's id that says that an enterprise number follows (RFC 7011 section 3.2).
pub(crate) const ENTERPRISE_BIT: u16 = 0x8000;

/// The lowest template id; the ids below are those of the sets.
pub const MIN_TEMPLATE_ID: u16 = 256;

/// One field of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// What the field means.
    pub element: Element,
    /// Its length in bytes, or [`VARIABLE`].
    pub length: u16,
}

impl FieldSpec {
    /// A field of fixed length.
    pub const fn new(element: Element, length: u16) -> Self {
        Self { element, length }
    }

    /// A field of variable length.
    pub const fn variable(element: Element) -> Self {
        Self { element, length: VARIABLE }
    }

    /// Whether each record says how long its value is.
    pub const fn is_variable(self) -> bool {
        self.length == VARIABLE
    }

    /// The fewest bytes that the field takes in a record.
    pub fn min_len(self) -> usize {
        if self.is_variable() { 1 } else { usize::from(self.length) }
    }
}

/// A template or an options template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The id that data sets refer to, 256 or more.
    pub id: u16,
    /// How many of the first fields are scope fields; 0 means that it is no options template.
    pub scope_count: u16,
    /// The fields in the order of the record.
    pub fields: Vec<FieldSpec>,
    min_record_len: usize,
}

impl Template {
    /// A template of these fields.
    pub fn new(id: u16, scope_count: u16, fields: Vec<FieldSpec>) -> Self {
        let min_record_len = fields.iter().map(|field| field.min_len()).sum();
        Self { id, scope_count, fields, min_record_len }
    }

    /// Whether this is an options template.
    pub fn is_options(&self) -> bool {
        self.scope_count > 0
    }

    /// The fewest bytes that a record has. 0 if every field is empty: such records cannot be counted.
    pub fn min_record_len(&self) -> usize {
        self.min_record_len
    }

    /// The bytes that the template takes in an IPFIX message; limits are counted in them.
    pub fn wire_len(&self) -> usize {
        let header = if self.is_options() { 6 } else { 4 };
        let fields: usize = self.fields.iter().map(|field| if field.element.pen == 0 { 4 } else { 8 }).sum();
        header + fields
    }
}

/// One record of a template set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TemplateRecord {
    Definition(Template),
    /// Of one template, or of all if the id is that of the set (RFC 7011 section 8.1).
    Withdrawal(u16),
    /// More fields than allowed; they were skipped.
    TooManyFields,
    /// Its length is known, so that the next one can be read, but it makes no sense.
    Invalid,
}

/// What stands before the fields.
struct RecordHeader {
    id: u16,
    scope_count: u16,
    field_count: u16,
    /// Whether the numbers can be those of a template.
    valid: bool,
}

/// Reads one record of a template set (`options`: of an options template set). Fails if the set
/// ends before the record does.
pub(crate) fn template_record(
    protocol: Protocol,
    options: bool,
    max_fields: usize,
    input: &[u8],
) -> IResult<&[u8], TemplateRecord> {
    let (input, header) = match protocol {
        Protocol::Ipfix => ipfix_record_header(options, input)?,
        Protocol::NetflowV9 => v9_record_header(options, input)?,
    };
    let field_count = usize::from(header.field_count);
    if protocol == Protocol::Ipfix && field_count == 0 {
        return Ok((input, TemplateRecord::Withdrawal(header.id)));
    }
    if field_count > max_fields {
        // The set may well end before the announced fields do: nothing can follow then.
        let rest = skip_fields(protocol, field_count, input).unwrap_or_default();
        return Ok((rest, TemplateRecord::TooManyFields));
    }
    let (input, mut fields) = count(|input| field_spec(protocol, input), field_count).parse(input)?;
    if !header.valid || header.id < MIN_TEMPLATE_ID {
        return Ok((input, TemplateRecord::Invalid));
    }
    if protocol == Protocol::NetflowV9 {
        for field in fields.iter_mut().take(usize::from(header.scope_count)) {
            field.element = Element::v9_scope(field.element.id);
        }
    }
    Ok((input, TemplateRecord::Definition(Template::new(header.id, header.scope_count, fields))))
}

/// RFC 7011 sections 3.4.1 and 3.4.2.2. A withdrawal ends after the count of 0, in options template
/// sets too.
fn ipfix_record_header(options: bool, input: &[u8]) -> IResult<&[u8], RecordHeader> {
    let (input, (id, field_count)) = (be_u16, be_u16).parse(input)?;
    let (input, scope_count) = cond(options && field_count > 0, be_u16).parse(input)?;
    let scope_count = scope_count.unwrap_or(0);
    let valid = (scope_count > 0) == options && scope_count <= field_count;
    Ok((input, RecordHeader { id, scope_count, field_count, valid }))
}

/// RFC 3954 sections 5.2 and 6.1; options templates state bytes instead of fields.
fn v9_record_header(options: bool, input: &[u8]) -> IResult<&[u8], RecordHeader> {
    let (input, (id, first)) = (be_u16, be_u16).parse(input)?;
    if !options {
        let header = RecordHeader { id, scope_count: 0, field_count: first, valid: first > 0 };
        return Ok((input, header));
    }
    let (input, option_bytes) = be_u16(input)?;
    let valid = first > 0 && first.is_multiple_of(4) && option_bytes.is_multiple_of(4);
    let (scope_count, option_count) = (first / 4, option_bytes / 4);
    Ok((input, RecordHeader { id, scope_count, field_count: scope_count + option_count, valid }))
}

/// One field; NetFlow v9 has no enterprise bit, there ids go up to 65,535.
fn field_spec(protocol: Protocol, input: &[u8]) -> IResult<&[u8], FieldSpec> {
    let (input, (id, length)) = (be_u16, be_u16).parse(input)?;
    if protocol == Protocol::NetflowV9 || id & ENTERPRISE_BIT == 0 {
        return Ok((input, FieldSpec::new(Element::iana(id), length)));
    }
    let (input, pen) = be_u32(input)?;
    Ok((input, FieldSpec::new(Element { pen, id: id & !ENTERPRISE_BIT }, length)))
}

fn skip_fields(protocol: Protocol, field_count: usize, mut input: &[u8]) -> Option<&[u8]> {
    for _ in 0..field_count {
        (input, _) = field_spec(protocol, input).ok()?;
    }
    Some(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(protocol: Protocol, options: bool, input: &[u8]) -> Option<(usize, TemplateRecord)> {
        let (rest, record) = template_record(protocol, options, 100, input).ok()?;
        Some((rest.len(), record))
    }

    #[test]
    fn an_ipfix_template_with_an_enterprise_element() {
        let bytes = [1, 0, 0, 2, 0, 8, 0, 4, 0x87, 0xd3, 0xff, 0xff, 0, 0, 0xab, 0x2f, 9];
        let fields =
            vec![FieldSpec::new(Element::iana(8), 4), FieldSpec::variable(Element::vas_experts(2003))];
        let template = Template::new(256, 0, fields);
        assert_eq!((template.min_record_len(), template.wire_len()), (5, 16));
        assert_eq!(parse(Protocol::Ipfix, false, &bytes), Some((1, TemplateRecord::Definition(template))));
        for end in 0..16 {
            assert_eq!(parse(Protocol::Ipfix, false, &bytes[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn options_templates_have_scopes() {
        let bytes = [1, 1, 0, 2, 0, 1, 0, 149, 0, 4, 0, 41, 0, 8];
        let fields = vec![FieldSpec::new(Element::iana(149), 4), FieldSpec::new(Element::iana(41), 8)];
        let template = Template::new(257, 1, fields);
        assert!(template.is_options());
        assert_eq!(parse(Protocol::Ipfix, true, &bytes), Some((0, TemplateRecord::Definition(template))));

        let bytes = [1, 1, 0, 4, 0, 4, 0, 1, 0, 4, 0, 41, 0, 8];
        let fields = vec![FieldSpec::new(Element::v9_scope(1), 4), FieldSpec::new(Element::iana(41), 8)];
        let template = Template::new(257, 1, fields);
        assert_eq!(parse(Protocol::NetflowV9, true, &bytes), Some((0, TemplateRecord::Definition(template))));
    }

    #[test]
    fn v9_has_no_enterprise_bit() {
        let bytes = [1, 0, 0, 1, 0x87, 0xd3, 0, 4];
        let template = Template::new(256, 0, vec![FieldSpec::new(Element::iana(0x87d3), 4)]);
        assert_eq!(
            parse(Protocol::NetflowV9, false, &bytes),
            Some((0, TemplateRecord::Definition(template)))
        );
    }

    #[test]
    fn withdrawals_are_ipfix_only() {
        for options in [false, true] {
            let record = parse(Protocol::Ipfix, options, &[1, 0, 0, 0, 7]);
            assert_eq!(record, Some((1, TemplateRecord::Withdrawal(256))));
        }
        let record = parse(Protocol::NetflowV9, false, &[1, 0, 0, 0]);
        assert_eq!(record, Some((0, TemplateRecord::Invalid)));
    }

    #[test]
    fn senseless_templates_are_skipped() {
        let low_id = [0, 255, 0, 1, 0, 1, 0, 4, 9];
        assert_eq!(parse(Protocol::Ipfix, false, &low_id), Some((1, TemplateRecord::Invalid)));
        let no_scope = [1, 0, 0, 1, 0, 0, 0, 1, 0, 4, 9];
        assert_eq!(parse(Protocol::Ipfix, true, &no_scope), Some((1, TemplateRecord::Invalid)));
        let more_scopes_than_fields = [1, 0, 0, 1, 0, 2, 0, 1, 0, 4, 9];
        assert_eq!(
            parse(Protocol::Ipfix, true, &more_scopes_than_fields),
            Some((1, TemplateRecord::Invalid))
        );
        let half_a_field = [1, 0, 0, 4, 0, 2, 0, 1, 0, 4];
        assert_eq!(parse(Protocol::NetflowV9, true, &half_a_field), Some((0, TemplateRecord::Invalid)));
    }

    #[test]
    fn too_many_fields_are_skipped_not_stored() {
        let mut bytes = vec![1, 0, 0, 101];
        bytes.extend([0, 1, 0, 4].repeat(101));
        bytes.push(9);
        assert_eq!(parse(Protocol::Ipfix, false, &bytes), Some((1, TemplateRecord::TooManyFields)));
        let announced_only = [1, 0, 0xff, 0xff, 0, 1, 0, 4];
        assert_eq!(parse(Protocol::Ipfix, false, &announced_only), Some((0, TemplateRecord::TooManyFields)));
    }
}
