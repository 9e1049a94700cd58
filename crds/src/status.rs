//! What the operator reports about its objects: conditions, and numbers rounded for people.
//!
//! Only what a person asks at a glance belongs here. Exact numbers are metrics, and the table `ledger`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most steps that `schema.pending` lists; `pendingCount` counts all.
pub const MAX_PENDING_STEPS: usize = 64;
/// The longest message, error, name or address in a status, in characters. See [`shorten`].
pub const MAX_TEXT: usize = 1_024;
/// The longest statement in `schema.pending`, in characters.
pub const MAX_STATEMENT: usize = 4_096;

/// The state of a collector.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QoeCollectorStatus {
    /// Generation of the object that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Version of the receivers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Ready, Reconciling, Stalled, ReceiversReady, ClickHouseReady, SchemaReady, DictionariesReady, StorageFits,
    /// Receiving, NothingLost, and JournalLost while it is so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Receivers that are ready, of those wanted, such as 2/2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receivers_ready: Option<String>,
    /// Sums over all receivers, rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// One entry per DPI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receivers: Vec<ReceiverState>,
    /// The tables in ClickHouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaState>,
    /// The ClickHouse servers, one entry per shard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardState>,
    /// When the numbers were taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
}

/// Sums in records, rounded for people: `950`, `1.2M`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Records received and decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
    /// Records that ClickHouse has acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// Records in the journals, not yet acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Records that sequence numbers announced and that never arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// The receiver of one DPI.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverState {
    /// Id of the DPI.
    pub dpi: u16,
    /// Name of the DPI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Node that the pod runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether its journal accepts what arrives.
    #[serde(default)]
    pub ready: bool,
    /// Version that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it is not ready, or what needs attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many hours the journal lasts at the present rate if ClickHouse takes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_hours_left: Option<String>,
    /// One entry per stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamState>,
}

/// One stream of one receiver. Numbers are rounded, counted since the journal was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamState {
    /// Name of the stream.
    pub name: String,
    /// Where the DPI sends it: address, port and transport.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Records received and decoded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub received: u64,
    /// Records that ClickHouse has acknowledged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stored: u64,
    /// Records in the journal, not yet acknowledged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waiting: u64,
    /// Records that sequence numbers announced and that never arrived.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: u64,
    /// Messages refused: from elsewhere than allowed, malformed, or while the journal was full.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
    /// Records that ClickHouse refused for what they hold; kept in a file.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub set_aside: u64,
    /// Records whose template never came, or that do not fit it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub undecodable: u64,
    /// When the last record arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_record_at: Option<Time>,
    /// The last error, for as long as it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The tables in ClickHouse, and what is still to be done to them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchemaState {
    /// Version of the schema that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Hash of the destructive steps that wait: write it into `spec.approvals` to have them carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_hash: Option<String>,
    /// Steps not yet carried out, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingStep>,
    /// Number of steps not yet carried out.
    #[serde(default)]
    pub pending_count: u32,
    /// Number of steps carried out so far.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub applied_steps: u64,
    /// When the last step was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_at: Option<Time>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// One step of a plan that is not yet carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingStep {
    /// What is done, in words.
    pub action: String,
    /// The table, column or dictionary it is done to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// What it may cost: Destructive steps wait for an approval.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub risk: String,
    /// The statement in SQL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub statement: String,
}

/// One ClickHouse server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardState {
    /// Its number, from 0.
    pub shard: u32,
    /// Name of the pod, if the operator runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Where receivers send to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether it answers, and runs what is wanted.
    #[serde(default)]
    pub ready: bool,
    /// Whether rows have been bound to it: from then on it is a part of the data, also while it is away.
    #[serde(default)]
    pub in_use: bool,
    /// Version that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it is not ready, or what is being done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeState>,
    /// Our tables that hold something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableState>,
}

/// A volume of a server. Sizes are rounded for people: `812M`, `1.2T`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeState {
    /// Its name in the storage policy.
    pub name: String,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// What is free of it, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<String>,
    /// In how many hours it is full at the rate at which it has grown lately; absent while it does not grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours_left: Option<String>,
}

/// What a server holds of one table. Numbers are rounded for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TableState {
    /// Its name.
    pub name: String,
    /// Its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// Its bytes on the fast volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hot: Option<String>,
    /// Its bytes on the large volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<String>,
}

/// The state of a dictionary.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QoeDictionaryStatus {
    /// Generation of the object that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Lines in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Lines that were wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_rows: Option<u64>,
    /// Version of the contents in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Names of the collectors that use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// `text` with at most `limit` characters: a status with a longer one is refused as a whole.
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(3)).collect();
    short.push_str("...");
    short
}
