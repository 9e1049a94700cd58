//! Whole messages: what is encoded comes back, and no bytes at all make anything panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ipfix::cache::Limits;
use ipfix::{
    Column, ColumnKind, Convert, Element, FieldSpec, Header, HeaderError, MessageBuilder, MessageContext,
    Plan, Protocol, SetError, SetKind, Sets, Source, Template, TemplateCache, VARIABLE, Wanted, parse_header,
};
use proptest::prelude::*;

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Ipfix), Just(Protocol::NetflowV9)]
}

/// A template that both protocols can carry, of distinct elements.
fn template() -> impl Strategy<Value = Template> {
    let length = prop_oneof![3 => prop::sample::select(vec![1, 2, 3, 4, 7, 8, 16, 30]), 1 => Just(VARIABLE)];
    let fields = prop::collection::vec((length, any::<bool>()), 1..12);
    (256u16..260, fields).prop_map(|(id, lengths)| {
        let fields = lengths.into_iter().enumerate();
        let fields = fields.map(|(place, (length, vendor))| {
            let id = place as u16 + 1;
            let element = if vendor { Element::vas_experts(id) } else { Element::iana(id) };
            FieldSpec::new(element, length)
        });
        // Padding of up to 3 bytes must not look like a record.
        let fields: Vec<_> = fields.chain([FieldSpec::new(Element::iana(100), 4)]).collect();
        Template::new(id, 0, fields)
    })
}

fn as_in_v9(template: &Template) -> Template {
    let fields =
        template.fields.iter().map(|field| FieldSpec::new(Element::iana(field.element.id), field.length));
    Template::new(template.id, 0, fields.collect())
}

/// Takes every field's bytes.
fn wanted(template: &Template) -> Vec<Wanted> {
    let source = |field: &FieldSpec| Source {
        element: field.element,
        min_len: 0,
        max_len: VARIABLE,
        convert: Convert::Plain,
    };
    let wanted = |field| Wanted { kind: ColumnKind::Bytes, sources: vec![source(field)], constant: None };
    template.fields.iter().map(wanted).collect()
}

proptest! {
    /// Header, templates and records of a message come back as they were written.
    #[test]
    fn what_is_encoded_is_decoded(
        protocol in protocol(),
        template in template(),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 40..600), 0..20),
        alignment in prop::sample::select(vec![1usize, 2, 4]),
        (export_time, sequence, domain, uptime_ms) in any::<(u32, u32, u32, u32)>(),
    ) {
        let template = if protocol == Protocol::NetflowV9 { as_in_v9(&template) } else { template };
        let mut builder = MessageBuilder::new(protocol, domain).with_alignment(alignment);
        builder.set_uptime_ms(uptime_ms);
        builder.begin(export_time, sequence);
        builder.template(&template);
        builder.begin_data(template.id);
        let mut expected = vec![Vec::new(); template.fields.len()];
        for value in &values {
            for (place, field) in template.fields.iter().enumerate() {
                let value = if field.is_variable() {
                    builder.put_variable(value);
                    &value[..]
                } else {
                    builder.put_bytes(&value[..field.length as usize]);
                    &value[..field.length as usize]
                };
                expected[place].push(value.to_vec());
            }
            builder.end_record();
            if builder.len() > 40_000 {
                break;
            }
        }
        let records = builder.data_records();
        let message = builder.finish().unwrap().to_vec();

        let header = parse_header(&message).unwrap();
        let (count, uptime_ms) = match protocol {
            Protocol::Ipfix => (0, 0),
            Protocol::NetflowV9 => (records as u16 + 1, uptime_ms),
        };
        let length = message.len() as u16;
        prop_assert_eq!(header, Header { protocol, length, export_time, sequence, domain, count, uptime_ms });

        let mut cache = TemplateCache::new(Limits::default());
        let mut columns: Vec<Column> = expected.iter().map(|_| Column::new(ColumnKind::Bytes)).collect();
        let mut sets = Vec::new();
        for set in Sets::new(&header, &message) {
            let set = set.unwrap();
            prop_assert_eq!(&message[set.offset..set.offset + set.body.len()], set.body);
            let kind = set.kind(protocol);
            sets.push(kind);
            if kind == SetKind::Data {
                let known = cache.get(domain, set.id, 0).unwrap();
                prop_assert_eq!(known.as_ref(), &template);
                let plan = Plan::compile(known, &wanted(known));
                prop_assert_eq!(plan.matched(), template.fields.len());
                let context = MessageContext { export_time, uptime_ms, constants: &[] };
                let decoded = plan.decode(set.body, &context, &mut columns);
                prop_assert_eq!((decoded.records, decoded.malformed_tail), (records, false));
            } else {
                prop_assert_eq!(cache.apply(protocol, domain, kind, set.body, 0).learned, vec![template.id]);
            }
        }
        prop_assert_eq!(sets, vec![SetKind::Template, SetKind::Data]);
        for (column, expected) in columns.iter().zip(&expected) {
            let Column::Bytes(values) = column else { panic!() };
            prop_assert_eq!(&values.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), expected);
        }

        // What the cache has learned survives a journal segment's head.
        let mut exported = Vec::new();
        cache.export(&mut exported);
        let imported = TemplateCache::import(Limits::default(), &exported).unwrap();
        prop_assert_eq!(imported.get(domain, template.id, 0), cache.get(domain, template.id, 0));
    }

    /// Arbitrary bytes after a plausible header go through everything without a panic, and sets
    /// stay within their message.
    #[test]
    fn arbitrary_bytes_never_panic(
        version in prop_oneof![Just(9u16), Just(10), any::<u16>()],
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        small in any::<bool>(),
        template in template(),
    ) {
        if small {
            // Small numbers make plausible lengths and counts.
            bytes.iter_mut().for_each(|byte| *byte %= 5);
        }
        let mut message = version.to_be_bytes().to_vec();
        message.extend(&bytes);
        let mut cache = TemplateCache::new(Limits { templates: 10, bytes: 1000, ..Limits::udp() });
        if let Ok(header) = parse_header(&message) {
            for set in Sets::new(&header, &message).flatten() {
                prop_assert!(set.offset + set.body.len() <= message.len());
                cache.apply(header.protocol, header.domain, set.kind(header.protocol), set.body, 1);
            }
        }
        for kind in [SetKind::Template, SetKind::OptionsTemplate] {
            for protocol in [Protocol::Ipfix, Protocol::NetflowV9] {
                cache.apply(protocol, 0, kind, &bytes, 1);
            }
        }
        prop_assert!(cache.len() <= 10 && cache.bytes() <= 1000);
        let _ = TemplateCache::import(Limits::default(), &bytes);

        let wanted = wanted(&template);
        let mut columns: Vec<Column> = wanted.iter().map(|wanted| Column::new(wanted.kind)).collect();
        let context = MessageContext { export_time: 0, uptime_ms: 0, constants: &[] };
        let decoded = Plan::compile(&template, &wanted).decode(&bytes, &context, &mut columns);
        prop_assert!(columns.iter().all(|column| column.len() == decoded.records as usize));
        prop_assert!(decoded.records as usize * template.min_record_len() <= bytes.len());
    }
}

