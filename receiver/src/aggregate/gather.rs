//! Gathers enriched records into groups. Whatever order they come in, and however they are split into blocks, the same
//! records make the same groups with the same values.

use crds::enrichment::{HostName, SubscriberFilter};
use crds::receiver::EnrichmentConfig;
use ipfix::Column;
use schema::aggregate::{Family, bucket};
use schema::{DPI_ID, RECEIVED_AT, Stream};

use super::groups::Groups;
use super::histograms::Histograms;
use super::layout::{KeyLayout, Layout, Source, TIME_BYTES};
use super::names::Names;
use super::texts::Texts;
use super::totals::Totals;
use super::values::{Brought, PIECE, Values};
use crate::enrich::TO;

/// A record that says it happened longer than this before or after it arrived is counted where it arrived.
const MAX_SKEW_S: u64 = 86_400;

/// Records that aggregates leave out, by rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Filtered {
    /// The subscriber's end is not ours, by `subscriberFilter`.
    pub not_local: u64,
    /// The subscriber's end is excluded, by `subscriberExclude`.
    pub excluded: u64,
    /// A fullflow record that has no translation.
    pub no_translation: u64,
}

impl Filtered {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.not_local + self.excluded + self.no_translation
    }

    /// Those of both.
    pub fn add(&mut self, other: &Filtered) {
        self.not_local += other.not_local;
        self.excluded += other.excluded;
        self.no_translation += other.no_translation;
    }
}

/// What is gathered since the last flush.
pub struct Gatherer {
    pub(super) layout: Layout,
    /// Interval of the wide table, seconds.
    interval: u32,
    pub(super) groups: Groups,
    pub(super) histograms: Histograms,
    /// The same without keys, in intervals of its own, if the family has such a table.
    pub(super) totals: Option<Totals>,
    pub(super) texts: Texts,
    names: Names,
    /// Records that are in the groups.
    pub records: u64,
    pub(super) filtered: Filtered,
    pub(super) clock_skew: u64,
    block: Block,
}

/// Buffers for one block.
#[derive(Default)]
struct Block {
    times: Vec<u32>,
    is_left_out: Vec<bool>,
    keys: Vec<u64>,
    numbers: Vec<u32>,
    values: Values,
    found: Vec<u32>,
}

impl Block {
    /// What is left out must not make a group: the keys of the other rows follow each other.
    fn leave_out_keys(&mut self, words: usize) {
        let mut kept = 0;
        for (row, _) in self.is_left_out.iter().enumerate().filter(|(_, left_out)| !**left_out) {
            if kept != row {
                self.keys.copy_within(row * words..(row + 1) * words, kept * words);
            }
            kept += 1;
        }
        self.keys.truncate(kept * words);
    }
}

impl Gatherer {
    /// For columns as a decoder of `stream` fills them; intervals in minutes.
    pub fn new(family: &Family, stream: &Stream, switches: Option<&[String]>, minutes: u32) -> Gatherer {
        let layout = Layout::new(family, stream, switches);
        let totals = family.tables.iter().skip(1).find(|table| table.keys.is_empty());
        let totals = totals.map(|table| {
            Totals::new(table.minutes_with(minutes) * 60, layout.slots, layout.histograms.len())
        });
        Gatherer {
            interval: minutes * 60,
            groups: Groups::new(layout.key.words, layout.slots),
            histograms: Histograms::default(),
            totals,
            texts: Texts::new(),
            names: Names::new(),
            records: 0,
            filtered: Filtered::default(),
            clock_skew: 0,
            block: Block::default(),
            layout,
        }
    }

    /// Adds the rows of a block.
    pub fn add(&mut self, columns: &[Column], settings: &EnrichmentConfig) {
        let rows = columns.first().map_or(0, Column::len);
        if rows == 0 {
            return;
        }
        self.leave_out(columns, settings, rows);
        self.times(columns, rows);
        self.keys(columns, settings.host, rows);
        self.block.values.take(&self.layout, columns, settings.rtt_unit, rows);
        self.block.leave_out_keys(self.layout.key.words);
        self.count(columns);
    }

    fn leave_out(&mut self, columns: &[Column], settings: &EnrichmentConfig, rows: usize) {
        let left_out = &mut self.block.is_left_out;
        left_out.clear();
        left_out.resize(rows, false);
        if let Some(Column::U32(addresses)) = self.layout.translated.and_then(|place| columns.get(place)) {
            for (left_out, address) in left_out.iter_mut().zip(addresses) {
                *left_out = *address == 0;
                self.filtered.no_translation += u64::from(*address == 0);
            }
        }
        let Some(Column::U8(flags)) = self.layout.flags.and_then(|place| columns.get(place)) else { return };
        let has_as = self.layout.has_as;
        if let Some(local) = matching(settings.subscriber_filter, 0, has_as) {
            for (left_out, flags) in left_out.iter_mut().zip(flags) {
                if !is_among(local, *flags) {
                    *left_out = true;
                    self.filtered.not_local += 1;
                }
            }
        }
        if let Some(excluded) = matching(settings.subscriber_exclude, 2, has_as) {
            for (left_out, flags) in left_out.iter_mut().zip(flags) {
                if !*left_out && is_among(excluded, *flags) {
                    *left_out = true;
                    self.filtered.excluded += 1;
                }
            }
        }
    }

