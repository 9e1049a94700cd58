//! Which way a record goes and what its subscriber's end is.
//!
//! An end is local by the setting `direction`: its AS is in asnum_local, its address in subnets_local, both or
//! either. Only the source is local: from the subscriber. Only the destination: to it. Both: local traffic, in
//! which the source counts as the subscriber. Neither, or the setting `AsIs`: the DPI's marks decide, the
//! configured pair is "from", the same pair turned round is "to". A configured pair of two equal marks can only
//! say "from".
//!
//! A stream without AS numbers (clickstream) has no rule about them: what is left of the setting are the
//! addresses. Without marks the source is the subscriber when the setting leaves it to them, and the direction is
//! unknown when the addresses know neither end.

use crds::enrichment::Direction;
use crds::receiver::Marks;
use ipfix::Column;

use super::address::{End, numbers};
use super::places::Places;
use super::{AsNumbers, Knowledge, Prefixes};

/// The direction's values, as the column's type names them.
const UNKNOWN: u8 = 0;
const FROM: u8 = 1;
/// The record goes to the subscriber.
pub const TO: u8 = 2;
const LOCAL: u8 = 3;

/// The bits of `subscriber_flags`.
const AS_LOCAL: u8 = 1;
const ADDRESS_LOCAL: u8 = 2;
const AS_EXCLUDED: u8 = 4;
const ADDRESS_EXCLUDED: u8 = 8;

/// Directions and flags of a block's rows.
#[derive(Debug, Default)]
pub(super) struct Sides {
    directions: Vec<u8>,
    /// First the source's, at the end the subscriber's.
    flags: Vec<u8>,
    destination_flags: Vec<u8>,
}

/// How an end is judged.
#[derive(Clone, Copy)]
struct Rule {
    uses_as: bool,
    uses_addresses: bool,
    /// Bit n: an end with the flags n is local.
    local: u8,
}

impl Rule {
    fn of(direction: Direction, has_as: bool) -> Option<Rule> {
        let direction = match direction {
            Direction::AS if !has_as => Direction::AsIs,
            Direction::ASAndCIDR | Direction::ASOrCIDR if !has_as => Direction::CIDR,
            as_set => as_set,
        };
        let (uses_as, uses_addresses, local) = match direction {
            Direction::AsIs => return None,
            Direction::AS => (true, false, 0b1010),
            Direction::CIDR => (false, true, 0b1100),
            Direction::ASAndCIDR => (true, true, 0b1000),
            Direction::ASOrCIDR => (true, true, 0b1110),
        };
        Some(Rule { uses_as, uses_addresses, local })
    }

    #[inline]
    fn is_local(self, flags: u8) -> bool {
        (self.local >> (flags & (AS_LOCAL | ADDRESS_LOCAL))) & 1 == 1
    }
}

/// The columns of a block that directions are made from; without marks or AS numbers they are empty.
struct Record<'a> {
    source: End<'a>,
    destination: End<'a>,
    source_as: &'a [u32],
    destination_as: &'a [u32],
    input: &'a [u32],
    output: &'a [u32],
}

impl<'a> Record<'a> {
    fn new(places: &Places, columns: &'a [Column]) -> Record<'a> {
        let at = |place: Option<usize>| place.and_then(|place| columns.get(place));
        Record {
            source: End::new(at(places.source_ipv4), at(places.source_ipv6)),
            destination: End::new(at(places.destination_ipv4), at(places.destination_ipv6)),
            source_as: numbers(at(places.source_as)),
            destination_as: numbers(at(places.destination_as)),
            input: numbers(at(places.input)),
            output: numbers(at(places.output)),
        }
    }
}

impl Sides {
    /// One for each row; none if the stream has no direction.
    pub(super) fn directions(&self) -> &[u8] {
        &self.directions
    }

    /// Finds directions and flags.
    pub(super) fn find(&mut self, places: &Places, columns: &[Column], knowledge: &Knowledge) {
        let Some(direction) = places.direction.and_then(|place| columns.get(place)) else { return };
        let rows = direction.len();
        for values in [&mut self.directions, &mut self.flags, &mut self.destination_flags] {
            values.clear();
            values.resize(rows, 0);
        }
        let record = Record::new(places, columns);
        let rule = Rule::of(knowledge.settings.direction, places.source_as.is_some());
        self.by_marks(&record, knowledge.settings.from_subscriber, rule.is_none());
        if let Some(rule) = rule {
            self.by_rule(&record, rule, knowledge);
        }
        self.subscribers(&record, rule, knowledge);
    }

