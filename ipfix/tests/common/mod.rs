//! A decoder that is as simple as can be, to compare plans with: record by record, field by field,
//! straight from RFC 7011. It shares no code with the library.

use ipfix::{Column, ColumnKind, Convert, FieldSpec, MessageContext, Template, Wanted};

/// The bytes of each field of each record, without the length prefixes.
pub struct Records {
    pub records: Vec<Vec<Vec<u8>>>,
    pub malformed_tail: bool,
}

pub fn split_records(template: &Template, body: &[u8]) -> Records {
    let shortest: usize = template
        .fields
        .iter()
        .map(|field| if field.length == 65535 { 1 } else { field.length as usize })
        .sum();
    let mut records = Vec::new();
    let mut rest = body;
    while !rest.is_empty() && rest.len() >= shortest {
        let record = if shortest == 0 { None } else { take_record(template, &mut rest) };
        match record {
            Some(record) => records.push(record),
            None => return Records { records, malformed_tail: rest.iter().any(|&byte| byte != 0) },
        }
    }
    Records { records, malformed_tail: false }
}

/// Leaves `rest` as it is if the record does not end within it.
fn take_record(template: &Template, rest: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut left = *rest;
    let mut record = Vec::new();
    for field in &template.fields {
        let length = if field.length == 65535 { take_length(&mut left)? } else { field.length as usize };
        if left.len() < length {
            return None;
        }
        record.push(left[..length].to_vec());
        left = &left[length..];
    }
    *rest = left;
    Some(record)
}

fn take_length(left: &mut &[u8]) -> Option<usize> {
    let (&first, after) = left.split_first()?;
    *left = after;
    if first < 255 {
        return Some(first as usize);
    }
    if after.len() < 2 {
        return None;
    }
    *left = &after[2..];
    Some(after[0] as usize * 256 + after[1] as usize)
}

/// One value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

/// What the columns should hold after these records.
pub fn expected_columns(
    template: &Template,
    wanted: &[Wanted],
    context: &MessageContext<'_>,
    records: &[Vec<Vec<u8>>],
) -> Vec<Vec<Value>> {
    wanted
        .iter()
        .map(|wanted| records.iter().map(|record| value(template, wanted, context, record)).collect())
        .collect()
}

fn value(template: &Template, wanted: &Wanted, context: &MessageContext<'_>, record: &[Vec<u8>]) -> Value {
    let width = match wanted.kind {
        ColumnKind::U8 => 1,
        ColumnKind::U16 => 2,
        ColumnKind::U32 => 4,
        ColumnKind::U64 => 8,
        ColumnKind::Bytes16 => 16,
        ColumnKind::Bytes => 0,
    };
    let is_number = (1..=8).contains(&width);
    let cut = |number: u64| Value::Number(if width == 8 { number } else { number % (1 << (8 * width)) });
    if let Some(index) = wanted.constant {
        return match (is_number, width) {
            (true, _) => cut(context.constants.get(index).copied().unwrap_or(0)),
            (false, 16) => Value::Bytes(vec![0; 16]),
            (false, _) => Value::Bytes(vec![]),
        };
    }
    for source in &wanted.sources {
        for (field, bytes) in template.fields.iter().zip(record) {
            let variable = field.length == 65535;
            let allowed = (source.min_len..=source.max_len).contains(&field.length);
            if field.element != source.element || !allowed {
                continue;
            }
            if wanted.kind == ColumnKind::Bytes || (width == 16 && field.length == 16) {
                return Value::Bytes(bytes.clone());
            }
            let ntp = matches!(source.convert, Convert::MicrosNtpToMillis | Convert::NanosNtpToMillis);
            let lengths = if ntp { 8..=8 } else { 1..=8 };
            if is_number && !variable && lengths.contains(&field.length) {
                return cut(convert(source.convert, number(bytes), context, boot_time(template, record)));
            }
        }
    }
    if is_number { Value::Number(0) } else { Value::Bytes(vec![0; width as usize]) }
}

fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[8 - bytes.len()..].copy_from_slice(bytes);
    u64::from_be_bytes(all)
}

fn boot_time(template: &Template, record: &[Vec<u8>]) -> Option<u64> {
    let is_boot_time = |field: &FieldSpec| field.element == ipfix::Element::iana(160);
    let place = template.fields.iter().position(is_boot_time)?;
    (1..=8).contains(&template.fields[place].length).then(|| number(&record[place]))
}

fn convert(convert: Convert, value: u64, context: &MessageContext<'_>, boot: Option<u64>) -> u64 {
    match convert {
        Convert::Plain => value,
        Convert::SecondsToMillis => value.saturating_mul(1000),
        Convert::MicrosNtpToMillis | Convert::NanosNtpToMillis => {
            let (seconds, fraction) = ((value >> 32) as i128, (value & 0xffff_ffff) as i128);
            let mut unix = seconds - 2_208_988_800;
            if unix < 0 {
                unix += 1 << 32;
            }
            if value == 0 { 0 } else { (unix * 1000 + fraction * 1000 / (1 << 32)) as u64 }
        }
        Convert::UptimeToMillis => match boot {
            Some(boot) => boot.wrapping_add(value),
            None if context.uptime_ms == 0 => u64::from(context.export_time) * 1000,
            None => {
                let age = i64::from(context.uptime_ms.wrapping_sub(value as u32) as i32);
                (i64::from(context.export_time) * 1000 - age).max(0) as u64
            }
        },
    }
}

/// What a column holds.
pub fn values(column: &Column) -> Vec<Value> {
    match column {
        Column::U8(values) => values.iter().map(|&value| Value::Number(value.into())).collect(),
        Column::U16(values) => values.iter().map(|&value| Value::Number(value.into())).collect(),
        Column::U32(values) => values.iter().map(|&value| Value::Number(value.into())).collect(),
        Column::U64(values) => values.iter().map(|&value| Value::Number(value)).collect(),
        Column::Bytes16(values) => values.iter().map(|value| Value::Bytes(value.to_vec())).collect(),
        Column::Bytes(values) => values.iter().map(|value| Value::Bytes(value.to_vec())).collect(),
    }
}
