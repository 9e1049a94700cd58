//! The sequence balance: what exporters announced by their sequence numbers against what came.
//! Survives reconnects: an exporter that goes on counting in a new session is held to its count.

use std::net::IpAddr;

use crds::Transport;
use ipfix::message::Protocol;
use ipfix::sequence::{Arrival, SequenceTotals, SequenceTracker};
use serde::{Deserialize, Serialize};

use super::state::DecoderState;
use super::{Decoder, Message, Next};

/// Ended sessions' counts that are remembered.
const MAX_RETIRED: usize = 1024;
/// Gaps that are remembered for the status.
const MAX_GAPS: usize = 256;
/// Observation domains that are followed, of all sessions together. Over UDP one may need 24 KB of
/// memory and 80 KB of a checkpoint, over TCP a few hundred bytes.
const MAX_FOLLOWED_UDP: usize = 512;
const MAX_FOLLOWED_TCP: usize = 4096;
/// When that many are followed, an exporter that was silent for so long makes place for another.
const SILENCE_US: u64 = 60 * 1_000_000;
/// An exporter behind a translator of addresses may come from another port after a pause, in the middle of its
/// count. Its earlier session was silent for so long, and it has sent at most so many records meanwhile; else
/// it is another exporter at the same address.
const MOVED_SILENCE_US: u64 = 3 * 1_000_000;
const MOVED_DISTANCE: u32 = 1 << 24;
/// How often such exporters are looked for.
const SEARCH_INTERVAL_US: u64 = 1_000_000;

/// One observation domain of one session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tracked {
    tracker: SequenceTracker,
    counts_packets: bool,
}

/// The count of a domain whose session has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Retired {
    exporter: IpAddr,
    domain: u32,
    tracked: Tracked,
}

/// Records that an exporter says it has sent and that did not come (yet).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When the message behind the gap arrived, microseconds since 1970.
    pub arrival_us: u64,
    /// The exporter.
    pub exporter: IpAddr,
    /// Observation domain.
    pub domain: u32,
    /// First missing sequence number.
    pub first: u32,
    /// How many: records, or packets for NetFlow v9.
    pub missing: u64,
}

/// Totals over all exporters of a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceFigures {
    /// IPFIX, in records.
    pub records: SequenceTotals,
    /// NetFlow v9, in packets: its sequence numbers do not count records.
    pub packets: SequenceTotals,
}

impl SequenceFigures {
    fn add(&mut self, tracked: &Tracked) {
        let sum = if tracked.counts_packets { &mut self.packets } else { &mut self.records };
        let totals = tracked.tracker.totals();
        sum.announced += totals.announced;
        sum.missing += totals.missing;
        sum.restarts += totals.restarts;
        sum.duplicates += totals.duplicates;
    }
}

impl Decoder {
    /// Judges a message by its sequence number.
    pub(super) fn observe(
        &mut self,
        next: &Next,
        message: &Message<'_>,
        reliable: bool,
        crc: u32,
    ) -> Arrival {
        let header = &message.header;
        let session = next.header.session;
        let Some(exporter) = self.sessions.get(session).map(|known| known.peer.address.ip()) else {
            return Arrival::First;
        };
        if !self.state.follows(session, header.domain) {
            if !self.has_place(reliable, next.header.arrival_us) {
                self.state.counters.undecodable_set("too_many_domains_untracked");
                return Arrival::First;
            }
            if !reliable {
                self.retire_moved(exporter, header.domain, header.sequence, next.header.arrival_us);
            }
            self.state.track(session, exporter, header.domain, header.protocol, header.sequence);
        }
        let Some(tracked) = self.state.tracked(session, header.domain) else { return Arrival::First };
        let before = tracked.tracker.expected();
        let arrival = tracked.tracker.observe(header.protocol, reliable, header.sequence, crc);
        if let Arrival::Gap { missing } = arrival {
            let first = before.unwrap_or(header.sequence);
            let gap =
                Gap { arrival_us: next.header.arrival_us, exporter, domain: header.domain, first, missing };
            if crate::log_limit::allow("sequence_gap") {
                tracing::warn!(%exporter, domain = gap.domain, first, missing, "the exporter's sequence numbers have a gap");
            }
            self.state.gaps.push_back(gap);
            while self.state.gaps.len() > MAX_GAPS {
                self.state.gaps.pop_front();
            }
        }
        arrival
    }

