//! A mutation fuzzer on stable Rust: valid messages are damaged at random and sent through header,
//! sets, template cache and plans, as a receiver would. Seeded, so that a failure comes again.
//!
//! `QOE_FUZZ_SECONDS=600 cargo test --release -p ipfix --test fuzz` runs for ten minutes with a
//! random seed instead of a fixed number of messages; `QOE_FUZZ_SEED` chooses the seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ipfix::cache::Limits;
use ipfix::sequence::{Arrival, SequenceTracker};
use ipfix::{
    Column, ColumnKind, Convert, DataSet, Element, FieldSpec, MessageBuilder, MessageContext, Plan, Protocol,
    Scratch, SetKind, Sets, Source, Template, TemplateCache, VARIABLE, Wanted, parse_header,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const MESSAGES: u64 = 200_000;
const LIMITS: Limits = Limits { templates: 16, bytes: 2_000, fields_per_template: 64, lifetime_us: None };

#[test]
fn damaged_messages_break_nothing() {
    let seconds: Option<u64> = std::env::var("QOE_FUZZ_SECONDS").ok().map(|text| text.parse().unwrap());
    let seed: Option<u64> = std::env::var("QOE_FUZZ_SEED").ok().map(|text| text.parse().unwrap());
    let seed = seed.unwrap_or_else(|| if seconds.is_some() { rand::random() } else { 1 });
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));

    let mut rng = SmallRng::seed_from_u64(seed);
    let corpus = corpus(&mut rng);
    let mut collector = Collector::new();
    let mut messages = 0;
    while end.map_or(messages < MESSAGES, |end| Instant::now() < end) {
        let mut message = corpus[rng.random_range(0..corpus.len())].clone();
        for _ in 0..rng.random_range(0..4) {
            damage(&mut message, &corpus, &mut rng);
        }
        if messages % 1000 == 0 {
            collector.begin_session();
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| collector.receive(&message)));
        assert!(outcome.is_ok(), "seed {seed}, message {messages}: {message:02x?}");
        messages += 1;
    }
    let Collector { records, learned, .. } = collector;
    println!("seed {seed}: {messages} messages, {records} records, {learned} templates");
    assert!(messages < 1000 || records > messages / 10, "the fuzzer has to reach the records");
    assert!(messages < 1000 || learned > messages / 10, "the fuzzer has to reach the templates");
}

fn damage(message: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut SmallRng) {
    if message.is_empty() {
        return;
    }
    let at = rng.random_range(0..message.len());
    match rng.random_range(0..8) {
        0 => message[at] ^= 1 << rng.random_range(0..8),
        1 => message[at] = [0, 1, 4, 127, 128, 254, 255][rng.random_range(0..7)],
        2 => message.truncate(at),
        3 => {
            // A length, count or id.
            let value: u16 =
                [0, 1, 3, 4, 5, 255, 256, 0x7fff, 0x8000, 0xfffe, 0xffff][rng.random_range(0..11)];
            let end = message.len().min(at / 2 * 2 + 2);
            let start = end.saturating_sub(2);
            message[start..end].copy_from_slice(&value.to_be_bytes()[2 - (end - start)..]);
        }
        4 => {
            // The end of another message.
            let other = &corpus[rng.random_range(0..corpus.len())];
            message.truncate(at);
            message.extend_from_slice(&other[rng.random_range(0..other.len())..]);
        }
        5 => {
            let end = rng.random_range(at..message.len());
            message.drain(at..end);
        }
        6 => {
            let piece = message[at..].to_vec();
            message.extend(piece);
        }
        _ => {
            // The length in the header, so that the rest is looked at.
            let length = (message.len() as u16).to_be_bytes();
            if message.len() >= 4 {
                message[2..4].copy_from_slice(&length);
            }
        }
    }
}

/// What a receiver does with messages, with its promises checked after each.
struct Collector {
    cache: TemplateCache,
    tracker: SequenceTracker,
    wanted: Vec<Wanted>,
    columns: Vec<Column>,
    scratch: Scratch,
    clock_us: u64,
    records: u64,
    learned: u64,
}

impl Collector {
    fn new() -> Self {
        let wanted = wanted();
        let columns = wanted.iter().map(|wanted| Column::new(wanted.kind)).collect();
        Self {
            cache: TemplateCache::new(LIMITS),
            tracker: SequenceTracker::new(),
            wanted,
            columns,
            scratch: Scratch::default(),
            clock_us: 0,
            records: 0,
            learned: 0,
        }
    }

    fn begin_session(&mut self) {
        self.cache = TemplateCache::new(LIMITS);
        self.tracker = SequenceTracker::new();
    }

