//! What is reported of a collector: conditions, and numbers for people. Pure: facts in, status out.
//!
//! Conditions change at once; numbers are rounded and written at most once a minute. A condition's time
//! moves only with its status.

mod conditions;
mod dictionaries;
mod numbers;
mod receivers;
mod shards;

use crds::receiver::Status;
use crds::status::{QoeCollectorStatus, SchemaState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::validate::Refused;
pub use dictionaries::{DictionaryFacts, PASSING};
pub use numbers::short;
pub use shards::{ServersFacts, ShardFacts};

/// How often numbers are written, in seconds.
const NUMBERS_EVERY_S: i64 = 60;

/// Everything that a status is made from.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Generation of the object.
    pub generation: i64,
    /// Version of the receivers; `None` before it is known.
    pub version: Option<String>,
    /// Why nothing is built.
    pub refused: Option<Refused>,
    /// `spec.paused`
    pub paused: bool,
    /// One per wanted DPI.
    pub receivers: Vec<ReceiverFacts>,
    /// The tables.
    pub schema: SchemaReport,
    /// The ClickHouse servers.
    pub servers: ServersFacts,
    /// What could not be applied, in words.
    pub failures: Vec<String>,
    /// Records lost within the last hour.
    pub lost_lately: u64,
    /// The dictionaries that this collector uses.
    pub dictionaries: DictionaryFacts,
    /// The time.
    pub now: Timestamp,
}

/// What is known of one receiver.
#[derive(Debug, Clone, Default)]
pub struct ReceiverFacts {
    /// Id of the DPI.
    pub dpi: u16,
    /// Name of the DPI.
    pub name: Option<String>,
    /// Its pod.
    pub pod: Option<String>,
    /// The node it runs on.
    pub node: Option<String>,
    /// The pod is ready and made from the wanted template.
    pub ready: bool,
    /// The pod is ready, perhaps still from an older template.
    pub serving: bool,
    /// Why it is not scheduled: reason and words.
    pub unscheduled: Option<(&'static str, String)>,
    /// Its journal is on a volume that is gone.
    pub journal_lost: Option<String>,
    /// What else keeps it from being ready, in words.
    pub trouble: Option<String>,
    /// Where the DPI sends to, by name of the stream.
    pub addresses: Vec<(String, String)>,
    /// Its answer, or why there is none.
    pub status: Option<Result<Status, String>>,
}

/// The state of the tables, and what a condition says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaReport {
    /// The tables are as they should be: `None` if that is not known.
    pub ready: Option<bool>,
    /// Reason of the condition.
    pub reason: &'static str,
    /// Words of the condition.
    pub message: String,
    /// Nothing more happens until a person does something.
    pub stalled: bool,
    /// Receivers of another version may run.
    pub new_version_may_run: bool,
    /// A database that receivers store in, or would, is somebody else's: none is made for it.
    pub foreign: bool,
    /// Details.
    pub state: SchemaState,
    /// Of each server, whether its tables are as they should be, but for what waits for an approval.
    pub ready_shards: Vec<bool>,
}

impl SchemaReport {
    /// Nothing was asked.
    pub fn unknown(message: &str) -> SchemaReport {
        SchemaReport {
            ready: None,
            reason: "NotChecked",
            message: message.to_owned(),
            stalled: false,
            foreign: false,
            new_version_may_run: false,
            state: SchemaState::default(),
            ready_shards: Vec::new(),
        }
    }
}

/// The new status.
pub fn status(facts: &Facts, previous: Option<&QoeCollectorStatus>) -> QoeCollectorStatus {
    let earlier = previous.map(|previous| previous.conditions.as_slice()).unwrap_or_default();
    let ready = facts.receivers.iter().filter(|receiver| receiver.ready).count();
    QoeCollectorStatus {
        observed_generation: Some(facts.generation),
        version: facts.version.clone().or_else(|| previous.and_then(|previous| previous.version.clone())),
        conditions: conditions::conditions(facts, earlier),
        receivers_ready: Some(format!("{ready}/{}", facts.receivers.len())),
        // An object that has become empty would be refused: applied, it turns into null.
        totals: unless_empty(numbers::totals(&facts.receivers)),
        receivers: facts.receivers.iter().map(receivers::state).collect(),
        schema: unless_empty(facts.schema.state.clone()),
        shards: shards::states(&facts.servers),
        updated_at: Some(Time(facts.now)),
    }
}

fn unless_empty<T: Default + PartialEq>(part: T) -> Option<T> {
    (part != T::default()).then_some(part)
}

/// Whether the new status is worth a write.
pub fn is_worth_writing(
    previous: Option<&QoeCollectorStatus>,
    new: &QoeCollectorStatus,
    now: Timestamp,
) -> bool {
    let Some(previous) = previous else { return true };
    if essence(previous) != essence(new) {
        return true;
    }
    let age = previous.updated_at.as_ref().map(|time| now.as_second() - time.0.as_second());
    let same = QoeCollectorStatus { updated_at: None, ..previous.clone() }
        == QoeCollectorStatus { updated_at: None, ..new.clone() };
    !same && age.is_none_or(|age| age >= NUMBERS_EVERY_S)
}

/// What is written at once: everything without numbers that grow.
fn essence(status: &QoeCollectorStatus) -> QoeCollectorStatus {
    let mut essence = status.clone();
    essence.updated_at = None;
    essence.totals = None;
    for condition in &mut essence.conditions {
        // That of dictionaries changes only when something happens to one of them.
        if condition.type_ != "DictionariesReady" {
            condition.message.clear();
        }
    }
    for receiver in &mut essence.receivers {
        receiver.message = None;
        receiver.journal_hours_left = None;
        receiver.streams.clear();
    }
    for shard in &mut essence.shards {
        shard.message = None;
        shard.volumes.clear();
        shard.tables.clear();
    }
    essence
}

/// Finds a condition by its type.
pub fn condition<'a>(conditions: &'a [Condition], name: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == name)
}

/// Records received, stored, waiting and missing of a receiver; `None` if it did not answer.
pub fn balance(receiver: &ReceiverFacts) -> Option<[u64; 4]> {
    matches!(receiver.status, Some(Ok(_))).then(|| numbers::balance(numbers::streams(receiver)))
}

/// Lost records of a receiver in all: never came, refused, unreadable.
pub fn lost(status: &Status) -> u64 {
    numbers::lost(status)
}

#[cfg(test)]
mod tests;
