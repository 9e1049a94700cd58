//! Where things lie: a family compiled against the columns that a decoder fills. Keys are rows of words with a fixed
//! stride, texts in them are numbers; what is counted are slots of one word.

use std::collections::BTreeSet;

use ipfix::{Column, ColumnKind};
use schema::aggregate::{AggregateTable, Family, KeyOf, MeasureOf, Way};
use schema::{ColumnDecl, ColumnType, Filled, Stream, aggregates};

use super::groups::Slots;

/// Bytes of a key in front of the fields: beginning of the interval (seconds), DPI.
pub(super) const TIME_BYTES: usize = 4;
pub(super) const HEAD_BYTES: usize = TIME_BYTES + 2;

/// A key's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) column_type: ColumnType,
    /// Where it begins in the key.
    pub(super) offset: usize,
    pub(super) width: usize,
}

/// Where a field's value comes from, as positions among the decoded columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A column as it is.
    Column(usize),
    /// The first, or the second where the record goes to the subscriber.
    ByDirection(usize, usize),
    /// The first 64 bits of a column of addresses.
    Network(usize),
    /// The first 64 bits of either column.
    NetworkByDirection(usize, usize),
    /// A host's name.
    Name(usize),
    /// The upper three bits.
    ClassSelector(usize),
    /// Switched off, or the stream lacks the column: always empty.
    Nothing,
}

/// What one record brings to a slot of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Add {
    /// Always 0: the stream lacks the column.
    Nothing,
    One,
    /// 1 if a column (by its place among the summed ones) is not 0.
    NonZero(usize),
    /// A column's value.
    Value(usize),
    RttCount,
    /// The time itself: to be added up, or the longest to be kept.
    Rtt,
    /// The complement of the time, of which the largest is that of the shortest time; 0 where none was measured.
    RttComplement,
}

/// How a measure is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// In a slot.
    Slot(usize),
    /// In a slot, as complement; 0 is none.
    Complement(usize),
    /// As one of the histograms.
    Histogram(u8),
}

/// A key's fields.
#[derive(Clone, Debug)]
pub(super) struct KeyLayout {
    pub(super) fields: Vec<Field>,
    /// Words of 8 bytes, with zeros behind the fields.
    pub(super) words: usize,
}

impl KeyLayout {
    pub(super) fn bytes(&self) -> usize {
        self.words * 8
    }

    pub(super) fn of(family: &Family, table: &AggregateTable) -> KeyLayout {
        let mut fields = Vec::new();
        let mut offset = HEAD_BYTES;
        for key in table.keys.iter().filter_map(|name| family.key(name)) {
            let width = match key.column_type.kind() {
                ColumnKind::U8 => 1,
                ColumnKind::U16 => 2,
                ColumnKind::U32 | ColumnKind::Bytes => 4,
                ColumnKind::U64 => 8,
                ColumnKind::Bytes16 => 16,
            };
            fields.push(Field { name: key.name, column_type: key.column_type, offset, width });
            offset += width;
        }
        KeyLayout { fields, words: offset.div_ceil(8) }
    }
}

/// A family as the gatherer follows it.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Of the wide table's keys.
    pub(super) key: KeyLayout,
    /// Of each field of it.
    pub(super) sources: Vec<Source>,
    /// What each slot is brought, and by which records.
    pub(super) adds: Vec<(Add, Way)>,
    pub(super) slots: Slots,
    /// Which records each histogram is of.
    pub(super) histograms: Vec<Way>,
    /// In the order of the family's measures.
    pub(super) kept: Vec<Kept>,
    /// Columns that are summed, as positions among the decoded ones.
    pub(super) summed: Vec<usize>,
    /// Positions of what every stream or some of them have.
    pub(super) time: Option<usize>,
    pub(super) direction: Option<usize>,
    pub(super) flags: Option<usize>,
    pub(super) has_as: bool,
    pub(super) rtt: Option<usize>,
    /// Where only records with a translation count: its address.
    pub(super) translated: Option<usize>,
}

/// Columns that enrichment reads by their names: without them its answers would differ from those in the raw rows.
const READ_BY_ENRICHMENT: [&str; 10] = [
    "source_ipv4",
    "source_ipv6",
    "destination_ipv4",
    "destination_ipv6",
    "bgp_source_as_number",
    "bgp_destination_as_number",
    "input_snmp",
    "output_snmp",
    "login",
    "bridge_vchannel_num",
];
const RTT: &str = "packet_deliver_time";
/// What tells whether a fullflow record has a translation.
const TRANSLATED: &str = "post_nat_source_ipv4";

/// The stream without the columns that neither the family nor enrichment needs.
pub fn only_what_is_needed(stream: &Stream, family: &Family) -> Stream {
    let mut needed: BTreeSet<&str> = READ_BY_ENRICHMENT.into();
    needed.extend([family.time, "host", RTT, TRANSLATED]);
    for key in &family.keys {
        match key.of {
            KeyOf::Column(name) | KeyOf::Network(name) | KeyOf::Name(name) | KeyOf::ClassSelector(name) => {
                needed.insert(name);
            }
            KeyOf::Subscriber(source, destination)
            | KeyOf::SubscriberNetwork(source, destination)
            | KeyOf::Host(source, destination) => {
                needed.extend([source, destination]);
            }
        }
    }
    for measure in &family.measures {
        if let MeasureOf::Sum(name) | MeasureOf::CountNonZero(name) = measure.of {
            needed.insert(name);
        }
    }
    stream.only(|column: &ColumnDecl| match column.filled {
        Filled::Constant(_) | Filled::Enriched(_) => true,
        _ => needed.contains(column.name),
    })
}