    fn receive(&mut self, message: &[u8]) {
        self.clock_us += 1;
        let Ok(header) = parse_header(message) else { return };
        let crc = message.iter().fold(0u32, |sum, &byte| sum.rotate_left(5) ^ u32::from(byte));
        let arrival = self.tracker.observe(header.protocol, false, header.sequence, crc);
        let mut records = 0;
        for set in Sets::new(&header, message) {
            let Ok(set) = set else { break };
            assert!(set.offset + set.body.len() <= message.len());
            match set.kind(header.protocol) {
                SetKind::Data => {
                    let context = MessageContext {
                        export_time: header.export_time,
                        uptime_ms: header.uptime_ms,
                        constants: &[7],
                    };
                    records +=
                        self.decode(header.domain, set.id, message, set.offset, set.body.len(), context);
                }
                kind => {
                    let outcome =
                        self.cache.apply(header.protocol, header.domain, kind, set.body, self.clock_us);
                    self.learned += outcome.learned.len() as u64;
                    // A template or withdrawal takes 4 bytes at least.
                    let named = outcome.learned.len() + outcome.refused.total() as usize;
                    assert!(named <= set.body.len() / 4 + 1);
                    assert!(self.cache.len() <= LIMITS.templates && self.cache.bytes() <= LIMITS.bytes);
                }
            }
        }
        if arrival != Arrival::Duplicate {
            self.tracker.advance(records);
        }
        let bytes: usize = self.cache.iter().map(|(_, template, _)| template.wire_len()).sum();
        assert_eq!(bytes, self.cache.bytes());
    }

    fn decode(
        &mut self,
        domain: u32,
        id: u16,
        message: &[u8],
        start: usize,
        length: usize,
        context: MessageContext<'_>,
    ) -> u32 {
        let Some(template) = self.cache.get(domain, id, self.clock_us) else { return 0 };
        assert!(template.fields.len() <= LIMITS.fields_per_template);
        let plan = Plan::compile(template, &self.wanted);
        let set = DataSet { body: start..start + length, context };
        let decoded = plan.decode_many(message, &[set], &mut self.columns, &mut self.scratch);
        let [decoded] = decoded else { panic!("one set, one outcome") };
        assert!(decoded.records as usize * template.min_record_len() <= length);
        assert_eq!(decoded.records, plan.count_records(&message[start..start + length]));
        for column in &mut self.columns {
            assert_eq!(column.len(), decoded.records as usize);
            if let Column::Bytes(values) = column {
                assert!(values.data.len() <= length);
                assert!(values.ends.is_sorted());
            }
            column.clear();
        }
        self.records += u64::from(decoded.records);
        decoded.records
    }
}

fn wanted() -> Vec<Wanted> {
    let source = |element, max_len| Source { element, min_len: 0, max_len, convert: Convert::Plain };
    let wanted = |kind, sources| Wanted { kind, sources, constant: None };
    vec![
        wanted(ColumnKind::U64, vec![source(Element::iana(1), 8)]),
        wanted(ColumnKind::U16, vec![source(Element::iana(7), 2)]),
        wanted(ColumnKind::U32, vec![source(Element::iana(8), 4)]),
        wanted(ColumnKind::Bytes16, vec![source(Element::iana(27), 16)]),
        wanted(
            ColumnKind::Bytes,
            vec![source(Element::vas_experts(2001), VARIABLE), source(Element::iana(82), 99)],
        ),
        wanted(ColumnKind::Bytes, vec![source(Element::vas_experts(2003), VARIABLE)]),
        wanted(
            ColumnKind::U64,
            vec![
                source(Element::iana(152), 8),
                Source { convert: Convert::UptimeToMillis, ..source(Element::iana(22), 4) },
            ],
        ),
        Wanted { kind: ColumnKind::U16, sources: vec![], constant: Some(0) },
    ]
}

/// Valid messages of both protocols: templates, data, both, options, withdrawals.
fn corpus(rng: &mut SmallRng) -> Vec<Vec<u8>> {
    let iana = |id, length| FieldSpec::new(Element::iana(id), length);
    let strings = vec![
        iana(1, 8),
        iana(8, 4),
        FieldSpec::variable(Element::vas_experts(2001)),
        iana(7, 2),
        FieldSpec::variable(Element::vas_experts(2003)),
        iana(152, 8),
    ];
    let templates = [
        Template::new(256, 0, vec![iana(1, 4), iana(7, 2), iana(8, 4), iana(27, 16), iana(22, 4)]),
        Template::new(257, 0, strings),
        Template::new(258, 1, vec![iana(149, 4), iana(41, 8), iana(82, 10)]),
    ];
    let mut corpus = Vec::new();
    for protocol in [Protocol::Ipfix, Protocol::NetflowV9] {
        for (what, template) in (0..6).flat_map(|what| templates.iter().map(move |template| (what, template)))
        {
            let mut builder = MessageBuilder::new(protocol, 1);
            builder.set_uptime_ms(100_000);
            builder.begin(1_700_000_000, rng.random_range(0..100));
            if what < 4 {
                builder.template(template);
            }
            if what == 5 {
                builder.withdraw(template.id, template.is_options());
            }
            if what > 0 {
                builder.begin_data(template.id);
                for _ in 0..rng.random_range(1..6) {
                    record(&mut builder, template, rng);
                }
            }
            corpus.push(builder.finish().unwrap().to_vec());
        }
    }
    corpus
}

fn record(builder: &mut MessageBuilder, template: &Template, rng: &mut SmallRng) {
    for field in &template.fields {
        match (field.is_variable(), rng.random_range(0..4)) {
            (true, 0) => builder.put_variable_long(b"user-17"),
            (true, 1) => builder.put_variable(&[b'x'; 260]),
            (true, _) => builder.put_variable(b"www.example.net"),
            (false, _) => builder.put_uint(rng.random(), field.length.into()),
        }
    }
    builder.end_record();
}
