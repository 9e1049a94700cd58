//! Gathers enriched records into groups. Whatever order they come in, and however they are split into blocks, the same
//! records make the same groups with the same values.

use crds::enrichment::{HostName, RttUnit, SubscriberFilter};
use crds::receiver::EnrichmentConfig;
use ipfix::Column;
use schema::aggregate::{Family, bucket};
use schema::{DPI_ID, RECEIVED_AT, Stream};

use super::groups::Groups;
use super::histograms::Histograms;
use super::layout::{Add, HEAD_BYTES, KeyLayout, Layout, Operation, Source, TIME_BYTES};
use super::names;
use super::texts::Texts;
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

/// Groups with what is counted of them.
pub(super) struct Counted {
    pub(super) groups: Groups,
    pub(super) histograms: Histograms,
}

impl Counted {
    pub(super) fn new(key_bytes: usize, slots: usize) -> Counted {
        Counted { groups: Groups::new(key_bytes, slots), histograms: Histograms::default() }
    }

    fn clear(&mut self) {
        self.groups.clear();
        self.histograms.clear();
    }

    fn memory(&self) -> usize {
        self.groups.memory() + self.histograms.memory()
    }
}

/// What is gathered since the last flush.
pub struct Gatherer {
    pub(super) layout: Layout,
    /// Interval of the wide table, seconds.
    interval: u32,
    /// Interval of the totals, seconds.
    totals_interval: u32,
    pub(super) wide: Counted,
    /// The same without keys, in intervals of its own; unused if the family has no such table.
    pub(super) totals: Counted,
    has_totals: bool,
    pub(super) texts: Texts,
    raw_names: Texts,
    /// What each raw name became, as a number of `texts`.
    names: Vec<u32>,
    names_are: HostName,
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
    keys: Vec<u8>,
    summed: Vec<Vec<u64>>,
    rtt: Vec<u64>,
}

impl Gatherer {
    /// For columns as a decoder of `stream` fills them; intervals in minutes.
    pub fn new(family: &Family, stream: &Stream, switches: Option<&[String]>, minutes: u32) -> Gatherer {
        let layout = Layout::new(family, stream, switches);
        let totals = family.tables.iter().skip(1).find(|table| table.keys.is_empty());
        Gatherer {
            interval: minutes * 60,
            totals_interval: totals.map_or(60, |table| table.minutes_with(minutes) * 60),
            wide: Counted::new(layout.key.bytes, layout.slots),
            totals: Counted::new(HEAD_BYTES, layout.slots),
            has_totals: totals.is_some(),
            texts: Texts::new(),
            raw_names: Texts::new(),
            names: Vec::new(),
            names_are: HostName::default(),
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
        self.values(columns, settings.rtt_unit, rows);
        self.count(columns, rows);
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
        if names_are != self.names_are {
            self.names_are = names_are;
            self.raw_names.clear();
            self.names.clear();
        }
        let KeyLayout { fields, bytes } = &self.layout.key;
        let stride = *bytes;
        let keys = &mut self.block.keys;
        keys.clear();
        keys.resize(rows * stride, 0);
        let interval = self.interval;
        put(keys, stride, 0, self.block.times.iter().map(|time| (time - time % interval).to_le_bytes()));
        if let Some(Column::U16(dpis)) = columns.get(DPI_PLACE) {
            put(keys, stride, TIME_BYTES, dpis.iter().map(|dpi| dpi.to_le_bytes()));
        }
        let directions = match self.layout.direction.and_then(|place| columns.get(place)) {
            Some(Column::U8(directions)) => directions.as_slice(),
            _ => &[],
        };
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
                        let texts = &mut self.texts;
                        put(keys, stride, at, values.iter().map(|text| texts.number(text).to_le_bytes()));
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
                        let (raw, names, texts) = (&mut self.raw_names, &mut self.names, &mut self.texts);
                        let numbers = values.iter().map(|host| {
                            let number = raw.number(host) as usize;
                            // Numbers count up: this is the next, or the first of all, which is the empty name.
                            while names.len() <= number {
                                let shown = names::shown(raw.get(names.len() as u32), names_are);
                                names.push(texts.number(&shown));
                            }
                            names.get(number).copied().unwrap_or_default().to_le_bytes()
                        });
                        put(keys, stride, at, numbers);
                    }
                }
            }
        }
    }

    /// The numbers that are summed, all of 8 bytes.
    fn values(&mut self, columns: &[Column], rtt_unit: RttUnit, rows: usize) {
        let Block { summed, rtt, .. } = &mut self.block;
        summed.resize_with(self.layout.summed.len(), Vec::new);
        for (values, place) in summed.iter_mut().zip(&self.layout.summed) {
            widen(columns.get(*place), 1, rows, values);
        }
        let unit = rtt_unit.microseconds().into();
        widen(self.layout.rtt.and_then(|place| columns.get(place)), unit, rows, rtt);
    }

    fn count(&mut self, columns: &[Column], rows: usize) {
        let Block { times, is_left_out, keys, summed, rtt } = &self.block;
        let directions = match self.layout.direction.and_then(|place| columns.get(place)) {
            Some(Column::U8(directions)) => directions.as_slice(),
            _ => &[],
        };
        let dpis = match columns.get(DPI_PLACE) {
            Some(Column::U16(dpis)) => dpis.as_slice(),
            _ => &[],
        };
        let mut counted = 0;
        for (row, (key, left_out)) in keys.chunks_exact(self.layout.key.bytes).zip(is_left_out).enumerate() {
            if *left_out {
                continue;
            }
            counted += 1;
            let is_to = directions.get(row) == Some(&TO);
            let operations = if is_to { &self.layout.to } else { &self.layout.from };
            let record = Record { row, summed, rtt: rtt.get(row).copied().unwrap_or(0) };
            record.add_to(&mut self.wide, key, operations);
            if self.has_totals {
                let time = times.get(row).copied().unwrap_or(0);
                let dpi = dpis.get(row).copied().unwrap_or(0);
                let mut key = [0; HEAD_BYTES];
                put(&mut key, HEAD_BYTES, 0, [(time - time % self.totals_interval).to_le_bytes()]);
                put(&mut key, HEAD_BYTES, TIME_BYTES, [dpi.to_le_bytes()]);
                record.add_to(&mut self.totals, &key, operations);
            }
        }
        self.records += counted;
        debug_assert!(counted <= rows as u64);
    }

    /// Groups that are there.
    pub fn groups(&self) -> u32 {
        self.wide.groups.len()
    }

    /// Bytes that everything takes.
    pub fn memory(&self) -> usize {
        let texts = self.texts.memory() + self.raw_names.memory() + self.names.capacity() * 4;
        self.wide.memory() + self.totals.memory() + texts
    }

    /// Begins anew; the memory is kept.
    pub fn clear(&mut self) {
        self.wide.clear();
        self.totals.clear();
        self.texts.clear();
        self.raw_names.clear();
        self.names.clear();
        self.records = 0;
        self.filtered = Filtered::default();
        self.clock_skew = 0;
    }
}

