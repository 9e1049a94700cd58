//! What a receiver answers: is it ready, and do its three balances meet.
//!
//! Counters count from the beginning of a journal, not of a process: they are kept in its
//! checkpoint. Reasons and rules are keys of maps, so that a new one is not a new field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counters by reason.
pub type ByReason = BTreeMap<String, u64>;

/// The answer to `GET /status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the collector.
    pub collector: String,
    /// Version of the receiver.
    pub version: String,
    /// When the process started, in milliseconds since 1970, UTC.
    pub started_at: u64,
    /// Its DPIs.
    pub dpis: Vec<DpiStatus>,
    /// [`super::hash_of`] the bytes of the newest configuration file of which everything is in force.
    #[serde(default)]
    pub config_hash: String,
    /// Why the configuration file, or one that it names, is not in force as it is now; absent when it is.
    /// Begins with [`TAKES_A_RESTART`] if a restart is all that it takes.
    #[serde(default)]
    pub config_error: Option<String>,
    /// CPU features that were asked for and are not there.
    #[serde(default)]
    pub cpu_missing: Vec<String>,
    /// What records are enriched by.
    #[serde(default)]
    pub dictionaries: DictionariesStatus,
    /// The servers that records go to, in the order of their numbers; empty in answers of 0.4.
    #[serde(default)]
    pub shards: Vec<ShardStatus>,
}

/// One ClickHouse server as this receiver sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// Its number.
    pub shard: u32,
    /// Its address.
    pub url: String,
    /// Nothing new is bound to it.
    pub closed: bool,
    /// Inserts that are bound to it and not known to be stored: of ranges and of flushes of aggregates.
    pub unsettled: u64,
    /// Why it takes nothing at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The dictionaries that a receiver holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DictionariesStatus {
    /// The newest version in force, over all dictionaries; 0: none.
    pub version: u32,
    /// Rows held, by dictionary.
    pub rows: ByReason,
    /// Why a newer version is not in force.
    pub error: Option<String>,
}

/// How [`Status::config_error`] begins for what only a restart takes over.
pub const TAKES_A_RESTART: &str = "takes a restart: ";

/// One DPI.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DpiStatus {
    /// Its id.
    pub id: u16,
    /// Its streams.
    pub streams: Vec<StreamStatus>,
    /// The most that its journals may occupy together, in bytes.
    #[serde(default)]
    pub journal_quota_bytes: u64,
}

/// One stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Its name.
    pub name: String,
    /// Where it listens, with the port that was given to it.
    #[serde(default)]
    pub address: String,
    /// Whether it listens and its journal accepts.
    pub ready: bool,
    /// The journal.
    pub journal: JournalStatus,
    /// In messages: arrived = journaled + refused.
    pub wire: WireStatus,
    /// In records: announced = decoded + options + missing + undecodable.
    pub sequence: SequenceStatus,
    /// In records: decoded = stored + waiting + set aside + filtered + skipped.
    pub destination: DestinationStatus,
    /// The last thing that went wrong, in words.
    pub last_error: Option<String>,
    /// When the last record arrived, in milliseconds since 1970, UTC.
    pub last_record_at: Option<u64>,
    /// Rows of natflow made of its records, where that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat: Option<DestinationStatus>,
    /// Its aggregates: another reader of its journal each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<AggregateStatus>,
}

/// The aggregates of a stream: one balance for all tables of a family, in records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AggregateStatus {
    /// The balance; `table` is the wide one.
    #[serde(flatten)]
    pub destination: DestinationStatus,
    /// Records counted in the interval of their arrival, because they say they happened more than a day before or
    /// after it.
    pub clock_skew: u64,
    /// Groups gathered and not sent yet.
    pub groups: u64,
    /// The last thing that went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The journal of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JournalStatus {
    /// What it occupies, in bytes.
    pub bytes: u64,
    /// Number of the oldest frame that is kept.
    pub oldest_frame: u64,
    /// Number of the newest frame.
    pub newest_frame: u64,
    /// Frames that are not in the database yet.
    pub waiting_frames: u64,
    /// Frames that could not be read back from the disk.
    #[serde(default)]
    pub lost_frames: u64,
    /// How long the space lasts at the present rate, in hours; absent when nothing arrives.
    pub hours_left: Option<f64>,
}

/// Messages from the network to the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireStatus {
    /// Messages that were read from sockets.
    pub arrived: u64,
    /// Messages that are in the journal.
    pub journaled: u64,
    /// Messages that are not, by reason.
    pub refused: ByReason,
    /// Datagrams that the kernel dropped before anybody could read them; they explain a part of the
    /// missing records and are not added to them.
    #[serde(default)]
    pub kernel_drops: u64,
    /// Open TCP connections.
    #[serde(default)]
    pub connections: u64,
    /// Templates that were not learned, by reason.
    #[serde(default)]
    pub templates_refused: ByReason,
}

/// Records as the exporters count them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceStatus {
    /// Records that sequence numbers announced.
    pub announced: u64,
    /// Records that were decoded.
    pub decoded: u64,
    /// Options data records: counted by exporters, not stored.
    pub options: u64,
    /// Records that never came.
    pub missing: u64,
    /// NetFlow v9 packets that never came; its sequence numbers do not count records.
    #[serde(default)]
    pub missing_packets: u64,
    /// Records that came and could not be decoded, by reason.
    pub undecodable: ByReason,
    /// Sets that could not be used, by reason. How many records they held is not known; the sequence
    /// numbers show them as missing.
    #[serde(default)]
    pub undecodable_sets: ByReason,
    /// Sets that wait for their template.
    #[serde(default)]
    pub waiting_sets: u64,
    /// Datagrams that came twice; not part of the balance.
    pub duplicates: u64,
    /// How often an exporter began to count anew.
    pub restarts: u64,
    /// The newest gaps, oldest first.
    #[serde(default)]
    pub gaps: Vec<GapStatus>,
}

/// Records that an exporter says it has sent and that did not come (yet).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapStatus {
    /// When the message behind the gap arrived, in milliseconds since 1970, UTC.
    pub arrived_at: u64,
    /// The exporter's address.
    pub exporter: String,
    /// Observation domain.
    pub domain: u32,
    /// First missing sequence number.
    pub first: u32,
    /// How many: records, or packets for NetFlow v9.
    pub missing: u64,
}

/// Records from the decoder to the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationStatus {
    /// Name of the table.
    pub table: String,
    /// Records that the decoder produced.
    pub decoded: u64,
    /// Records that the database acknowledged.
    pub stored: u64,
    /// Records on their way.
    pub waiting: u64,
    /// Records that the database refused and a file keeps.
    pub set_aside: u64,
    /// Records that were given up to make room.
    pub skipped: u64,
    /// Records that were left out on purpose, by rule.
    pub filtered: ByReason,
    /// How often an insert was tried again since the process began.
    #[serde(default)]
    pub retries: u64,
}
