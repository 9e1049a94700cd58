//! Prints how long decoding takes per record, for 19 fixed fields (70 bytes) and for the DPI's full
//! flow template (31 fields, 3 of them strings). Run it with `--release`.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ipfix::{
    Column, ColumnKind, Convert, DataSet, Element, EncodeError, FieldSpec, MessageBuilder, MessageContext,
    Plan, Protocol, Scratch, Sets, Source, Template, VARIABLE, Wanted, parse_header,
};

/// Rows after which the columns are emptied, as a block of the receiver has them.
const BLOCK: usize = 16_384;

fn main() -> Result<(), EncodeError> {
    measure("19 fixed fields", &fixed_template())?;
    measure("31 fields, 3 strings", &full_flow_template())
}

fn iana(id: u16, length: u16) -> FieldSpec {
    FieldSpec::new(Element::iana(id), length)
}

fn vendor(id: u16, length: u16) -> FieldSpec {
    FieldSpec::new(Element::vas_experts(id), length)
}

fn fixed_template() -> Template {
    let fields = [
        (1, 8),
        (2, 8),
        (4, 1),
        (5, 1),
        (7, 2),
        (8, 4),
        (11, 2),
        (12, 4),
        (16, 4),
        (17, 4),
        (152, 8),
        (153, 8),
        (10, 2),
        (14, 2),
        (60, 1),
        (6, 1),
        (58, 2),
        (225, 4),
        (227, 4),
    ];
    Template::new(256, 0, fields.iter().map(|&(id, length)| iana(id, length)).collect())
}

fn full_flow_template() -> Template {
    let mut fields = vec![
        iana(1, 8),
        iana(2, 8),
        iana(4, 1),
        iana(5, 1),
        iana(7, 2),
        iana(8, 4),
        iana(11, 2),
        iana(12, 4),
        iana(16, 4),
        iana(17, 4),
        iana(152, 8),
        iana(153, 8),
        iana(10, 2),
        iana(14, 2),
        iana(60, 1),
        vendor(2000, 8),
        vendor(2001, VARIABLE),
        vendor(2002, 2),
        vendor(2003, VARIABLE),
        iana(225, 4),
        iana(227, 2),
    ];
    fields.extend([2010, 2011].map(|id| vendor(id, 2)));
    fields.extend([vendor(2012, 4), vendor(2016, 2), iana(58, 2), iana(59, 2), vendor(2017, VARIABLE)]);
    fields.extend([iana(55, 1), iana(132, 8), iana(133, 8)]);
    Template::new(257, 0, fields)
}

fn wanted(field: &FieldSpec) -> Wanted {
    let kind = match field.length {
        1 => ColumnKind::U8,
        2 => ColumnKind::U16,
        4 => ColumnKind::U32,
        8 => ColumnKind::U64,
        _ => ColumnKind::Bytes,
    };
    let source =
        Source { element: field.element, min_len: 0, max_len: field.length, convert: Convert::Plain };
    Wanted { kind, sources: vec![source], constant: None }
}

fn measure(name: &str, template: &Template) -> Result<(), EncodeError> {
    let (buffer, bodies) = messages(template)?;
    let context = MessageContext { export_time: 0, uptime_ms: 0, constants: &[] };
    let sets: Vec<DataSet<'_>> = bodies.into_iter().map(|body| DataSet { body, context }).collect();
    let wanted: Vec<Wanted> = template.fields.iter().map(wanted).collect();
    let plan = Plan::compile(template, &wanted);
    let mut columns: Vec<Column> = wanted.iter().map(|wanted| Column::new(wanted.kind)).collect();
    let mut scratch = Scratch::default();

    let mut best = Duration::MAX;
    let mut rows = 0;
    for _ in 0..50 {
        let start = Instant::now();
        rows = 0;
        for frame in sets.chunks(64) {
            let decoded = plan.decode_many(black_box(&buffer), frame, &mut columns, &mut scratch);
            rows += decoded.iter().map(|decoded| decoded.records).sum::<u32>();
            if columns.first().is_some_and(|column| column.len() >= BLOCK) {
                black_box(&columns).len();
                columns.iter_mut().for_each(Column::clear);
            }
        }
        best = best.min(start.elapsed());
    }
    let ns = best.as_nanos() as f64 / f64::from(rows);
    println!("{name}: {ns:.1} ns per record ({} bytes)", buffer.len() / rows as usize);
    Ok(())
}

/// Messages of about 1,400 bytes, 4 MB in all, and where the bodies of their sets are.
fn messages(template: &Template) -> Result<(Vec<u8>, Vec<std::ops::Range<usize>>), EncodeError> {
    let mut builder = MessageBuilder::new(Protocol::Ipfix, 0);
    let (mut buffer, mut bodies) = (Vec::new(), Vec::new());
    let mut number = 0u64;
    while buffer.len() < 4 << 20 {
        builder.begin(0, number as u32);
        builder.begin_data(template.id);
        while builder.len() < 1_280 {
            record(&mut builder, template, number);
            number += 1;
        }
        let message = builder.finish()?;
        if let Ok(header) = parse_header(message) {
            for set in Sets::new(&header, message).flatten() {
                let start = buffer.len() + set.offset;
                bodies.push(start..start + set.body.len());
            }
        }
        buffer.extend_from_slice(message);
    }
    Ok((buffer, bodies))
}

fn record(builder: &mut MessageBuilder, template: &Template, number: u64) {
    for field in &template.fields {
        match field.element.id {
            2001 => builder.put_variable(format!("host-{}.example.net", number % 5000).as_bytes()),
            2003 => builder.put_variable(format!("user{}", number % 100_000).as_bytes()),
            2017 => builder.put_variable(b""),
            _ => builder.put_uint(number, usize::from(field.length)),
        }
    }
    builder.end_record();
}
