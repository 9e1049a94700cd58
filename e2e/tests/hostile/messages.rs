//! Messages, right and wrong ones.

use ipfix::{Element, FieldSpec, MessageBuilder, Protocol, Template};

/// Seconds since 1970 in all of them: nothing depends on it.
pub const EXPORT_TIME: u32 = 1_700_000_000;

/// Octets, packets, a source address: 20 bytes a record.
pub fn template(id: u16) -> Template {
    let field = |id, length| FieldSpec::new(Element::iana(id), length);
    Template::new(id, 0, vec![field(1, 8), field(2, 8), field(8, 4)])
}

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

/// An exporter that numbers its messages.
pub struct Exporter {
    builder: MessageBuilder,
    sequence: u32,
}

impl Exporter {
    pub fn new(domain: u32) -> Exporter {
        Exporter { builder: MessageBuilder::new(Protocol::Ipfix, domain), sequence: 0 }
    }

    /// One message.
    pub fn message(&mut self, fill: impl FnOnce(&mut MessageBuilder)) -> Vec<u8> {
        self.builder.begin(EXPORT_TIME, self.sequence);
        fill(&mut self.builder);
        self.sequence += self.builder.data_records();
        self.builder.finish().unwrap().to_vec()
    }

    /// A template and records of it.
    pub fn template_and_records(&mut self, id: u16, records: u32) -> Vec<u8> {
        self.message(|builder| {
            builder.template(&template(id));
            put_records(builder, id, records);
        })
    }

    /// Records of a template that went before.
    pub fn records(&mut self, id: u16, records: u32) -> Vec<u8> {
        self.message(|builder| put_records(builder, id, records))
    }
}

pub fn put_records(builder: &mut MessageBuilder, id: u16, records: u32) {
    builder.begin_data(id);
    for number in 0..records {
        builder.put_u64(100);
        builder.put_u64(1);
        builder.put_u32(0x0a00_0000 + number);
        builder.end_record();
    }
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