    /// When each record happened, in seconds.
    fn times(&mut self, columns: &[Column], rows: usize) {
        let times = &mut self.block.times;
        times.clear();
        let Some(Column::U64(arrivals)) = columns.get(RECEIVED_AT_PLACE) else {
            times.resize(rows, 0);
            return;
        };
        let mut skewed = 0;
        let mut push = |happened: u64, arrival_us: u64| {
            let arrived = arrival_us / 1_000_000;
            let is_near = happened.abs_diff(arrived) <= MAX_SKEW_S;
            skewed += u64::from(!is_near);
            let time = if is_near { happened } else { arrived };
            times.push(u32::try_from(time).unwrap_or(u32::MAX));
        };
        match self.layout.time.and_then(|place| columns.get(place)) {
            Some(Column::U64(milliseconds)) => {
                milliseconds
                    .iter()
                    .zip(arrivals)
                    .for_each(|(happened, arrival)| push(happened / 1000, *arrival));
            }
            Some(Column::U32(seconds)) => {
                seconds
                    .iter()
                    .zip(arrivals)
                    .for_each(|(happened, arrival)| push((*happened).into(), *arrival));
            }
            _ => arrivals.iter().for_each(|arrival| push(0, *arrival)),
        }
        self.clock_skew += skewed;
    }

    fn keys(&mut self, columns: &[Column], names_are: HostName, rows: usize) {
        let KeyLayout { fields, words } = &self.layout.key;
        let stride = self.layout.key.bytes();
        let Block { times, keys, numbers, .. } = &mut self.block;
        keys.clear();
        keys.resize(rows * words, 0);
        let keys: &mut [u8] = bytemuck::cast_slice_mut(keys);
        let interval = self.interval;
        put(keys, stride, 0, times.iter().map(|time| (time - time % interval).to_le_bytes()));
        if let Some(Column::U16(dpis)) = columns.get(DPI_PLACE) {
            put(keys, stride, TIME_BYTES, dpis.iter().map(|dpi| dpi.to_le_bytes()));
        }
        let directions = self.layout.directions(columns);
        for (field, source) in fields.iter().zip(&self.layout.sources) {
            let at = field.offset;
            match *source {
                Source::Nothing => {}
                Source::Column(place) => match columns.get(place) {
                    Some(Column::U8(values)) => put(keys, stride, at, values.iter().map(|value| [*value])),
                    Some(Column::U16(values)) => {
                        put(keys, stride, at, values.iter().map(|value| value.to_le_bytes()))
                    }
                    Some(Column::U32(values)) => {
                        put(keys, stride, at, values.iter().map(|value| value.to_le_bytes()))
                    }
                    Some(Column::U64(values)) => {
                        put(keys, stride, at, values.iter().map(|value| value.to_le_bytes()))
                    }
                    Some(Column::Bytes16(values)) => put(keys, stride, at, values.iter().copied()),
                    Some(Column::Bytes(values)) => {
                        self.texts.number_all(values, numbers);
                        put(keys, stride, at, numbers.iter().map(|number| number.to_le_bytes()));
                    }
                    None => {}
                },
                Source::ByDirection(from, to) => {
                    if let (Some(Column::U32(from)), Some(Column::U32(to))) =
                        (columns.get(from), columns.get(to))
                    {
                        put(keys, stride, at, by_direction(from, to, directions).map(u32::to_le_bytes));
                    }
                }
                Source::Network(place) => {
                    if let Some(Column::Bytes16(values)) = columns.get(place) {
                        put(keys, stride, at, values.iter().copied().map(network));
                    }
                }
                Source::NetworkByDirection(from, to) => {
                    if let (Some(Column::Bytes16(from)), Some(Column::Bytes16(to))) =
                        (columns.get(from), columns.get(to))
                    {
                        put(keys, stride, at, by_direction(from, to, directions).map(network));
                    }
                }
                Source::ClassSelector(place) => {
                    if let Some(Column::U8(values)) = columns.get(place) {
                        put(keys, stride, at, values.iter().map(|value| [value >> 5]));
                    }
                }
                Source::Name(place) => {
                    if let Some(Column::Bytes(values)) = columns.get(place) {
                        self.names.number_all(values, names_are, &mut self.texts, numbers);
                        put(keys, stride, at, numbers.iter().map(|number| number.to_le_bytes()));
                    }
                }
            }
        }
    }

