//! Groups to blocks of ClickHouse's Native format: for each table of a family and each of its partitions one block,
//! which becomes one insert and so one part. The narrow tables are made here, of the wide one's groups.

use std::collections::BTreeMap;
use std::io;

use ipfix::{BytesColumn, Column};
use schema::aggregate::{AggregateTable, Family, MeasureOf};
use schema::native::Encoder;

use super::gather::{Counted, Gatherer};
use super::layout::{Field, HEAD_BYTES, Kept, KeyLayout, TIME_BYTES};
use super::texts::Texts;

const DAY_S: u32 = 86_400;

/// One block: its table, its partition (weeks since 1970), its rows, its bytes.
pub(super) struct Block<'a> {
    pub(super) table: &'a AggregateTable,
    pub(super) week: u32,
    pub(super) rows: u64,
    pub(super) bytes: &'a [u8],
}

/// Makes the blocks of all tables, one after the other.
///
/// # Errors
/// What `take` says, or a mistake of ours in making a block.
pub(super) fn blocks(
    gatherer: &mut Gatherer,
    family: &Family,
    minutes: u32,
    mut take: impl FnMut(Block<'_>) -> io::Result<()>,
) -> io::Result<()> {
    gatherer.wide.histograms.sum_up();
    gatherer.totals.histograms.sum_up();
    for (index, table) in family.tables.iter().enumerate() {
        let key = KeyLayout::of(family, table);
        if index == 0 {
            of_table(family, table, &key, &gatherer.wide, gatherer, &mut take)?;
        } else if table.keys.is_empty() {
            of_table(family, table, &key, &gatherer.totals, gatherer, &mut take)?;
        } else {
            let interval = table.minutes_with(minutes) * 60;
            let counted = narrowed(gatherer, &key, interval);
            of_table(family, table, &key, &counted, gatherer, &mut take)?;
        }
    }
    Ok(())
}

/// The wide groups by fewer keys and longer intervals.
fn narrowed(gatherer: &mut Gatherer, key: &KeyLayout, interval: u32) -> Counted {
    let mut counted = Counted::new(key.bytes, gatherer.layout.slots);
    let wide = &gatherer.wide;
    let wide_fields = &gatherer.layout.key.fields;
    let parts: Vec<(&Field, &Field)> = key
        .fields
        .iter()
        .filter_map(|field| Some((field, wide_fields.iter().find(|wide| wide.name == field.name)?)))
        .collect();
    let mut to = Vec::with_capacity(wide.groups.len() as usize);
    let mut buffer = vec![0; key.bytes];
    for group in 0..wide.groups.len() {
        let wide_key = wide.groups.key(group);
        let time = number_at(wide_key, 0);
        copy(&mut buffer, 0, &(time - time % interval).to_le_bytes());
        copy(&mut buffer, TIME_BYTES, wide_key.get(TIME_BYTES..HEAD_BYTES).unwrap_or_default());
        for (field, wide) in &parts {
            let value = wide_key.get(wide.offset..wide.offset + wide.width).unwrap_or_default();
            copy(&mut buffer, field.offset, value);
        }
        let narrow = counted.groups.find(&buffer);
        merge(counted.groups.values_mut(narrow), wide.groups.values(group), &gatherer.layout.kept);
        to.push(narrow);
    }
    counted.histograms = gatherer.wide.histograms.regrouped(&to);
    counted
}

/// Adds one group's values to another's.
fn merge(into: &mut [u64], from: &[u64], kept: &[Kept]) {
    for kept in kept {
        let Kept::Slot(slot, of) = *kept else { continue };
        let (Some(into), Some(&from)) = (into.get_mut(slot), from.get(slot)) else { continue };
        *into = match of {
            // 0 is "none".
            MeasureOf::RttMin if *into == 0 => from,
            MeasureOf::RttMin if from == 0 => *into,
            MeasureOf::RttMin => from.min(*into),
            MeasureOf::RttMax => from.max(*into),
            _ => into.wrapping_add(from),
        };
    }
}

fn of_table(
    family: &Family,
    table: &AggregateTable,
    key: &KeyLayout,
    counted: &Counted,
    gatherer: &Gatherer,
    take: &mut impl FnMut(Block<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut weeks: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for group in 0..counted.groups.len() {
        let time = number_at(counted.groups.key(group), 0);
        // 1970 began on a Thursday, three days after a Monday.
        weeks.entry((time / DAY_S + 3) / 7).or_default().push(group);
    }
    let mut encoder = Encoder::of_columns(family.block_columns(table));
    for (week, groups) in weeks {
        let columns = columns(key, counted, &gatherer.layout.kept, &gatherer.texts, &groups);
        let mut bytes = Vec::new();
        encoder.encode_block(&columns, &mut bytes).map_err(io::Error::other)?;
        take(Block { table, week, rows: groups.len() as u64, bytes: &bytes })?;
    }
    Ok(())
}

fn columns(key: &KeyLayout, counted: &Counted, kept: &[Kept], texts: &Texts, groups: &[u32]) -> Vec<Column> {
    let keys = || groups.iter().map(|group| counted.groups.key(*group));
    let mut columns = vec![
        Column::U32(keys().map(|key| number_at(key, 0)).collect()),
        Column::U16(keys().map(|key| u16::from_le_bytes(bytes_at(key, TIME_BYTES))).collect()),
    ];
    for field in &key.fields {
        let at = field.offset;
        columns.push(match Column::new(field.column_type.kind()) {
            Column::U8(_) => Column::U8(keys().map(|key| u8::from_le_bytes(bytes_at(key, at))).collect()),
            Column::U16(_) => Column::U16(keys().map(|key| u16::from_le_bytes(bytes_at(key, at))).collect()),
            Column::U32(_) => Column::U32(keys().map(|key| number_at(key, at)).collect()),
            Column::U64(_) => Column::U64(keys().map(|key| u64::from_le_bytes(bytes_at(key, at))).collect()),
            Column::Bytes16(_) => Column::Bytes16(keys().map(|key| bytes_at(key, at)).collect()),
            Column::Bytes(mut column) => {
                keys().for_each(|key| column.push(texts.get(number_at(key, at))));
                Column::Bytes(column)
            }
        });
    }
    for kept in kept {
        columns.push(match *kept {
            Kept::Slot(slot, _) => {
                let value = |group: &u32| counted.groups.values(*group).get(slot).copied().unwrap_or(0);
                Column::U64(groups.iter().map(value).collect())
            }
            Kept::Histogram(which) => {
                let mut column = BytesColumn::default();
                let mut value = Vec::new();
                for group in groups {
                    value.clear();
                    for (bucket, count) in counted.histograms.of(*group, which) {
                        value.push(bucket);
                        value.extend_from_slice(&count.to_le_bytes());
                    }
                    column.push(&value);
                }
                Column::Bytes(column)
            }
        });
    }
    columns
}

fn copy(key: &mut [u8], offset: usize, value: &[u8]) {
    if let Some(field) = key.get_mut(offset..offset + value.len()) {
        field.copy_from_slice(value);
    }
}

fn bytes_at<const W: usize>(key: &[u8], offset: usize) -> [u8; W] {
    key.get(offset..offset + W).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; W])
}

fn number_at(key: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes_at(key, offset))
}
