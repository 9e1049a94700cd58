//! Decodes what arrives, field by field, with nothing but the template that came with it.

use std::collections::{BTreeMap, HashSet};

use ipfix::cache::{Limits, TemplateCache};
use ipfix::{Element, Protocol, SetKind, Sets, Template, parse_header};

/// The fields of a record that tests look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) octets: u64,
    pub(super) packets: u64,
    pub(super) session_id: u64,
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
    pub(super) ip_version: u64,
    pub(super) login: Vec<u8>,
    pub(super) host: Vec<u8>,
    pub(super) source_v4: u64,
    pub(super) destination_v4: u64,
    pub(super) input: u64,
    pub(super) deliver_time: u64,
}

/// A message's sequence number, and how many records it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) sequence: u32,
    pub(super) records: u32,
}

/// Everything that arrived.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) flows: Vec<Flow>,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) longest: usize,
    /// In the order of arrival, by observation domain.
    pub(super) numbers: BTreeMap<u32, Vec<Numbered>>,
    /// The elements of each template, in the order of its fields.
    pub(super) templates: BTreeMap<u16, Vec<Element>>,
}

/// One transport session.
pub(super) struct Session {
    cache: TemplateCache,
}

impl Session {
    pub(super) fn new() -> Session {
        Session { cache: TemplateCache::new(Limits::default()) }
    }
}

impl Collected {
    pub(super) fn message(&mut self, session: &mut Session, message: &[u8]) {
        let header = parse_header(message).unwrap();
        assert_eq!(header.protocol, Protocol::Ipfix);
        assert_eq!(usize::from(header.length), message.len());
        self.messages += 1;
        self.bytes += message.len() as u64;
        self.longest = self.longest.max(message.len());
        let before = self.flows.len();
        for set in Sets::new(&header, message) {
            let set = set.unwrap();
            let kind = set.kind(header.protocol);
            if kind != SetKind::Data {
                let outcome = session.cache.apply(header.protocol, header.domain, kind, set.body, 0);
                assert_eq!(outcome.refused.total(), 0);
                for id in outcome.learned {
                    let template = session.cache.get(header.domain, id, 0).unwrap();
                    let elements = template.fields.iter().map(|field| field.element).collect();
                    self.templates.insert(id, elements);
                }
                continue;
            }
            let template =
                session.cache.get(header.domain, set.id, 0).expect("the template came first").clone();
            let mut body = set.body;
            while !body.is_empty() {
                self.flows.push(record(&template, &mut body));
            }
        }
        let records = u32::try_from(self.flows.len() - before).unwrap();
        self.numbers.entry(header.domain).or_default().push(Numbered { sequence: header.sequence, records });
    }

    pub(super) fn distinct(&self) -> usize {
        self.flows.iter().map(|flow| (flow.session_id, flow.start_ms)).collect::<HashSet<_>>().len()
    }

    /// Records that sequence numbers announce and that did not come, in order of arrival.
    pub(super) fn missing(&self) -> u64 {
        let mut missing = 0;
        for numbers in self.numbers.values() {
            let mut expected = 0;
            for number in numbers {
                missing +=
                    u64::from(number.sequence.checked_sub(expected).expect("sequence numbers only grow"));
                expected = number.sequence + number.records;
            }
        }
        missing
    }
}

fn record(template: &Template, body: &mut &[u8]) -> Flow {
    let mut flow = Flow::default();
    for field in &template.fields {
        let length = match field.is_variable() {
            false => usize::from(field.length),
            true => match take(body, 1)[0] {
                255 => usize::from(u16::from_be_bytes(take(body, 2).try_into().unwrap())),
                short => usize::from(short),
            },
        };
        let value = take(body, length);
        let number = || value.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        match (field.element.pen, field.element.id) {
            (0, 1) => flow.octets = number(),
            (0, 2) => flow.packets = number(),
            (0, 8) => flow.source_v4 = number(),
            (0, 10) => flow.input = number(),
            (0, 12) => flow.destination_v4 = number(),
            (0, 60) => flow.ip_version = number(),
            (0, 152) => flow.start_ms = number(),
            (0, 153) => flow.end_ms = number(),
            (43_823, 2000 | 3305) => flow.session_id = number(),
            (43_823, 2001) => flow.host = value.to_vec(),
            (43_823, 2003) => flow.login = value.to_vec(),
            (43_823, 2012) => flow.deliver_time = number(),
            _ => {}
        }
    }
    flow
}

fn take<'a>(body: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (value, rest) = body.split_at(length);
    *body = rest;
    value
}