/// Constants come first among the decoded columns, but not in the order of their numbers: see `streams::origin`.
const DPI_PLACE: usize = DPI_ID;
const RECEIVED_AT_PLACE: usize = RECEIVED_AT + 1;

/// One record on its way into a group.
struct Record<'a> {
    row: usize,
    summed: &'a [Vec<u64>],
    rtt: u64,
}

impl Record<'_> {
    #[inline]
    fn add_to(&self, counted: &mut Counted, key: &[u8], operations: &[Operation]) {
        let group = counted.groups.find(key);
        let values = counted.groups.values_mut(group);
        let value = |place: usize| {
            self.summed.get(place).and_then(|values| values.get(self.row)).copied().unwrap_or(0)
        };
        let rtt = self.rtt;
        for Operation { add, slot } in operations {
            let Add::RttHistogram(which) = *add else {
                let Some(slot) = values.get_mut(*slot) else { continue };
                match *add {
                    Add::One => *slot += 1,
                    Add::NonZero(place) => *slot += u64::from(value(place) != 0),
                    Add::Value(place) => *slot = slot.wrapping_add(value(place)),
                    Add::RttCount => *slot += u64::from(rtt != 0),
                    Add::RttSum => *slot += rtt,
                    Add::RttMin if rtt != 0 && (*slot == 0 || rtt < *slot) => *slot = rtt,
                    Add::RttMax => *slot = rtt.max(*slot),
                    Add::RttMin | Add::RttHistogram(_) => {}
                }
                continue;
            };
            if rtt != 0 {
                counted.histograms.add(group, which, bucket(rtt));
            }
        }
    }
}

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

fn widen(column: Option<&Column>, unit: u64, rows: usize, out: &mut Vec<u64>) {
    out.clear();
    match column {
        Some(Column::U8(values)) => out.extend(values.iter().map(|value| u64::from(*value) * unit)),
        Some(Column::U16(values)) => out.extend(values.iter().map(|value| u64::from(*value) * unit)),
        Some(Column::U32(values)) => out.extend(values.iter().map(|value| u64::from(*value) * unit)),
        Some(Column::U64(values)) => out.extend(values.iter().map(|value| value.saturating_mul(unit))),
        _ => out.resize(rows, 0),
    }
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