impl Layout {
    /// `stream` is the family's own, perhaps with elements of the user's; of `switches`, if there are any, the keys
    /// are kept whose switch is among them.
    pub(super) fn new(family: &Family, stream: &Stream, switches: Option<&[String]>) -> Layout {
        let place = |name: &str| stream.inserted_columns().position(|column| column.name == name);
        let none = KeyLayout { fields: Vec::new(), words: HEAD_BYTES.div_ceil(8) };
        let key = family.tables.first().map_or(none, |table| KeyLayout::of(family, table));
        let is_on = |switch: &str| {
            switch.is_empty() || switches.is_none_or(|on| on.iter().any(|name| name == switch))
        };
        let sources = key
            .fields
            .iter()
            .map(|field| {
                let found = family.key(field.name).filter(|key| is_on(key.switch)).map(|key| key.of);
                let source = match found {
                    None => None,
                    Some(KeyOf::Column(name)) => place(name).map(Source::Column),
                    Some(KeyOf::Network(name)) => place(name).map(Source::Network),
                    Some(KeyOf::SubscriberNetwork(own, other)) => place(own)
                        .zip(place(other))
                        .map(|(own, other)| Source::NetworkByDirection(own, other)),
                    Some(KeyOf::Name(name)) => place(name).map(Source::Name),
                    Some(KeyOf::ClassSelector(name)) => place(name).map(Source::ClassSelector),
                    Some(KeyOf::Subscriber(own, other)) => {
                        place(own).zip(place(other)).map(|(own, other)| Source::ByDirection(own, other))
                    }
                    Some(KeyOf::Host(own, other)) => {
                        place(own).zip(place(other)).map(|(own, other)| Source::ByDirection(other, own))
                    }
                };
                source.unwrap_or(Source::Nothing)
            })
            .collect();
        let mut layout = Layout {
            key,
            sources,
            adds: Vec::new(),
            slots: Slots::default(),
            histograms: Vec::new(),
            kept: Vec::new(),
            summed: Vec::new(),
            time: place(family.time),
            direction: place("direction"),
            flags: place("subscriber_flags"),
            has_as: place("bgp_source_as_number").is_some(),
            rtt: place(RTT),
            translated: place(TRANSLATED).filter(|_| std::ptr::eq(family, aggregates::nat_from_fullflow())),
        };
        layout.measures(family, &place);
        layout
    }

    /// The directions of a block's records; none if the stream has no directions.
    pub(super) fn directions<'a>(&self, columns: &'a [Column]) -> &'a [u8] {
        match self.direction.and_then(|place| columns.get(place)) {
            Some(Column::U8(directions)) => directions,
            _ => &[],
        }
    }

    fn measures(&mut self, family: &Family, place: &dyn Fn(&str) -> Option<usize>) {
        // Sums first, as `Slots` says.
        let is_sum = |of: MeasureOf| !matches!(of, MeasureOf::RttMin | MeasureOf::RttMax);
        let sums = family.measures.iter().filter(|measure| is_sum(measure.of));
        self.slots.sums = sums.filter(|measure| measure.of != MeasureOf::RttHistogram).count();
        let (mut sums, mut maxima) = (Vec::new(), Vec::new());
        for measure in &family.measures {
            let mut summed = |name: &str| {
                let place = place(name)?;
                let found = self.summed.iter().position(|summed| *summed == place);
                Some(found.unwrap_or_else(|| {
                    self.summed.push(place);
                    self.summed.len() - 1
                }))
            };
            let add = match measure.of {
                MeasureOf::Count => Add::One,
                MeasureOf::CountNonZero(name) => summed(name).map_or(Add::Nothing, Add::NonZero),
                MeasureOf::Sum(name) => summed(name).map_or(Add::Nothing, Add::Value),
                MeasureOf::RttCount => Add::RttCount,
                MeasureOf::RttSum | MeasureOf::RttMax => Add::Rtt,
                MeasureOf::RttMin => Add::RttComplement,
                MeasureOf::RttHistogram => {
                    self.kept.push(Kept::Histogram(self.histograms.len() as u8));
                    self.histograms.push(measure.way);
                    continue;
                }
            };
            let slot = if is_sum(measure.of) { sums.len() } else { self.slots.sums + maxima.len() };
            self.kept.push(if add == Add::RttComplement { Kept::Complement(slot) } else { Kept::Slot(slot) });
            if is_sum(measure.of) { &mut sums } else { &mut maxima }.push((add, measure.way));
        }
        self.slots.maxima = maxima.len();
        self.adds = sums;
        self.adds.append(&mut maxima);
    }
}