#[test]
fn netflow_v5_is_told_from_the_first_two_bytes() {
    assert_eq!(parse_header(&[0]), Err(HeaderError::Incomplete));
    let error = parse_header(&[0, 5]).unwrap_err();
    assert_eq!(error, HeaderError::NetflowV5);
    assert!(error.to_string().contains("netflow_full_collector_type"));
    assert_eq!(parse_header(&[0, 1]), Err(HeaderError::BadVersion(1)));
}

#[test]
fn headers_are_read_or_awaited() {
    let ipfix = [0, 10, 0, 16, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    let v9 = [0, 9, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    for header in [&ipfix[..], &v9] {
        for end in 0..header.len() {
            assert_eq!(parse_header(&header[..end]), Err(HeaderError::Incomplete), "cut at {end}");
        }
        let header = parse_header(header).unwrap();
        assert_eq!((header.export_time, header.sequence, header.domain), (1, 2, 3));
    }
    let short = [0, 10, 0, 15, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    assert_eq!(parse_header(&short), Err(HeaderError::BadLength(15)));
    assert_eq!(parse_header(&[&v9[..], &[0; 65_516]].concat()), Err(HeaderError::BadLength(65_535)));
}

/// The sets of an IPFIX message with this body: their ids, and the error at the end.
fn sets_of(body: &[u8]) -> (Vec<u16>, Option<SetError>) {
    let length = (16 + body.len()) as u16;
    let mut message = vec![0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    message[2..4].copy_from_slice(&length.to_be_bytes());
    message.extend(body);
    let header = parse_header(&message).unwrap();
    // What follows on the stream belongs to the next message.
    message.extend([1, 0, 0, 4]);
    let mut ids = Vec::new();
    let mut error = None;
    for set in Sets::new(&header, &message) {
        assert_eq!(error, None, "nothing comes after an error");
        match set {
            Ok(set) => ids.push(set.id),
            Err(found) => error = Some(found),
        }
    }
    (ids, error)
}

#[test]
fn impossible_set_lengths_end_the_message_and_keep_what_came_before() {
    let good = [1, 0, 0, 5, 9];
    assert_eq!(sets_of(&good), (vec![256], None));
    assert_eq!(sets_of(&[&good[..], &good].concat()), (vec![256, 256], None));
    for length in 0..4u8 {
        let error = SetError::TooShort { offset: 21, id: 257, length: length.into() };
        let body = [&good[..], &[1, 1, 0, length], &good].concat();
        assert_eq!(sets_of(&body), (vec![256], Some(error)));
    }
    let error = SetError::TooLong { offset: 21, id: 257, length: 6, available: 5 };
    assert_eq!(sets_of(&[&good[..], &[1, 1, 0, 6, 9]].concat()), (vec![256], Some(error)));
    let error = SetError::TrailingBytes { offset: 21, available: 3 };
    assert_eq!(sets_of(&[&good[..], &[1, 1, 0]].concat()), (vec![256], Some(error)));
    assert_eq!(sets_of(&[&good[..], &[0, 0, 0]].concat()), (vec![256], None), "padding");
    assert_eq!(sets_of(&[]), (vec![], None));
}

#[test]
fn set_kinds_follow_the_protocol() {
    let kind = |protocol, id| ipfix::Set { id, body: &[], offset: 0 }.kind(protocol);
    let kinds = |protocol| [0, 1, 2, 3, 4, 255, 256, 65535].map(|id| kind(protocol, id));
    use SetKind::{Data, OptionsTemplate, Reserved, Template};
    let ipfix = [Reserved, Reserved, Template, OptionsTemplate, Reserved, Reserved, Data, Data];
    assert_eq!(kinds(Protocol::Ipfix), ipfix);
    let v9 = [Template, OptionsTemplate, Reserved, Reserved, Reserved, Reserved, Data, Data];
    assert_eq!(kinds(Protocol::NetflowV9), v9);
}
