//! A journal in a directory of its own, filled without a network.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crds::Transport;
use ipfix::{Element, FieldSpec, MessageBuilder, Protocol, Template};
use receiver::journal::{
    Fsync, Hole, Journal, JournalReader, JournalWriter, Kind, Options, Position, Quota, Recovered,
};
use receiver::sessions::{Messages, Peer};

pub fn options(segment_bytes: u64) -> Options {
    Options { segment_bytes, fsync: Fsync::Never, keep_after_commit: Duration::ZERO }
}

pub fn open(dir: &Path, segment_bytes: u64) -> Arc<Journal> {
    Journal::open(dir, options(segment_bytes), Quota::new(1 << 30)).unwrap()
}

pub fn recover(journal: &Arc<Journal>, floor: Recovered) -> (JournalWriter, Recovered) {
    JournalWriter::recover(journal.clone(), floor, Arc::new(AtomicBool::new(true))).unwrap()
}

pub fn writer(journal: &Arc<Journal>) -> JournalWriter {
    recover(journal, Recovered::default()).0
}

pub fn peer(port: u16, transport: Transport) -> Peer {
    Peer { address: SocketAddr::from(([192, 0, 2, 1], port)), transport }
}

/// Appends a frame as a listener does; `messages` are whole ones.
pub fn append(writer: &mut JournalWriter, kind: Kind, session: u64, messages: &[Vec<u8>]) -> u64 {
    let payload: Vec<u8> = match kind {
        Kind::Datagrams => messages.iter().flat_map(|message| prefixed(message)).collect(),
        _ => messages.concat(),
    };
    append_raw(writer, kind, session, messages.len() as u32, &payload)
}

pub fn append_raw(writer: &mut JournalWriter, kind: Kind, session: u64, count: u32, payload: &[u8]) -> u64 {
    assert!(writer.has_room(payload.len()));
    let arrival = writer.next_arrival();
    writer.sessions.touch(session, arrival);
    for message in Messages::of(kind, payload) {
        writer.sessions.learn(session, &message, arrival);
    }
    writer.append(kind, session, count, arrival, &[payload]).unwrap()
}

fn prefixed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_le_bytes()[..], message].concat()
}

/// Number, arrival, payload.
pub type ReadFrame = (u64, u64, Vec<u8>);

/// What a reader brings from a position to the end.
pub fn read_from(journal: &Arc<Journal>, position: Position) -> (Vec<ReadFrame>, Vec<Hole>) {
    let mut reader = JournalReader::at(journal.clone(), position);
    let (mut frames, mut holes) = (Vec::new(), Vec::new());
    while let Some(next) = reader.read(u64::MAX, &mut holes).unwrap() {
        frames.push((next.header.number, next.header.arrival_us, reader.payload().to_vec()));
    }
    (frames, holes)
}

pub fn read_all(journal: &Arc<Journal>) -> (Vec<ReadFrame>, Vec<Hole>) {
    let first = journal.segment_starts().first().copied().unwrap_or(1);
    read_from(journal, Position { segment: first, offset: 0, number: first })
}

/// sourceIPv4Address and octetDeltaCount, and a third field whose length tells templates apart.
pub fn template(id: u16, width: u16) -> Template {
    let field = |element: u16, length: u16| FieldSpec::new(Element { pen: 0, id: element }, length);
    Template::new(id, 0, vec![field(8, 4), field(1, 8), field(2, width)])
}

/// A message of templates and data sets, in order.
pub struct Sender {
    pub protocol: Protocol,
    pub domain: u32,
    pub sequence: u32,
    pub octets: u64,
}

pub enum Part {
    Template(Template),
    /// Records of a template of [`template`]'s making: id, width of the third field, how many.
    Data(u16, u16, u32),
}

impl Sender {
    pub fn ipfix(domain: u32) -> Sender {
        Sender { protocol: Protocol::Ipfix, domain, sequence: 0, octets: 0 }
    }

    /// Every record's octets are a number of its own.
    pub fn message(&mut self, parts: &[Part]) -> Vec<u8> {
        let mut builder = MessageBuilder::new(self.protocol, self.domain);
        builder.begin(1_700_000_000, self.sequence);
        for part in parts {
            match part {
                Part::Template(template) => builder.template(template),
                Part::Data(id, width, records) => {
                    builder.begin_data(*id);
                    for _ in 0..*records {
                        self.octets += 1;
                        builder.put_u32(0x0a00_0001);
                        builder.put_u64(self.octets);
                        builder.put_uint(7, usize::from(*width));
                        builder.end_record();
                    }
                }
            }
        }
        let records = builder.data_records();
        let message = builder.finish().unwrap().to_vec();
        self.sequence = match self.protocol {
            Protocol::Ipfix => self.sequence.wrapping_add(records),
            Protocol::NetflowV9 => self.sequence.wrapping_add(1),
        };
        message
    }
}
