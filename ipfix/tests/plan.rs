//! Plans against the simplest possible decoder, for random templates, columns and bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::ops::Range;

use common::{expected_columns, split_records, values};
use ipfix::{
    Column, ColumnKind, Convert, DataSet, Decoded, Element, FieldSpec, MessageBuilder, MessageContext, Plan,
    Protocol, Scratch, Source, Template, VARIABLE, Wanted,
};
use proptest::prelude::*;

/// Few elements, so that templates have what columns want, and some of it twice.
fn element() -> impl Strategy<Value = Element> {
    let ids = prop::sample::select(vec![1, 2, 3, 4, 5, 6, 7, 8, 22, 150, 160]);
    (any::<bool>(), ids)
        .prop_map(|(vendor, id)| if vendor { Element::vas_experts(id) } else { Element::iana(id) })
}

fn field() -> impl Strategy<Value = FieldSpec> {
    let length = prop_oneof![
        6 => 1u16..=8,
        2 => prop::sample::select(vec![1, 2, 4, 8]),
        2 => Just(16),
        1 => 0u16..40,
        3 => Just(VARIABLE),
    ];
    (element(), length).prop_map(|(element, length)| FieldSpec::new(element, length))
}

fn template() -> impl Strategy<Value = Template> {
    prop::collection::vec(field(), 0..12).prop_map(|fields| Template::new(256, 0, fields))
}

fn wanted() -> impl Strategy<Value = Wanted> {
    use ColumnKind::*;
    let kind = prop::sample::select(vec![U8, U16, U32, U64, Bytes16, Bytes]);
    let convert = prop_oneof![
        4 => Just(Convert::Plain),
        1 => Just(Convert::SecondsToMillis),
        1 => Just(Convert::MicrosNtpToMillis),
        1 => Just(Convert::NanosNtpToMillis),
        1 => Just(Convert::UptimeToMillis),
    ];
    let max_len = prop::sample::select(vec![1, 2, 4, 8, 16, 100, VARIABLE]);
    let source = (element(), 0u16..5, max_len, convert);
    let source =
        source.prop_map(|(element, min_len, max_len, convert)| Source { element, min_len, max_len, convert });
    let constant = prop_oneof![9 => Just(None), 1 => (0usize..3).prop_map(Some)];
    (kind, prop::collection::vec(source, 0..5), constant).prop_map(|(kind, sources, constant)| Wanted {
        kind,
        sources,
        constant,
    })
}

/// A data set's body: records with random contents, then padding or something wrong.
fn body(template: Template) -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 250..300),
    ];
    let values = prop::collection::vec((value, any::<bool>()), template.fields.len());
    let tail = prop_oneof![
        3 => Just(vec![]),
        3 => (0usize..8).prop_map(|length| vec![0; length]),
        2 => prop::collection::vec(any::<u8>(), 0..30),
    ];
    (prop::collection::vec(values, 0..20), tail).prop_map(move |(records, tail)| {
        let mut builder = MessageBuilder::new(Protocol::Ipfix, 0);
        for (field, (value, long)) in records.iter().flat_map(|record| template.fields.iter().zip(record)) {
            match (field.is_variable(), long) {
                (true, true) => builder.put_variable_long(value),
                (true, false) => builder.put_variable(value),
                (false, _) => {
                    let bytes: Vec<u8> = value.iter().copied().chain(1..).take(field.length.into()).collect();
                    builder.put_bytes(&bytes);
                }
            }
        }
        builder.put_bytes(&tail);
        builder.record_bytes().clone()
    })
}

fn bodies() -> impl Strategy<Value = (Template, Vec<Vec<u8>>)> {
    template().prop_flat_map(|template| {
        let one = prop_oneof![
            4 => body(template.clone()),
            1 => prop::collection::vec(any::<u8>(), 0..300),
        ];
        (Just(template), prop::collection::vec(one, 1..6))
    })
}

fn new_columns(wanted: &[Wanted]) -> Vec<Column> {
    wanted.iter().map(|wanted| Column::new(wanted.kind)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Set by set, and all sets together, a plan finds what the simple decoder finds.
    #[test]
    fn a_plan_equals_the_simple_decoder(
        (template, bodies) in bodies(),
        wanted in prop::collection::vec(wanted(), 0..12),
        export_time in any::<u32>(),
        uptime_ms in prop_oneof![Just(0), any::<u32>()],
        constants in prop::collection::vec(any::<u64>(), 0..3),
    ) {
        let plan = Plan::compile(&template, &wanted);
        let mut one_by_one = new_columns(&wanted);
        let mut expected = vec![Vec::new(); wanted.len()];
        let mut expected_decoded = Vec::new();
        let mut buffer = Vec::new();
        let mut sets: Vec<(Range<usize>, MessageContext<'_>)> = Vec::new();
        for (number, body) in bodies.iter().enumerate() {
            let context =
                MessageContext { export_time: export_time ^ number as u32, uptime_ms, constants: &constants };
            let simple = split_records(&template, body);
            let decoded =
                Decoded { records: simple.records.len() as u32, malformed_tail: simple.malformed_tail };
            prop_assert_eq!(plan.decode(body, &context, &mut one_by_one), decoded);
            prop_assert_eq!(plan.count_records(body), decoded.records);
            expected_decoded.push(decoded);
            for (all, more) in
                expected.iter_mut().zip(expected_columns(&template, &wanted, &context, &simple.records))
            {
                all.extend(more);
            }
            buffer.extend([0xff; 3]);
            sets.push((buffer.len()..buffer.len() + body.len(), context));
            buffer.extend(body);
        }
        let found: Vec<_> = one_by_one.iter().map(values).collect();
        prop_assert_eq!(&found, &expected);

        let sets: Vec<DataSet<'_>> =
            sets.into_iter().map(|(body, context)| DataSet { body, context }).collect();
        let mut together = new_columns(&wanted);
        let mut scratch = Scratch::default();
        prop_assert_eq!(plan.decode_many(&buffer, &sets, &mut together, &mut scratch), &expected_decoded[..]);
        prop_assert_eq!(together, one_by_one);
    }

    /// The simple decoder and the plan agree on how much of a body is records, byte by byte cut off.
    #[test]
    fn a_cut_body_is_never_read_past(
        (template, body) in template().prop_flat_map(|template| (Just(template.clone()), body(template))),
    ) {
        let wanted = [];
        let plan = Plan::compile(&template, &wanted);
        for end in 0..=body.len().min(200) {
            let simple = split_records(&template, &body[..end]);
            prop_assert_eq!(plan.count_records(&body[..end]), simple.records.len() as u32);
        }
    }
}
