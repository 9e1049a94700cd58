//! Comparisons that most tests end with: what was sent, what is stored, and whether the balances meet.

use crds::receiver::StreamStatus;

use crate::simulator::Sent;
use crate::system::System;

impl Sent {
    /// What several runs have sent together.
    pub fn sum(runs: &[Sent]) -> Sent {
        let mut sum = Sent::default();
        for run in runs {
            sum.records += run.records;
            sum.octets += run.octets;
            sum.packets += run.packets;
            sum.session_sum = sum.session_sum.wrapping_add(run.session_sum);
            sum.messages += run.messages;
            sum.reconnects += run.reconnects;
            sum.lost_records += run.lost_records;
        }
        sum
    }
}

/// The three balances meet.
pub fn assert_balanced(status: &StreamStatus) {
    let StreamStatus { wire, sequence, destination, .. } = status;
    let refused: u64 = wire.refused.values().sum();
    assert_eq!(wire.arrived, wire.journaled + refused, "wire: {status:?}");
    let undecodable: u64 = sequence.undecodable.values().sum();
    let explained = sequence.decoded + sequence.options + sequence.missing + undecodable;
    assert_eq!(sequence.announced, explained, "sequence: {status:?}");
    let filtered: u64 = destination.filtered.values().sum();
    let settled = destination.stored + destination.waiting + destination.set_aside;
    assert_eq!(destination.decoded, settled + filtered + destination.skipped, "destination: {status:?}");
}

/// The table holds exactly what these runs have sent to a DPI: nothing lost, nothing doubled.
pub fn assert_stored_exactly(system: &System, dpi: u16, runs: &[Sent]) {
    let sent = Sent::sum(runs);
    let stored = system.stored(dpi);
    let context = || format!("sent {sent:?}, stored {stored:?}, {:?}", system.stream(dpi));
    assert_eq!(stored.rows, sent.records, "rows: {}", context());
    assert_eq!(stored.distinct, sent.records, "distinct: {}", context());
    assert_eq!(stored.octets, sent.octets, "octets: {}", context());
    assert_eq!(stored.packets, sent.packets, "packets: {}", context());
}
