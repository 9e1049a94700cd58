//! Messages, right and wrong ones.

pub use e2e::exporter::{EXPORT_TIME, Exporter, put_records, template};
use ipfix::{Element, FieldSpec, Template};

/// Of another stream, clickstream: none of its fields is one of fullflow's.
pub fn foreign_template(id: u16) -> Template {
    let vendor = Element::vas_experts;
    Template::new(
        id,
        0,
        vec![
            FieldSpec::new(vendor(1001), 4),
            FieldSpec::variable(vendor(1002)),
            FieldSpec::new(vendor(1003), 4),
            FieldSpec::variable(vendor(1005)),
        ],
    )
}

/// Bytes behind the last set of a message, counted in its length.
pub fn append(mut message: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    message.extend_from_slice(bytes);
    let length = message.len() as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    message
}

/// A message header that says what it likes.
pub fn header(version: u16, length: u16) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend_from_slice(&version.to_be_bytes());
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(&EXPORT_TIME.to_be_bytes());
    header.extend_from_slice(&[0; 8]);
    header
}
