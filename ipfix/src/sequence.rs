//! Sequence numbers: what an exporter says it has sent, against what has arrived.
//!
//! A tracker follows one observation domain of one transport session. It judges a message by its
//! sequence number alone; it must never refuse one that it has not seen byte for byte before.
//!
//! The balance it keeps: `announced = received + missing`, in records for IPFIX and in packets for
//! NetFlow v9, where *received* are the units passed to [`SequenceTracker::advance`] and
//! [`SequenceTracker::take_back`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::message::Protocol;

/// How many messages are remembered, to recognise duplicates and late ones over UDP.
pub const WINDOW: usize = 1024;

/// From here on a step forward is taken for a step back (modulo 2^32).
const HALF: u32 = 1 << 31;

/// A step forward of so many that ends at exactly 0 is no loss, but an exporter that begins anew.
const IMPLAUSIBLE_LOSS: u32 = 1 << 24;

/// What a message's sequence number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The first message of this domain.
    First,
    /// The expected message.
    InOrder,
    /// Messages before this one have not arrived (yet).
    Gap {
        /// How many records (NetFlow v9: packets) they held.
        missing: u64,
    },
    /// A message that was counted as missing before (UDP only).
    Late,
    /// The exporter has begun to count anew.
    Restart,
    /// The same message has arrived before (UDP only): not to be stored, not to be advanced over.
    Duplicate,
}

/// What was counted since the tracker was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceTotals {
    /// Records (NetFlow v9: packets) that the sequence numbers say were sent.
    pub announced: u64,
    /// Those of them that have not arrived; it shrinks when late ones do.
    pub missing: u64,
    /// How often the exporter began to count anew.
    pub restarts: u64,
    /// Messages that arrived again.
    pub duplicates: u64,
}

/// Follows the sequence numbers of one observation domain.
///
/// For each message call [`Self::observe`], then, unless it is a duplicate, [`Self::advance`] with
/// the number of its data records.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SequenceTracker {
    /// The sequence number that the next message should have; none before the first message.
    expected: Option<u32>,
    totals: SequenceTotals,
    /// What `advance` has to do for the message observed last.
    pending: Pending,
    /// Records that `take_back` got before their gap was seen; the next gaps are smaller by them.
    taken_in_advance: u64,
    /// What was expected before a restart whose message brought no records. Such a message proves
    /// little: it may be one that carried templates only and was overtaken by others.
    before_restart: Option<u32>,
    /// The last [`WINDOW`] messages; over UDP only.
    seen: Seen,
    /// Gaps that opened within the last [`WINDOW`] messages; over UDP only.
    gaps: VecDeque<Gap>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Pending {
    #[default]
    Nothing,
    /// The message moves the expectation.
    Move(Unit),
    /// Like `Move`, for a message that was taken for a restart; before it, this was expected.
    MoveAfterRestart(Unit, u32),
    /// The message fills a gap from this sequence number on.
    Fill(Unit, u32),
}

/// What sequence numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Unit {
    Records,
    Packets,
}

impl Unit {
    fn of(self, records: u32) -> u32 {
        match self {
            Self::Records => records,
            Self::Packets => 1,
        }
    }
}

/// Sequence numbers `start..start + length` that were skipped.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Gap {
    start: u32,
    length: u32,
    /// The value of `Seen::messages` when the gap opened.
    opened_at: u64,
}

/// Sequence numbers and checksums of the last messages, apart from each other so that the search,
/// which runs for every datagram, reads few bytes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Seen {
    crcs: VecDeque<u32>,
    sequences: VecDeque<u32>,
    /// Messages ever added.
    messages: u64,
}

impl Seen {
    fn contains(&self, sequence: u32, crc: u32) -> bool {
        self.crcs.contains(&crc)
            && self.crcs.iter().zip(&self.sequences).any(|(&c, &s)| c == crc && s == sequence)
    }

    fn add(&mut self, sequence: u32, crc: u32) {
        while self.crcs.len() >= WINDOW {
            self.crcs.pop_front();
        }
        while self.sequences.len() >= WINDOW {
            self.sequences.pop_front();
        }
        self.crcs.push_back(crc);
        self.sequences.push_back(sequence);
        self.messages += 1;
    }
}

impl SequenceTracker {
    /// A tracker that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was counted so far.
    pub fn totals(&self) -> SequenceTotals {
        self.totals
    }

    /// The sequence number that the next message should have.
    pub fn expected(&self) -> Option<u32> {
        self.expected
    }

    /// How many records (packets) lie between the expected sequence number and this one; none if it
    /// is a step back or nothing was seen yet. A new session of the same exporter goes on with the
    /// closed session's tracker for which this is smallest.
    pub fn forward_distance(&self, sequence: u32) -> Option<u32> {
        let distance = sequence.wrapping_sub(self.expected?);
        // Exporters begin with 0, and whoever had counted beyond 2^31 would get there by a step that
        // looks like one forward.
        let begins_anew = sequence == 0 && distance >= IMPLAUSIBLE_LOSS;
        (distance < HALF && !begins_anew).then_some(distance)
    }

