//! Data sets whose template has not come yet: references into the journal, never copies. Bounded in
//! number and age; what is given up is counted.

use serde::{Deserialize, Serialize};

use super::state::DecoderState;

/// Sets that may wait in one journal.
const MAX_WAITING: usize = 4096;
/// How long a set waits for its template. Exporters repeat templates every few minutes at most.
const MAX_WAIT_US: u64 = 30 * 60 * 1_000_000;

/// A data set that waits for its template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingSet {
    /// First frame of the segment that holds it.
    pub segment: u64,
    /// Where the set's body begins in the segment.
    pub offset: u64,
    /// Bytes of the body.
    pub length: u32,
    /// Whose it is.
    pub session: u64,
    /// Observation domain.
    pub domain: u32,
    /// The template's id.
    pub template: u16,
    /// Arrival of its frame, microseconds.
    pub arrival_us: u64,
    /// Export time of its message, Unix seconds.
    pub export_time: u32,
    /// Uptime of its message (NetFlow v9), milliseconds.
    pub uptime_ms: u32,
}

impl DecoderState {
    /// Lets a set wait, unless too many do.
    pub(super) fn wait(&mut self, set: WaitingSet) {
        if self.waiting.len() >= MAX_WAITING {
            self.counters.undecodable_set("too_many_waiting_sets");
            return;
        }
        self.waiting.push(set);
    }

    /// The sets that waited for a template that has come, in their order.
    pub(super) fn take_waiting(&mut self, session: u64, domain: u32, template: u16) -> Vec<WaitingSet> {
        let matches =
            |set: &WaitingSet| set.session == session && set.domain == domain && set.template == template;
        let taken = self.waiting.iter().copied().filter(matches).collect();
        self.waiting.retain(|set| !matches(set));
        taken
    }

    /// Gives up sets that have waited too long.
    pub(super) fn expire_waiting(&mut self, now_us: u64) {
        // They stand in the order of their arrival.
        let is_old = |set: &WaitingSet| now_us.saturating_sub(set.arrival_us) >= MAX_WAIT_US;
        if !self.waiting.first().is_some_and(is_old) {
            return;
        }
        let before = self.waiting.len();
        self.waiting.retain(|set| !is_old(set));
        self.give_up(before - self.waiting.len());
    }

    /// Gives up the sets of a session that has ended.
    pub(super) fn abandon_waiting(&mut self, session: u64) {
        let before = self.waiting.len();
        self.waiting.retain(|set| set.session != session);
        self.give_up(before - self.waiting.len());
    }

    fn give_up(&mut self, sets: usize) {
        for _ in 0..sets {
            self.counters.undecodable_set("template_missing");
        }
    }

    /// First frames of the segments that waiting sets refer to.
    pub fn pinned_segments(&self) -> Vec<u64> {
        let mut pinned: Vec<u64> = self.waiting.iter().map(|set| set.segment).collect();
        pinned.dedup();
        pinned
    }
}
