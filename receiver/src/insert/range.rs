//! Cuts ranges: which frames become the next insert. A range stays within one hour of arrival, so
//! within one partition, so it is one part on the server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crc_fast::{CrcAlgorithm, Digest};

use super::ROWS_PER_RANGE;
use crate::intent_log::Range;
use crate::journal::JournalReader;
use crate::journal::frame::ALIGNMENT;

const HOUR_US: u64 = 3_600_000_000;
/// Bounds of a range in journal bytes, whatever the records look like.
const MIN_BYTES: u64 = 8 << 20;
const MAX_BYTES: u64 = 256 << 20;
/// Journal bytes of a row until some have been seen.
const FIRST_GUESS: u64 = 128;

/// Frames that become one insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which.
    pub range: Range,
    /// Arrival of the first, microseconds.
    pub arrival_first_us: u64,
    /// Arrival of the last, microseconds.
    pub arrival_last_us: u64,
    /// CRC32C over the CRCs of all.
    pub crc: u32,
    /// Journal bytes of all.
    pub bytes: u64,
}

/// Knows how large ranges should be.
pub struct Cutter {
    bytes_per_row: u64,
    /// Since when the next range's first frame has been waiting, by a clock that cannot be set.
    waiting: Option<(u64, Instant)>,
}

impl Cutter {
    /// Knows nothing of the records yet.
    pub fn new() -> Cutter {
        Cutter { bytes_per_row: FIRST_GUESS, waiting: None }
    }

    /// Learns from a decoded range how many journal bytes a row takes.
    pub fn learn(&mut self, bytes: u64, rows: u64) {
        if rows >= 1000 {
            self.bytes_per_row = (bytes / rows).max(1);
        }
    }

    fn target_bytes(&self) -> u64 {
        (self.bytes_per_row * ROWS_PER_RANGE).clamp(MIN_BYTES, MAX_BYTES)
    }

    /// Whether frames, of which the first has this number and arrived at `first_us`, need not wait for
    /// more: enough are there, or they have waited for `max_delay`. Arrival times may be ahead of a clock
    /// that was set back, so it also counts how long we have seen the first frame wait.
    pub fn ripe(
        &mut self,
        max_delay: Duration,
        (first, first_us): (u64, u64),
        now_us: u64,
        bytes_there: u64,
    ) -> bool {
        let (number, since) = *self.waiting.get_or_insert_with(|| (first, Instant::now()));
        if number != first {
            self.waiting = Some((first, Instant::now()));
        }
        let seen = if number == first { since.elapsed() } else { Duration::ZERO };
        let waited = Duration::from_micros(now_us.saturating_sub(first_us));
        waited.max(seen) >= max_delay || bytes_there >= self.target_bytes()
    }

    /// The next range from where `reader` stands. `same` tells frames apart that must not share a
    /// range: frames with different answers do not.
    pub fn cut(&self, reader: &JournalReader, same: impl Fn(u64) -> bool) -> std::io::Result<Option<Cut>> {
        let mut scout = reader.scout();
        let mut holes = Vec::new();
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        let mut cut: Option<Cut> = None;
        while let Some(next) = scout.peek(&mut holes)? {
            let header = next.header;
            let stored = header.stored_len(ALIGNMENT);
            if let Some(cut) = &cut {
                let first = cut.arrival_first_us;
                let other_hour = first / HOUR_US != header.arrival_us / HOUR_US;
                if other_hour
                    || cut.bytes + stored > self.target_bytes()
                    || same(first) != same(header.arrival_us)
                {
                    break;
                }
            }
            digest.update(&header.crc.to_le_bytes());
            let cut = cut.get_or_insert(Cut {
                range: Range { first: header.number, last: header.number },
                arrival_first_us: header.arrival_us,
                arrival_last_us: header.arrival_us,
                crc: 0,
                bytes: 0,
            });
            cut.range.last = header.number;
            cut.arrival_last_us = header.arrival_us;
            cut.bytes += stored;
            scout.skip(&next);
        }
        let crc = digest.finalize() as u32;
        Ok(cut.map(|cut| Cut { crc, ..cut }))
    }
}

/// What the journal still has of a range that was noted.
pub struct Survey {
    /// CRC32C over the CRCs of the frames that are there: equal to the intent's if all are.
    pub crc: u32,
    /// Arrival (microseconds) and CRC of each.
    pub frames: Vec<(u64, u32)>,
}

impl Survey {
    /// Looks at the frames of `range`; `reader` stands at its first.
    pub fn of(reader: &JournalReader, range: Range) -> std::io::Result<Survey> {
        let mut scout = reader.scout();
        let mut frames = Vec::new();
        while let Some(next) = scout.peek(&mut Vec::new())? {
            if next.header.number > range.last {
                break;
            }
            frames.push((next.header.arrival_us, next.header.crc));
            scout.skip(&next);
        }
        Ok(Survey { crc: crc_of(frames.iter().map(|(_, crc)| *crc)), frames })
    }

    /// CRC32C over the CRCs of the frames that are not among `stored` arrivals.
    pub fn crc_without(&self, stored: &BTreeSet<u64>) -> u32 {
        crc_of(self.frames.iter().filter(|(arrival, _)| !stored.contains(arrival)).map(|(_, crc)| *crc))
    }
}

fn crc_of(crcs: impl Iterator<Item = u32>) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for crc in crcs {
        digest.update(&crc.to_le_bytes());
    }
    digest.finalize() as u32
}