    fn count(&mut self, columns: &[Column]) {
        let Gatherer { layout, groups, histograms, totals, block, records, .. } = self;
        let Block { times, is_left_out, keys, values, found, .. } = block;
        let dpis = match columns.get(DPI_PLACE) {
            Some(Column::U16(dpis)) => dpis.as_slice(),
            _ => &[],
        };
        let mut keys = keys.as_slice();
        for first in (0..is_left_out.len()).step_by(PIECE) {
            let piece = first..(first + PIECE).min(is_left_out.len());
            values.lay_out(layout, piece.clone());
            let left_out = is_left_out.get(piece.clone()).unwrap_or_default();
            let rows = piece.zip(left_out).filter(|(_, left_out)| !**left_out).map(|(row, _)| row);
            let kept = left_out.iter().filter(|left_out| !**left_out).count();
            let (these, rest) = keys.split_at_checked(kept * layout.key.words).unwrap_or_default();
            keys = rest;
            groups.find_all(these, found);
            *records += kept as u64;
            for (row, group) in rows.zip(found.iter().copied()) {
                let Brought { slots, rtt, is_to } = values.of(layout, row);
                groups.add(group, slots);
                let mut total = totals.as_mut().map(|totals| {
                    let time = times.get(row).copied().unwrap_or(0);
                    let dpi = dpis.get(row).copied().unwrap_or(0);
                    (totals.add(time, dpi, slots), totals)
                });
                if rtt == 0 {
                    continue;
                }
                let bucket = bucket(rtt);
                for (which, _) in layout.histograms.iter().enumerate().filter(|(_, way)| way.takes(is_to)) {
                    histograms.add(group, which as u8, bucket);
                    if let Some((total, totals)) = &mut total {
                        totals.count(*total, which as u8, bucket);
                    }
                }
            }
        }
    }

    /// Groups that are there.
    pub fn groups(&self) -> u32 {
        self.groups.len()
    }

    /// Bytes that everything takes.
    pub fn memory(&self) -> usize {
        let totals = self.totals.as_ref().map_or(0, Totals::memory);
        let counted = self.groups.memory() + self.histograms.memory() + totals;
        counted + self.texts.memory() + self.names.memory()
    }

    /// Begins anew; the memory is kept.
    pub fn clear(&mut self) {
        self.groups.clear();
        self.histograms.clear();
        self.totals.iter_mut().for_each(Totals::clear);
        self.texts.clear();
        self.names.clear();
        self.records = 0;
        self.filtered = Filtered::default();
        self.clock_skew = 0;
    }
}

/// Constants come first among the decoded columns, but not in the order of their numbers: see `streams::origin`.
const DPI_PLACE: usize = DPI_ID;
const RECEIVED_AT_PLACE: usize = RECEIVED_AT + 1;

/// Puts a field's bytes into each key.
#[inline]
fn put<const W: usize>(
    keys: &mut [u8],
    stride: usize,
    offset: usize,
    values: impl IntoIterator<Item = [u8; W]>,
) {
    for (key, value) in keys.chunks_exact_mut(stride).zip(values) {
        if let Some(field) = key.get_mut(offset..offset + W) {
            field.copy_from_slice(&value);
        }
    }
}

/// The first 64 bits; a field of 16 bytes is zero behind them.
fn network(address: [u8; 16]) -> [u8; 8] {
    let mut network = [0; 8];
    network.iter_mut().zip(address).for_each(|(byte, of_address)| *byte = of_address);
    network
}

fn by_direction<'a, T: Copy>(
    from: &'a [T],
    to: &'a [T],
    directions: &'a [u8],
) -> impl Iterator<Item = T> + 'a {
    from.iter().zip(to).enumerate().map(
        move |(row, (from, to))| {
            if directions.get(row) == Some(&TO) { *to } else { *from }
        },
    )
}

/// Which of the four combinations of two flags, the AS's at bit `shift` and the address's behind it, a filter means;
/// `None`: it means nothing. Without AS numbers a filter by AS means nothing, and of the others the address is left.
fn matching(filter: SubscriberFilter, shift: u8, has_as: bool) -> Option<(u8, u8)> {
    let by_both = match (filter, has_as) {
        (SubscriberFilter::None, _) | (SubscriberFilter::AS, false) => return None,
        (SubscriberFilter::AS, true) => 0b1010,
        (SubscriberFilter::CIDR, _) | (_, false) => 0b1100,
        (SubscriberFilter::ASAndCIDR, true) => 0b1000,
        (SubscriberFilter::ASOrCIDR, true) => 0b1110,
    };
    Some((by_both, shift))
}

fn is_among((combinations, shift): (u8, u8), flags: u8) -> bool {
    combinations >> ((flags >> shift) & 3) & 1 == 1
}
