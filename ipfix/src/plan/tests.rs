use super::*;
use crate::encode::MessageBuilder;
use crate::message::{Protocol, Sets, parse_header};
use crate::template::VARIABLE;

const PORT: Element = Element::iana(7);
const HOST: Element = Element::vas_experts(2001);
const LOGIN: Element = Element::vas_experts(2003);

fn source(element: Element, min_len: u16, max_len: u16) -> Source {
    Source { element, min_len, max_len, convert: Convert::Plain }
}

fn wanted(kind: ColumnKind, source: Source) -> Wanted {
    Wanted { kind, sources: vec![source], constant: None }
}

fn columns(wanted: &[Wanted]) -> Vec<Column> {
    wanted.iter().map(|wanted| Column::new(wanted.kind)).collect()
}

fn context(constants: &[u64]) -> MessageContext<'_> {
    MessageContext { export_time: 1_700_000_000, uptime_ms: 0, constants }
}

/// The body of the data set that `fill` writes.
fn body(fill: impl Fn(&mut MessageBuilder)) -> Vec<u8> {
    let mut builder = MessageBuilder::new(Protocol::Ipfix, 0);
    builder.begin(0, 0);
    builder.begin_data(256);
    fill(&mut builder);
    let message = builder.finish().unwrap();
    let header = parse_header(message).unwrap();
    Sets::new(&header, message).next().unwrap().unwrap().body.to_vec()
}

fn strings(column: &Column) -> Vec<&[u8]> {
    let Column::Bytes(values) = column else { panic!("not bytes") };
    values.iter().collect()
}

/// A string, a port, another string.
fn string_template() -> Template {
    let fields = vec![FieldSpec::variable(HOST), FieldSpec::new(PORT, 2), FieldSpec::variable(LOGIN)];
    Template::new(256, 0, fields)
}

fn string_columns() -> Vec<Wanted> {
    vec![
        wanted(ColumnKind::Bytes, source(LOGIN, 0, VARIABLE)),
        wanted(ColumnKind::U16, source(PORT, 1, 2)),
        wanted(ColumnKind::Bytes, source(HOST, 0, VARIABLE)),
    ]
}

#[test]
fn reduced_sizes_widen_and_longer_ones_are_cut_if_allowed() {
    for (kind, expected) in [
        (ColumnKind::U8, Column::U8(vec![3])),
        (ColumnKind::U16, Column::U16(vec![0x0203])),
        (ColumnKind::U32, Column::U32(vec![0x01_0203])),
        (ColumnKind::U64, Column::U64(vec![0x01_0203])),
    ] {
        let template = Template::new(256, 0, vec![FieldSpec::new(PORT, 3)]);
        let wanted = [wanted(kind, source(PORT, 1, 3))];
        let plan = Plan::compile(&template, &wanted);
        assert_eq!(plan.matched(), 1);
        let mut columns = columns(&wanted);
        plan.decode(&[1, 2, 3], &context(&[]), &mut columns);
        assert_eq!(columns, [expected]);
    }
    let too_long = [wanted(ColumnKind::U16, source(PORT, 1, 2))];
    let plan = Plan::compile(&Template::new(256, 0, vec![FieldSpec::new(PORT, 3)]), &too_long);
    assert_eq!(plan.matched(), 0);
    let mut columns = columns(&too_long);
    plan.decode(&[1, 2, 3, 4, 5, 6], &context(&[]), &mut columns);
    assert_eq!(columns, [Column::U16(vec![0, 0])]);
}

#[test]
fn every_width_into_every_kind() {
    for width in 1..=8u16 {
        let template = Template::new(256, 0, vec![FieldSpec::new(PORT, width), FieldSpec::new(LOGIN, 1)]);
        let record: Vec<u8> = (1..=width as u8).chain([99]).collect();
        let number = record[..usize::from(width)].iter().fold(0u64, |n, &byte| n << 8 | u64::from(byte));
        let wanted = [ColumnKind::U8, ColumnKind::U16, ColumnKind::U32, ColumnKind::U64]
            .map(|kind| wanted(kind, source(PORT, 1, 8)));
        let mut columns = columns(&wanted);
        Plan::compile(&template, &wanted).decode(&record.repeat(2), &context(&[]), &mut columns);
        assert_eq!(columns[0], Column::U8(vec![number as u8; 2]));
        assert_eq!(columns[1], Column::U16(vec![number as u16; 2]));
        assert_eq!(columns[2], Column::U32(vec![number as u32; 2]));
        assert_eq!(columns[3], Column::U64(vec![number; 2]));
    }
}

#[test]
fn the_first_source_that_fits_wins() {
    let time = Wanted {
        kind: ColumnKind::U64,
        sources: vec![
            source(Element::iana(152), 8, 8),
            Source { convert: Convert::SecondsToMillis, ..source(Element::iana(150), 4, 4) },
        ],
        constant: None,
    };
    let seconds = FieldSpec::new(Element::iana(150), 4);
    let millis = FieldSpec::new(Element::iana(152), 8);
    let mut columns = vec![Column::new(ColumnKind::U64)];

    let plan = Plan::compile(&Template::new(256, 0, vec![seconds, millis]), std::slice::from_ref(&time));
    plan.decode(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9], &context(&[]), &mut columns);
    let plan = Plan::compile(&Template::new(256, 0, vec![seconds]), &[time]);
    plan.decode(&[0, 0, 0, 1], &context(&[]), &mut columns);
    assert_eq!(columns, [Column::U64(vec![9, 1000])]);
}

