//! What was sent: counted per connection, summed up, printed as one line of JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::options::{Options, TransportKind};

/// What one message holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) records: u64,
    pub(super) octets: u64,
    pub(super) packets: u64,
    /// Sum of the session ids, modulo 2^64.
    pub(super) session_sum: u64,
    /// Earliest and latest start of a flow, milliseconds since 1970; 0 without records.
    pub(super) first_start_ms: u64,
    pub(super) last_start_ms: u64,
}

/// What one connection has sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) sent: Weight,
    pub(super) lost: Weight,
    pub(super) lost_messages: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) duplicated_messages: u64,
    pub(super) duplicated_records: u64,
    pub(super) reordered_messages: u64,
    pub(super) reconnects: u64,
    pub(super) send_errors: u64,
    pub(super) closed_cleanly: bool,
    pub(super) error: Option<String>,
}

impl Weight {
    pub(super) fn add(&mut self, other: &Weight) {
        if other.records == 0 {
            return;
        }
        if self.records == 0 {
            self.first_start_ms = other.first_start_ms;
        }
        self.first_start_ms = self.first_start_ms.min(other.first_start_ms);
        self.last_start_ms = self.last_start_ms.max(other.last_start_ms);
        self.records += other.records;
        self.octets += other.octets;
        self.packets += other.packets;
        self.session_sum = self.session_sum.wrapping_add(other.session_sum);
    }
}

/// What a run has sent. Everything that left the simulator counts as sent, also what a broken
/// connection swallowed: the receiver must report that as missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The stream.
    pub stream: String,
    /// `tcp` or `udp`.
    pub transport: String,
    /// The seed.
    pub seed: u64,
    /// Records sent, each counted once.
    pub records: u64,
    /// Sum of their octets; 0 for streams that do not count them.
    pub octets: u64,
    /// Sum of their packets; 0 for streams that do not count them.
    pub packets: u64,
    /// Sum of their session ids modulo 2^64, which is `sum(session_id)` in SQL.
    pub session_sum: u64,
    /// Messages sent, templates and duplicates included.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Records that were numbered and not sent (`--drop-every`); not part of `records`.
    pub lost_records: u64,
    /// Sum of their octets.
    pub lost_octets: u64,
    /// Sum of their packets.
    pub lost_packets: u64,
    /// Messages that were numbered and not sent.
    pub lost_messages: u64,
    /// Messages that were sent a second time (`--duplicate-every`).
    pub duplicated_messages: u64,
    /// Records in these; `records` counts them once.
    pub duplicated_records: u64,
    /// Messages that were sent after their successor (`--reorder-every`).
    pub reordered_messages: u64,
    /// Connections that were made after the first ones.
    pub reconnects: u64,
    /// Datagrams that the kernel refused; they count as sent.
    pub send_errors: u64,
    /// Whether the receiver closed every connection in order after ours; always true for UDP.
    pub closed_cleanly: bool,
    /// Session id of record number 0; the others count up, a connection after the other.
    pub first_session_id: u64,
    /// Earliest start of a flow that was sent, milliseconds since 1970.
    pub first_start_ms: u64,
    /// Latest start of a flow that was sent.
    pub last_start_ms: u64,
    /// How long it took.
    pub seconds: f64,
    /// Why not everything was sent.
    pub error: Option<String>,
}

impl Summary {
    pub(super) fn new(options: &Options) -> Summary {
        let transport = match options.transport {
            TransportKind::Tcp => "tcp",
            TransportKind::Udp => "udp",
        };
        Summary {
            stream: options.stream.name().to_owned(),
            transport: transport.to_owned(),
            seed: options.seed,
            first_session_id: super::flow::first_session_id(options.seed),
            closed_cleanly: true,
            ..Summary::default()
        }
    }

    pub(super) fn add(&mut self, tally: Tally) {
        let Tally {
            sent,
            lost,
            lost_messages,
            messages,
            bytes,
            duplicated_messages,
            duplicated_records,
            reordered_messages,
            reconnects,
            send_errors,
            closed_cleanly,
            error,
        } = tally;
        let mut total = Weight {
            records: self.records,
            octets: self.octets,
            packets: self.packets,
            session_sum: self.session_sum,
            first_start_ms: self.first_start_ms,
            last_start_ms: self.last_start_ms,
        };
        total.add(&sent);
        Weight {
            records: self.records,
            octets: self.octets,
            packets: self.packets,
            session_sum: self.session_sum,
            first_start_ms: self.first_start_ms,
            last_start_ms: self.last_start_ms,
        } = total;
        self.lost_records += lost.records;
        self.lost_octets += lost.octets;
        self.lost_packets += lost.packets;
        self.lost_messages += lost_messages;
        self.messages += messages;
        self.bytes += bytes;
        self.duplicated_messages += duplicated_messages;
        self.duplicated_records += duplicated_records;
        self.reordered_messages += reordered_messages;
        self.reconnects += reconnects;
        self.send_errors += send_errors;
        self.closed_cleanly &= closed_cleanly;
        if self.error.is_none() {
            self.error = error;
        }
    }

    pub(super) fn finish(&mut self, took: Duration) {
        self.seconds = (took.as_secs_f64() * 1_000.0).round() / 1_000.0;
    }

    /// The one line that is printed.
    pub fn to_json_line(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}