    /// Puts what was found into the columns and takes their memory for the next block.
    pub(super) fn store(&mut self, places: &Places, columns: &mut [Column]) {
        let found = [(places.direction, &mut self.directions), (places.subscriber_flags, &mut self.flags)];
        for (place, values) in found {
            if let Some(Column::U8(column)) = place.and_then(|place| columns.get_mut(place)) {
                std::mem::swap(column, values);
            }
        }
    }

    fn by_marks(&mut self, record: &Record<'_>, from: Marks, source_is_subscriber: bool) {
        if record.input.is_empty() {
            self.directions.fill(if source_is_subscriber { FROM } else { UNKNOWN });
            return;
        }
        let from = (u32::from(from.input), u32::from(from.output));
        let to = (from.1, from.0);
        let marks = record.input.iter().zip(record.output);
        for (direction, (&input, &output)) in self.directions.iter_mut().zip(marks) {
            *direction = match (input, output) {
                marks if marks == from => FROM,
                marks if marks == to => TO,
                _ => UNKNOWN,
            };
        }
    }

    fn by_rule(&mut self, record: &Record<'_>, rule: Rule, knowledge: &Knowledge) {
        if rule.uses_as {
            mark_as(&mut self.flags, record.source_as, &knowledge.asnum_local);
            mark_as(&mut self.destination_flags, record.destination_as, &knowledge.asnum_local);
        }
        if rule.uses_addresses {
            mark_addresses(&mut self.flags, record.source, &knowledge.subnets_local);
            mark_addresses(&mut self.destination_flags, record.destination, &knowledge.subnets_local);
        }
        let ends = self.flags.iter().zip(&self.destination_flags);
        for (direction, (&source, &destination)) in self.directions.iter_mut().zip(ends) {
            *direction = match (rule.is_local(source), rule.is_local(destination)) {
                (true, false) => FROM,
                (false, true) => TO,
                (true, true) => LOCAL,
                (false, false) => *direction,
            };
        }
    }

    /// Makes the flags those of the subscriber's end, and looks up what the direction did not need.
    fn subscribers(&mut self, record: &Record<'_>, rule: Option<Rule>, knowledge: &Knowledge) {
        if rule.is_some() {
            let destinations = self.destination_flags.iter().zip(&self.directions);
            for (flags, (&destination, &direction)) in self.flags.iter_mut().zip(destinations) {
                *flags = if direction == TO { destination } else { *flags };
            }
        }
        let is_known = rule.is_some_and(|rule| rule.uses_as);
        let local = (!is_known).then_some((&*knowledge.asnum_local, AS_LOCAL));
        let excluded = Some((&*knowledge.asnum_exclude, AS_EXCLUDED));
        for (set, flag) in local.into_iter().chain(excluded) {
            if set.is_empty() {
                continue;
            }
            let numbers = record.source_as.iter().zip(record.destination_as);
            let rows = self.flags.iter_mut().zip(&self.directions).zip(numbers);
            for ((flags, &direction), (&source, &destination)) in rows {
                let number = if direction == TO { destination } else { source };
                *flags |= if set.contains(number) { flag } else { 0 };
            }
        }
        let is_known = rule.is_some_and(|rule| rule.uses_addresses);
        let local = (!is_known).then_some((&*knowledge.subnets_local, ADDRESS_LOCAL));
        let excluded = Some((&*knowledge.subnets_exclude, ADDRESS_EXCLUDED));
        for (set, flag) in local.into_iter().chain(excluded) {
            if set.is_empty() {
                continue;
            }
            for (row, (flags, &direction)) in self.flags.iter_mut().zip(&self.directions).enumerate() {
                let end = if direction == TO { record.destination } else { record.source };
                let is_in = end.get(row).is_some_and(|address| set.contains(address));
                *flags |= if is_in { flag } else { 0 };
            }
        }
    }
}

fn mark_as(flags: &mut [u8], numbers: &[u32], set: &AsNumbers) {
    if set.is_empty() {
        return;
    }
    for (flags, &number) in flags.iter_mut().zip(numbers) {
        *flags |= if set.contains(number) { AS_LOCAL } else { 0 };
    }
}

fn mark_addresses(flags: &mut [u8], end: End<'_>, set: &Prefixes) {
    if set.is_empty() {
        return;
    }
    for (row, flags) in flags.iter_mut().enumerate() {
        let is_in = end.get(row).is_some_and(|address| set.contains(address));
        *flags |= if is_in { ADDRESS_LOCAL } else { 0 };
    }
}