#[test]
fn one_id_may_have_two_types() {
    let address = Element::vas_experts(1003);
    let wanted = [
        wanted(ColumnKind::U32, source(address, 4, 4)),
        wanted(ColumnKind::Bytes16, source(address, 16, 16)),
    ];
    let mut columns = columns(&wanted);
    let v4 = Plan::compile(&Template::new(256, 0, vec![FieldSpec::new(address, 4)]), &wanted);
    v4.decode(&[10, 0, 0, 1], &context(&[]), &mut columns);
    let v6 = Plan::compile(&Template::new(257, 0, vec![FieldSpec::new(address, 16)]), &wanted);
    v6.decode(&[7; 16], &context(&[]), &mut columns);
    assert_eq!(columns, [Column::U32(vec![0x0a00_0001, 0]), Column::Bytes16(vec![[0; 16], [7; 16]])]);
}

#[test]
fn constants_and_missing_fields_fill_their_columns() {
    let constant = |kind, index| Wanted { kind, sources: vec![source(PORT, 1, 2)], constant: Some(index) };
    let wanted = [
        constant(ColumnKind::U16, 0),
        constant(ColumnKind::U64, 1),
        constant(ColumnKind::U32, 9),
        wanted(ColumnKind::Bytes, source(HOST, 0, VARIABLE)),
        wanted(ColumnKind::U16, source(PORT, 1, 2)),
    ];
    let plan = Plan::compile(&Template::new(256, 0, vec![FieldSpec::new(PORT, 2)]), &wanted);
    assert_eq!(plan.matched(), 1);
    let mut columns = columns(&wanted);
    plan.decode(&[0, 1, 0, 2], &context(&[5, 6]), &mut columns);
    assert_eq!(columns[0], Column::U16(vec![5, 5]));
    assert_eq!(columns[1], Column::U64(vec![6, 6]));
    assert_eq!(columns[2], Column::U32(vec![0, 0]));
    assert_eq!(strings(&columns[3]), [b"", b""]);
    assert_eq!(columns[4], Column::U16(vec![1, 2]));
}

#[test]
fn strings_in_both_encodings() {
    let long = vec![b'x'; 300];
    let body = body(|builder| {
        for (host, port, login) in [(&b"a.example"[..], 80, &long[..]), (b"", 443, b"u")] {
            builder.put_variable(host);
            builder.put_u16(port);
            builder.put_variable(login);
        }
        builder.put_variable_long(b"b.example");
        builder.put_u16(8080);
        builder.put_variable_long(b"");
    });
    let wanted = string_columns();
    let plan = Plan::compile(&string_template(), &wanted);
    let mut columns = columns(&wanted);
    let decoded = plan.decode(&body, &context(&[]), &mut columns);
    assert_eq!(decoded, Decoded { records: 3, malformed_tail: false });
    assert_eq!(strings(&columns[0]), [&long[..], b"u", b""]);
    assert_eq!(columns[1], Column::U16(vec![80, 443, 8080]));
    assert_eq!(strings(&columns[2]), [&b"a.example"[..], b"", b"b.example"]);
    assert_eq!(plan.count_records(&body), 3);
}

#[test]
fn a_string_that_leaves_the_set_ends_it() {
    let wanted = string_columns();
    let plan = Plan::compile(&string_template(), &wanted);
    let good = [1, b'a', 0, 80, 1, b'b'];
    for bad in [
        &[1, b'a', 0, 80, 2, b'b'][..],
        &[200, b'a', 0, 80, 1, b'b'],
        &[255, 0xff, 0xff, 0, 80, 1, b'b'],
        &[255, 0, 2, 1, 1],
        &[1, b'a', 0, 80, 255, 0],
    ] {
        let mut columns = columns(&wanted);
        let decoded = plan.decode(&[&good[..], bad].concat(), &context(&[]), &mut columns);
        assert_eq!(decoded, Decoded { records: 1, malformed_tail: true }, "{bad:?}");
        assert!(columns.iter().all(|column| column.len() == 1));
    }
}

#[test]
fn padding_is_no_malformed_record() {
    let wanted = string_columns();
    let plan = Plan::compile(&string_template(), &wanted);
    let record = [1, b'a', 0, 80, 1, b'b'];
    for padding in [&[0, 0, 0][..], &[7, 7, 7]] {
        let decoded = plan.decode(&[&record[..], padding].concat(), &context(&[]), &mut columns(&wanted));
        assert_eq!(decoded, Decoded { records: 1, malformed_tail: false });
    }
    let fixed = Plan::compile(&Template::new(256, 0, vec![FieldSpec::new(PORT, 4)]), &[]);
    assert_eq!(fixed.count_records(&[1; 11]), 2);
}

