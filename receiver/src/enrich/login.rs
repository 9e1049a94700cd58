//! Whose record it is, where the record does not say: the login is its channel, or the one that subscribers has
//! for the subscriber's address.
//!
//! The channel comes first, by the setting `login_from_channel`: its number, or its name where `channel_names` is
//! set and it has one. Channel 0 means that the record has no channel, and the login stays. A login that is empty
//! then is looked up in subscribers; without a direction the source is the subscriber.
//!
//! A column of logins is written anew only from the first row on that changes.

use std::ops::Range;

use crds::enrichment::LoginFromChannelMode;
use ipfix::{BytesColumn, Column};

use super::Knowledge;
use super::address::{Address, End};
use super::direction::TO;
use super::places::Places;

/// The values of `login_from` besides 0, the record, as the column's type names them.
const CHANNEL: u8 = 1;
const SUBSCRIBERS: u8 = 2;

/// Replaces logins.
#[derive(Debug, Default)]
pub(super) struct LoginRule {
    logins: BytesColumn,
    from: Vec<u8>,
    /// Addresses of the rows that are looked up in subscribers, in order, and what was found.
    asked: Vec<Address>,
    found: Vec<u32>,
}

/// The columns that logins are made from.
struct Record<'a> {
    logins: &'a BytesColumn,
    channels: &'a [u16],
    source: End<'a>,
    destination: End<'a>,
    directions: &'a [u8],
}

impl LoginRule {
    /// Replaces logins and says in `login_from` which were replaced. `directions`: one for each row, or none.
    pub(super) fn apply(
        &mut self,
        places: &Places,
        columns: &mut [Column],
        knowledge: &Knowledge,
        directions: &[u8],
    ) {
        let (Some(login), Some(login_from)) = (places.login, places.login_from) else { return };
        let at = |place: Option<usize>| place.and_then(|place| columns.get(place));
        let Some(Column::Bytes(logins)) = columns.get(login) else { return };
        let channels = match at(places.channel) {
            Some(Column::U16(channels))
                if knowledge.settings.login_from_channel != LoginFromChannelMode::Never =>
            {
                channels.as_slice()
            }
            _ => &[],
        };
        if channels.is_empty() && knowledge.subscribers.is_empty() {
            return;
        }
        let record = Record {
            logins,
            channels,
            source: End::new(at(places.source_ipv4), at(places.source_ipv6)),
            destination: End::new(at(places.destination_ipv4), at(places.destination_ipv6)),
            directions,
        };
        if !self.replace(&record, knowledge) {
            return;
        }
        // The columns' memory serves the next block.
        if let Some(Column::Bytes(column)) = columns.get_mut(login) {
            std::mem::swap(column, &mut self.logins);
        }
        if let Some(Column::U8(column)) = columns.get_mut(login_from) {
            std::mem::swap(column, &mut self.from);
        }
    }

    /// Asks subscribers for every row that has neither login nor channel.
    fn look_up(&mut self, record: &Record<'_>, knowledge: &Knowledge) {
        self.asked.clear();
        self.found.clear();
        if knowledge.subscribers.is_empty() {
            return;
        }
        let mut start = 0;
        for (row, &end) in record.logins.ends.iter().enumerate() {
            let has_login = end != start;
            start = end;
            if has_login || record.channels.get(row).is_some_and(|&channel| channel != 0) {
                continue;
            }
            let side =
                if record.directions.get(row) == Some(&TO) { record.destination } else { record.source };
            // Natflow has no IPv6. A row without an address is asked for too: answers stay in step with rows.
            self.asked.push(side.get(row).unwrap_or(Address::V4(0)));
        }
        knowledge.subscribers.find_many(&self.asked, &mut self.found);
    }

    /// Makes the new columns; whether a row differs.
    fn replace(&mut self, record: &Record<'_>, knowledge: &Knowledge) -> bool {
        let rows = record.logins.len();
        self.logins.clear();
        self.from.clear();
        self.from.resize(rows, 0);
        self.look_up(record, knowledge);
        let mut found = self.found.iter();
        let always = knowledge.settings.login_from_channel == LoginFromChannelMode::Always;
        let mut written = 0;
        let mut start = 0;
        for (row, (&end, from)) in record.logins.ends.iter().zip(&mut self.from).enumerate() {
            let has_login = end != start;
            start = end;
            if has_login && !always {
                continue;
            }
            let channel = record.channels.get(row).copied().unwrap_or(0);
            let mut digits = [0; 5];
            let login = if channel != 0 {
                *from = CHANNEL;
                let name = match knowledge.settings.channel_names {
                    true => knowledge.channels.get(channel),
                    false => None,
                };
                name.unwrap_or_else(|| decimal(channel, &mut digits))
            } else if has_login {
                continue;
            } else {
                let login = found.next().and_then(|&at| knowledge.subscribers.text(at));
                let Some(login) = login.filter(|login| !login.is_empty()) else { continue };
                *from = SUBSCRIBERS;
                login
            };
            copy_rows(&mut self.logins, record.logins, written..row);
            self.logins.push(login);
            written = row + 1;
        }
        if written == 0 {
            return false;
        }
        copy_rows(&mut self.logins, record.logins, written..rows);
        true
    }
}

/// Appends rows of another column.
fn copy_rows(to: &mut BytesColumn, from: &BytesColumn, rows: Range<usize>) {
    let start = match rows.start.checked_sub(1) {
        Some(before) => from.ends.get(before).copied().unwrap_or(0),
        None => 0,
    };
    let Some(ends) = from.ends.get(rows) else { return };
    let end = ends.last().copied().unwrap_or(start);
    let Some(data) = from.data.get(start as usize..end as usize) else { return };
    // What a column cannot hold becomes empty, as with `push`. Blocks are far smaller.
    let Some(moved) = u32::try_from(to.data.len() + data.len()).ok().map(|total| total - (end - start))
    else {
        return to.push_empty(ends.len());
    };
    to.data.extend_from_slice(data);
    to.ends.extend(ends.iter().map(|end| end - start + moved));
}

/// A number in decimal.
#[inline]
fn decimal(number: u16, digits: &mut [u8; 5]) -> &[u8] {
    let mut rest = number;
    let mut first = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        first -= 1;
        if rest == 0 {
            break;
        }
    }
    digits.get(first..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0u16, 7, 10, 99, 100, 4094, 9999, 10_000, u16::MAX] {
            assert_eq!(decimal(number, &mut [0; 5]), number.to_string().as_bytes());
        }
    }

    proptest! {
        #[test]
        fn rows_are_copied_in_pieces(
            values in prop::collection::vec("[a-z]{0,3}", 1..40),
            cuts in prop::collection::vec(0usize..40, 0..6),
        ) {
            let mut from = BytesColumn::default();
            values.iter().for_each(|value| from.push(value.as_bytes()));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(values.len())).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let mut to = BytesColumn::default();
            cuts.windows(2).for_each(|cut| copy_rows(&mut to, &from, cut[0]..cut[1]));
            prop_assert_eq!(to, from);
        }
    }
}
