//! Groups to blocks of ClickHouse's Native format: those of one partition of a table become one insert and so one part.
//! The narrow tables are made here, of the wide one's groups.

use std::collections::BTreeMap;
use std::io;

use ipfix::{BytesColumn, Column};
use schema::aggregate::{AggregateTable, Family};
use schema::native::Encoder;

use super::gather::Gatherer;
use super::groups::Groups;
use super::histograms::Histograms;
use super::layout::{Field, HEAD_BYTES, Kept, KeyLayout, Layout, TIME_BYTES};
use super::texts::Texts;

const DAY_S: u32 = 86_400;
/// Rows of a block: their groups stay in the cache from column to column.
const ROWS: usize = 4096;

/// One block: its table, its partition (weeks since 1970), its rows, its bytes.
pub(super) struct Block<'a> {
    pub(super) table: &'a AggregateTable,
    pub(super) week: u32,
    pub(super) rows: u64,
    pub(super) bytes: &'a [u8],
}

/// Makes the blocks of all tables, those of one partition one after the other.
///
/// # Errors
/// What `take` says, or a mistake of ours in making a block.
pub(super) fn blocks(
    gatherer: &mut Gatherer,
    family: &Family,
    minutes: u32,
    mut take: impl FnMut(Block<'_>) -> io::Result<()>,
) -> io::Result<()> {
    gatherer.histograms.sum_up();
    let mut block = |table: &AggregateTable, key: &KeyLayout, groups: &Groups, histograms: &Histograms| {
        let counted =
            Counted { family, layout: &gatherer.layout, texts: &gatherer.texts, key, groups, histograms };
        counted.of_table(table, &mut take)
    };
    for (index, table) in family.tables.iter().enumerate() {
        let key = KeyLayout::of(family, table);
        if index == 0 {
            block(table, &key, &gatherer.groups, &gatherer.histograms)?;
        } else if let Some(totals) = gatherer.totals.as_ref().filter(|_| table.keys.is_empty()) {
            block(table, &key, &totals.groups, &totals.histograms())?;
        } else {
            let (groups, histograms) = narrowed(gatherer, &key, table.minutes_with(minutes) * 60);
            block(table, &key, &groups, &histograms)?;
        }
    }
    Ok(())
}

/// The wide groups by fewer keys and longer intervals.
fn narrowed(gatherer: &Gatherer, key: &KeyLayout, interval: u32) -> (Groups, Histograms) {
    let mut narrow = Groups::new(key.words, gatherer.layout.slots);
    let wide = &gatherer.groups;
    let wide_fields = &gatherer.layout.key.fields;
    let parts: Vec<(&Field, &Field)> = key
        .fields
        .iter()
        .filter_map(|field| Some((field, wide_fields.iter().find(|wide| wide.name == field.name)?)))
        .collect();
    let mut keys = vec![0u64; wide.len() as usize * key.words];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut keys);
    for (group, buffer) in (0..).zip(bytes.chunks_exact_mut(key.bytes())) {
        let wide_key = wide.key(group);
        let time = number_at(wide_key, 0);
        copy(buffer, 0, &(time - time % interval).to_le_bytes());
        copy(buffer, TIME_BYTES, wide_key.get(TIME_BYTES..HEAD_BYTES).unwrap_or_default());
        for (field, wide) in &parts {
            let value = wide_key.get(wide.offset..wide.offset + wide.width).unwrap_or_default();
            copy(buffer, field.offset, value);
        }
    }
    let mut to = Vec::with_capacity(wide.len() as usize);
    narrow.find_all(&keys, &mut to);
    for (group, into) in (0..).zip(&to) {
        narrow.add(*into, wide.values(group));
    }
    let histograms = gatherer.histograms.regrouped(&to, narrow.len());
    (narrow, histograms)
}

/// The groups of one table with all that is needed to read them.
struct Counted<'a> {
    family: &'a Family,
    layout: &'a Layout,
    texts: &'a Texts,
    key: &'a KeyLayout,
    groups: &'a Groups,
    histograms: &'a Histograms,
}

impl Counted<'_> {
    fn of_table(
        &self,
        table: &AggregateTable,
        take: &mut impl FnMut(Block<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut weeks: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for group in 0..self.groups.len() {
            let time = number_at(self.groups.key(group), 0);
            // 1970 began on a Thursday, three days after a Monday.
            weeks.entry((time / DAY_S + 3) / 7).or_default().push(group);
        }
        let mut encoder = Encoder::of_columns(self.family.block_columns(table));
        let mut bytes = Vec::new();
        for (week, groups) in weeks {
            for groups in groups.chunks(ROWS) {
                bytes.clear();
                encoder.encode_block(&self.columns(groups), &mut bytes).map_err(io::Error::other)?;
                take(Block { table, week, rows: groups.len() as u64, bytes: &bytes })?;
            }
        }
        Ok(())
    }

    fn columns(&self, groups: &[u32]) -> Vec<Column> {
        let keys = || groups.iter().map(|group| self.groups.key(*group));
        let mut columns = vec![
            Column::U32(keys().map(|key| number_at(key, 0)).collect()),
            Column::U16(keys().map(|key| u16::from_le_bytes(bytes_at(key, TIME_BYTES))).collect()),
        ];
        for field in &self.key.fields {
            let at = field.offset;
            columns.push(match Column::new(field.column_type.kind()) {
                Column::U8(_) => Column::U8(keys().map(|key| u8::from_le_bytes(bytes_at(key, at))).collect()),
                Column::U16(_) => {
                    Column::U16(keys().map(|key| u16::from_le_bytes(bytes_at(key, at))).collect())
                }
                Column::U32(_) => Column::U32(keys().map(|key| number_at(key, at)).collect()),
                Column::U64(_) => {
                    Column::U64(keys().map(|key| u64::from_le_bytes(bytes_at(key, at))).collect())
                }
                Column::Bytes16(_) => Column::Bytes16(keys().map(|key| bytes_at(key, at)).collect()),
                Column::Bytes(mut column) => {
                    keys().for_each(|key| column.push(self.texts.get(number_at(key, at))));
                    Column::Bytes(column)
                }
            });
        }
        columns.extend(self.layout.kept.iter().map(|kept| self.measure(*kept, groups)));
        columns
    }

    fn measure(&self, kept: Kept, groups: &[u32]) -> Column {
        let value = |group: &u32, slot: usize| self.groups.values(*group).get(slot).copied().unwrap_or(0);
        match kept {
            Kept::Slot(slot) => Column::U64(groups.iter().map(|group| value(group, slot)).collect()),
            Kept::Complement(slot) => {
                let shortest = |group| match value(group, slot) {
                    0 => 0,
                    complement => !complement,
                };
                Column::U64(groups.iter().map(shortest).collect())
            }
            Kept::Histogram(which) => {
                let mut column = BytesColumn::default();
                let mut value = Vec::new();
                for group in groups {
                    value.clear();
                    for (bucket, count) in self.histograms.of(*group, which) {
                        value.push(bucket);
                        value.extend_from_slice(&count.to_le_bytes());
                    }
                    column.push(&value);
                }
                Column::Bytes(column)
            }
        }
    }
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