#[test]
fn records_without_bytes_are_not_counted_for_ever() {
    let wanted = [wanted(ColumnKind::Bytes, source(PORT, 0, 4))];
    for fields in [vec![], vec![FieldSpec::new(PORT, 0)]] {
        let plan = Plan::compile(&Template::new(256, 0, fields), &wanted);
        let mut columns = columns(&wanted);
        let decoded = plan.decode(&[1, 2, 3], &context(&[]), &mut columns);
        assert_eq!(decoded, Decoded { records: 0, malformed_tail: true });
        assert_eq!(columns[0].len(), 0);
    }
}

#[test]
fn wrong_columns_get_defaults_and_equal_lengths() {
    let wanted = string_columns();
    let plan = Plan::compile(&string_template(), &wanted);
    let mut columns = vec![
        Column::new(ColumnKind::U64),
        Column::new(ColumnKind::Bytes16),
        Column::new(ColumnKind::Bytes),
        Column::new(ColumnKind::U8),
    ];
    plan.decode(&[1, b'a', 0, 80, 1, b'b'], &context(&[]), &mut columns);
    assert_eq!(columns[0], Column::U64(vec![0]));
    assert_eq!(columns[1], Column::Bytes16(vec![[0; 16]]));
    assert_eq!(strings(&columns[2]), [b"a"]);
    assert_eq!(columns[3], Column::U8(vec![0]));
}

#[test]
fn many_sets_are_decoded_each_in_its_context() {
    let mut wanted = string_columns();
    wanted.push(Wanted { kind: ColumnKind::U64, sources: vec![], constant: Some(0) });
    let uptime = Source { convert: Convert::UptimeToMillis, ..source(PORT, 1, 4) };
    wanted.push(Wanted { kind: ColumnKind::U64, sources: vec![uptime], constant: None });
    let plan = Plan::compile(&string_template(), &wanted);

    let mut buffer = Vec::new();
    let mut sets = Vec::new();
    let constants: Vec<[u64; 1]> = (0..5000).map(|set| [set]).collect();
    for (set, constants) in constants.iter().enumerate() {
        buffer.extend([0xee; 3]); // what lies between sets
        let start = buffer.len();
        for record in 0..set % 4 {
            buffer.extend([1, b'a' + record as u8, 0, 80, 1, b'b']);
        }
        let context = MessageContext { export_time: set as u32, uptime_ms: 81, constants };
        if set % 7 == 0 {
            buffer.extend([9, 9, 9, 9]); // a record that does not end
        }
        sets.push(DataSet { body: start..buffer.len(), context });
    }
    let mut together = columns(&wanted);
    let mut scratch = Scratch::default();
    let decoded = plan.decode_many(&buffer, &sets, &mut together, &mut scratch).to_vec();

    let mut one_by_one = columns(&wanted);
    let expected: Vec<Decoded> = sets
        .iter()
        .map(|set| plan.decode(&buffer[set.body.clone()], &set.context, &mut one_by_one))
        .collect();
    assert_eq!(decoded, expected);
    assert_eq!(together, one_by_one);
    assert!(decoded[7].malformed_tail && !decoded[8].malformed_tail);
    let Column::U64(starts) = &together[4] else { panic!() };
    assert_eq!(starts[0], 999, "set 1, 1 ms before its export");
}

#[test]
fn sets_outside_the_buffer_are_cut() {
    let wanted = string_columns();
    let template = Template::new(256, 0, vec![FieldSpec::new(PORT, 2)]);
    for plan in [Plan::compile(&string_template(), &wanted), Plan::compile(&template, &wanted)] {
        let buffer = [1, b'a', 0, 80, 1, b'b'];
        let set = |body| DataSet { body, context: context(&[]) };
        #[allow(clippy::reversed_empty_ranges)]
        let sets = [set(0..100), set(50..100), set(usize::MAX..usize::MAX), set(4..2)];
        let mut columns = columns(&wanted);
        let mut scratch = Scratch::default();
        let decoded = plan.decode_many(&buffer, &sets, &mut columns, &mut scratch).to_vec();
        assert_eq!(decoded.len(), 4);
        assert!(decoded[1..].iter().all(|decoded| decoded.records == 0));
        assert!(columns.iter().all(|column| column.len() == decoded[0].records as usize));
    }
}

#[test]
fn uptimes_use_the_boot_time_of_the_record() {
    let uptime = Source { convert: Convert::UptimeToMillis, ..source(Element::iana(22), 4, 4) };
    let wanted = [Wanted { kind: ColumnKind::U64, sources: vec![uptime], constant: None }];
    let fields = vec![FieldSpec::new(Element::iana(22), 4), FieldSpec::new(Element::iana(160), 8)];
    let plan = Plan::compile(&Template::new(256, 0, fields), &wanted);
    let mut columns = columns(&wanted);
    plan.decode(&[0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 100], &context(&[]), &mut columns);
    assert_eq!(columns, [Column::U64(vec![105])]);
}
