//! The groups without keys: one for each interval and DPI. There are few, so they are found by a small memory of those
//! that came last, and every bucket of their histograms has a place.

use super::groups::{Groups, Slots};
use super::histograms::{BUCKETS, Histograms};
use super::layout::TIME_BYTES;

/// Groups that are found without a search.
const RECENT: usize = 64;

/// Totals of a family.
pub(super) struct Totals {
    /// Seconds.
    interval: u32,
    pub(super) groups: Groups,
    histograms: usize,
    /// Of each group its histograms, of each its buckets.
    buckets: Vec<u64>,
    /// A key and its group plus one; 0: none.
    recent: [(u64, u32); RECENT],
}

impl Totals {
    pub(super) fn new(interval: u32, slots: Slots, histograms: usize) -> Totals {
        Totals {
            interval,
            groups: Groups::new(1, slots),
            histograms,
            buckets: Vec::new(),
            recent: [(0, 0); RECENT],
        }
    }

    /// Adds a record's values and gives back its group.
    #[inline]
    pub(super) fn add(&mut self, time: u32, dpi: u16, values: &[u64]) -> u32 {
        let begin = time - time % self.interval;
        // As `KeyLayout` lays out a key without fields.
        let key = u64::from(begin) | u64::from(dpi) << (TIME_BYTES * 8);
        let place = (begin / self.interval) as usize ^ usize::from(dpi) << 4;
        let group = match self.recent.get_mut(place % RECENT) {
            Some((recent, group)) if *recent == key && *group != 0 => *group - 1,
            Some(recent) => {
                let group = self.groups.find(&[key.to_le()]);
                *recent = (key, group + 1);
                self.buckets.resize(self.groups.len() as usize * self.histograms * BUCKETS, 0);
                group
            }
            None => return 0,
        };
        self.groups.add(group, values);
        group
    }

    /// Counts a value of one of a group's histograms.
    #[inline]
    pub(super) fn count(&mut self, group: u32, which: u8, bucket: u8) {
        let place = (group as usize * self.histograms + usize::from(which)) * BUCKETS + usize::from(bucket);
        self.buckets.get_mut(place).into_iter().for_each(|count| *count += 1);
    }

    pub(super) fn histograms(&self) -> Histograms {
        Histograms::of_all(&self.buckets, self.histograms)
    }

    /// Bytes that they take.
    pub(super) fn memory(&self) -> usize {
        self.groups.memory() + self.buckets.capacity() * 8
    }

    /// Forgets all and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.groups.clear();
        self.buckets.clear();
        self.recent = [(0, 0); RECENT];
    }
}
