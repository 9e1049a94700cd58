//! The smallest exporter: messages made one by one, for tests that decide what is sent when. It has no
//! connection of its own.

use ipfix::{Element, FieldSpec, MessageBuilder, Protocol, Template};

/// Seconds since 1970 in all messages: nothing depends on it.
pub const EXPORT_TIME: u32 = 1_700_000_000;

/// Octets, packets, a source address: 20 bytes a record.
pub fn template(id: u16) -> Template {
    let field = |id, length| FieldSpec::new(Element::iana(id), length);
    Template::new(id, 0, vec![field(1, 8), field(2, 8), field(8, 4)])
}

/// A data set with so many records of [`template`].
pub fn put_records(builder: &mut MessageBuilder, id: u16, records: u32) {
    builder.begin_data(id);
    for number in 0..records {
        builder.put_u64(100);
        builder.put_u64(1);
        builder.put_u32(0x0a00_0000 + number);
        builder.end_record();
    }
}

/// An exporter that numbers its messages.
pub struct Exporter {
    builder: MessageBuilder,
    /// The next message's sequence number.
    pub sequence: u32,
}

impl Exporter {
    /// One that has sent nothing yet in an observation domain.
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
