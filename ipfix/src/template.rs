//! Templates: which fields a record has, in which order and how long.
//!
//! A template here is a checked description and nothing else: where it is valid and for how long is
//! the business of [`crate::cache`].

use crate::element::Element;

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