    /// Over UDP nobody says that a session has ended: one that goes on from another port is found by its count.
    fn retire_moved(&mut self, exporter: IpAddr, domain: u32, sequence: u32, now_us: u64) {
        let mut moved = Vec::new();
        for (id, domains) in &self.state.trackers {
            let Some(known) = self.sessions.get(*id) else { continue };
            let distance =
                domains.get(&domain).and_then(|tracked| tracked.tracker.forward_distance(sequence));
            if known.peer.transport == Transport::Udp
                && known.peer.address.ip() == exporter
                && now_us.saturating_sub(known.last_seen_us) > MOVED_SILENCE_US
                && distance.is_some_and(|distance| distance <= MOVED_DISTANCE)
            {
                moved.push(*id);
            }
        }
        for id in moved {
            self.state.retire(id, exporter);
        }
    }

    /// Whether one more domain can be followed. If there is no place, those of silent exporters are set
    /// aside, at most once a second.
    fn has_place(&mut self, reliable: bool, now_us: u64) -> bool {
        let limit = if reliable { MAX_FOLLOWED_TCP } else { MAX_FOLLOWED_UDP };
        let state = &self.state;
        if state.followed < limit || now_us < state.next_search_us {
            return state.followed < limit;
        }
        let mut silent = Vec::new();
        for id in state.trackers.keys() {
            if let Some(known) = self.sessions.get(*id)
                && now_us.saturating_sub(known.last_seen_us) > SILENCE_US
            {
                silent.push((*id, known.peer.address.ip()));
            }
        }
        self.state.next_search_us = now_us + SEARCH_INTERVAL_US;
        for (id, exporter) in silent {
            self.state.retire(id, exporter);
        }
        self.state.followed < limit
    }
}

impl DecoderState {
    fn follows(&self, session: u64, domain: u32) -> bool {
        self.trackers.get(&session).is_some_and(|domains| domains.contains_key(&domain))
    }

    /// Follows a domain of a session.
    fn track(&mut self, session: u64, exporter: IpAddr, domain: u32, protocol: Protocol, sequence: u32) {
        let counts_packets = protocol == Protocol::NetflowV9;
        let tracked = self
            .adopt(exporter, domain, counts_packets, sequence)
            .unwrap_or(Tracked { tracker: SequenceTracker::new(), counts_packets });
        self.trackers.entry(session).or_default().insert(domain, tracked);
        self.followed += 1;
    }

    fn tracked(&mut self, session: u64, domain: u32) -> Option<&mut Tracked> {
        self.trackers.get_mut(&session)?.get_mut(&domain)
    }

    /// The count of an ended session that this sequence number continues: the nearest below it.
    fn adopt(
        &mut self,
        exporter: IpAddr,
        domain: u32,
        counts_packets: bool,
        sequence: u32,
    ) -> Option<Tracked> {
        let (index, _) = self
            .retired
            .iter()
            .enumerate()
            .filter(|(_, retired)| {
                retired.exporter == exporter
                    && retired.domain == domain
                    && retired.tracked.counts_packets == counts_packets
            })
            .filter_map(|(index, retired)| Some((index, retired.tracked.tracker.forward_distance(sequence)?)))
            .min_by_key(|(_, distance)| *distance)?;
        self.retired.remove(index).map(|retired| retired.tracked)
    }

    /// Tells the tracker how many records the message held. Records that no sequence number counts are
    /// announced by their arrival.
    pub(super) fn advance(&mut self, session: u64, domain: u32, records: u32) {
        let counted = match self.tracked(session, domain) {
            Some(tracked) => {
                tracked.tracker.advance(records);
                !tracked.counts_packets
            }
            None => false,
        };
        if !counted {
            self.forgotten.records.announced += u64::from(records);
        }
    }

    /// Records of a set that had waited for its template have come after all.
    pub(super) fn take_back(&mut self, session: u64, domain: u32, records: u32) {
        match self.tracked(session, domain) {
            Some(tracked) if !tracked.counts_packets => tracked.tracker.take_back(records),
            _ => self.forgotten.records.announced += u64::from(records),
        }
    }

    /// A session has ended.
    pub(super) fn close_session(&mut self, session: u64, exporter: IpAddr) {
        self.abandon_waiting(session);
        self.retire(session, exporter);
    }

    /// The counts of a session wait for the exporter to come back.
    fn retire(&mut self, session: u64, exporter: IpAddr) {
        for (domain, mut tracked) in self.trackers.remove(&session).unwrap_or_default() {
            self.followed = self.followed.saturating_sub(1);
            tracked.tracker.end_session();
            self.retired.push_back(Retired { exporter, domain, tracked });
        }
        while self.retired.len() > MAX_RETIRED {
            if let Some(oldest) = self.retired.pop_front() {
                self.forgotten.add(&oldest.tracked);
            }
        }
    }

    /// Totals over all exporters since the journal began.
    pub fn sequence_figures(&self) -> SequenceFigures {
        let mut figures = self.forgotten;
        for tracked in self.trackers.values().flat_map(|domains| domains.values()) {
            figures.add(tracked);
        }
        for retired in &self.retired {
            figures.add(&retired.tracked);
        }
        figures
    }
}
