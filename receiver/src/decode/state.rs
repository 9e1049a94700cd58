//! What the decoder remembers from frame to frame, apart from templates: it is part of every
//! checkpoint, so counters and position can never disagree.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::sequence::{Gap, Retired, SequenceFigures, Tracked};
use super::waiting::WaitingSet;

/// The decoder's memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DecoderState {
    /// What was decoded and what could not be.
    pub counters: Counters,
    /// Sequence numbers of sessions that are open: session, then observation domain.
    pub(super) trackers: BTreeMap<u64, BTreeMap<u32, Tracked>>,
    /// How many domains `trackers` holds.
    #[serde(default)]
    pub(super) followed: usize,
    /// When silent exporters may be looked for again, by the frames' arrival, microseconds.
    #[serde(default)]
    pub(super) next_search_us: u64,
    /// Those of sessions that have ended, for an exporter that connects again.
    pub(super) retired: VecDeque<Retired>,
    /// Figures of trackers that were forgotten, and records that no tracker counts.
    pub(super) forgotten: SequenceFigures,
    /// The newest gaps.
    pub(super) gaps: VecDeque<Gap>,
    /// Data sets whose template has not come yet.
    pub(super) waiting: Vec<WaitingSet>,
}

/// What was decoded, since the journal began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Messages read from the journal.
    pub messages: u64,
    /// Records that became rows.
    pub decoded: u64,
    /// Options records: about the exporter, not stored.
    pub options: u64,
    /// Records that did not become rows, by reason.
    pub undecodable_records: BTreeMap<String, u64>,
    /// Sets (of an unknown number of records, which are part of `missing`) that could not be used, by
    /// reason.
    pub undecodable_sets: BTreeMap<String, u64>,
    /// Frames of the journal that could not be read back.
    pub lost_frames: u64,
}

impl Counters {
    /// Counts a set that cannot be used.
    pub fn undecodable_set(&mut self, reason: &'static str) {
        match self.undecodable_sets.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.undecodable_sets.insert(reason.to_string(), 1);
            }
        }
    }

    /// Counts records that do not become rows.
    pub fn undecodable_records(&mut self, reason: &'static str, records: u64) {
        match self.undecodable_records.get_mut(reason) {
            Some(count) => *count += records,
            None => {
                self.undecodable_records.insert(reason.to_string(), records);
            }
        }
    }

    /// All records that did not become rows.
    pub fn undecodable_total(&self) -> u64 {
        self.undecodable_records.values().sum()
    }
}

impl DecoderState {
    /// How many sets wait for their template.
    pub fn waiting_sets(&self) -> usize {
        self.waiting.len()
    }

    /// The newest gaps, oldest first.
    pub fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter()
    }
}