    /// Judges a message by its sequence number.
    ///
    /// `reliable` means TCP: there messages come once and in order, so that a step back can only be
    /// a restart. `message_crc` is a checksum of the whole message, header included.
    pub fn observe(
        &mut self,
        protocol: Protocol,
        reliable: bool,
        sequence: u32,
        message_crc: u32,
    ) -> Arrival {
        let unit = match protocol {
            Protocol::Ipfix => Unit::Records,
            Protocol::NetflowV9 => Unit::Packets,
        };
        if !reliable {
            if self.seen.contains(sequence, message_crc) {
                self.totals.duplicates += 1;
                self.pending = Pending::Nothing;
                return Arrival::Duplicate;
            }
            self.seen.add(sequence, message_crc);
            self.forget_old_gaps();
        }

        let Some(expected) = self.expected else {
            self.expected = Some(sequence);
            self.pending = Pending::Move(unit);
            return Arrival::First;
        };
        if self.before_restart == Some(sequence) && sequence != expected {
            self.undo_restart(sequence);
            self.pending = Pending::Move(unit);
            return Arrival::InOrder;
        }
        match self.forward_distance(sequence) {
            Some(0) => {
                self.pending = Pending::Move(unit);
                Arrival::InOrder
            }
            Some(distance) => {
                self.open_gap(expected, distance, reliable);
                self.expected = Some(sequence);
                self.pending = Pending::Move(unit);
                Arrival::Gap { missing: u64::from(distance) }
            }
            None if !reliable && self.gap_around(sequence).is_some() => {
                self.pending = Pending::Fill(unit, sequence);
                Arrival::Late
            }
            None => {
                self.totals.restarts += 1;
                self.taken_in_advance = 0;
                self.expected = Some(sequence);
                self.pending =
                    if reliable { Pending::Move(unit) } else { Pending::MoveAfterRestart(unit, expected) };
                Arrival::Restart
            }
        }
    }

    /// Counts the data records of the message observed last, options data records included, as far
    /// as their number is known: records of sets that wait for their template come later, by
    /// [`Self::take_back`]. NetFlow v9 counts a packet instead.
    pub fn advance(&mut self, records: u32) {
        match std::mem::take(&mut self.pending) {
            Pending::Nothing => {}
            Pending::Move(unit) => {
                if records > 0 {
                    self.before_restart = None;
                }
                self.move_on(unit.of(records));
            }
            Pending::MoveAfterRestart(unit, before) => {
                self.before_restart = (unit.of(records) == 0).then_some(before);
                self.move_on(unit.of(records));
            }
            Pending::Fill(unit, sequence) => self.fill_gap(sequence, unit.of(records)),
        }
    }

    /// Counts records of a set whose template came after it. They were taken for missing, or will
    /// be when the next message arrives. Has no meaning for NetFlow v9, which counts packets.
    pub fn take_back(&mut self, records: u32) {
        let records = u64::from(records);
        let found = records.min(self.totals.missing);
        self.totals.missing -= found;
        self.totals.announced += records - found;
        self.taken_in_advance += records - found;
    }

    /// The session has ended: forgets single messages and gaps, which no message of another session
    /// can repeat or fill. Totals and expectation stay.
    pub fn end_session(&mut self) {
        self.pending = Pending::Nothing;
        self.seen = Seen::default();
        self.gaps = VecDeque::new();
    }

    fn move_on(&mut self, units: u32) {
        self.expected = self.expected.map(|expected| expected.wrapping_add(units));
        self.totals.announced += u64::from(units);
    }

    fn open_gap(&mut self, start: u32, length: u32, reliable: bool) {
        let known = self.taken_in_advance.min(u64::from(length));
        self.taken_in_advance -= known;
        let missing = u64::from(length) - known;
        self.totals.announced += missing;
        self.totals.missing += missing;
        if !reliable {
            self.gaps.push_back(Gap { start, length, opened_at: self.seen.messages });
            while self.gaps.len() > WINDOW {
                self.gaps.pop_front();
            }
        }
    }

    fn forget_old_gaps(&mut self) {
        let oldest = self.seen.messages.saturating_sub(WINDOW as u64);
        while self.gaps.front().is_some_and(|gap| gap.opened_at < oldest) {
            self.gaps.pop_front();
        }
    }

    fn gap_around(&self, sequence: u32) -> Option<usize> {
        self.gaps.iter().position(|gap| sequence.wrapping_sub(gap.start) < gap.length)
    }

    /// Takes `units` from `sequence` on out of the gap, which may leave a piece on either side.
    fn fill_gap(&mut self, sequence: u32, units: u32) {
        let Some(index) = self.gap_around(sequence) else { return };
        let Some(gap) = self.gaps.remove(index) else { return };
        let before = sequence.wrapping_sub(gap.start);
        let filled = units.min(gap.length - before);
        let after = gap.length - before - filled;
        if after > 0 {
            self.gaps.insert(index, Gap { start: sequence.wrapping_add(filled), length: after, ..gap });
        }
        if before > 0 {
            self.gaps.insert(index, Gap { length: before, ..gap });
        }
        // Records that the gap had no room for were announced by nobody before.
        let found = u64::from(filled).min(self.totals.missing);
        self.totals.missing -= found;
        self.totals.announced += u64::from(units) - found;
    }

    /// The message that was taken for a restart was none: the count goes on as before it.
    fn undo_restart(&mut self, sequence: u32) {
        self.totals.restarts = self.totals.restarts.saturating_sub(1);
        self.before_restart = None;
        self.expected = Some(sequence);
    }
}
