//! What is said of the ClickHouse servers: an entry each, whether all of them run as they should, and whether their
//! volumes can hold what shall be kept.

use std::collections::BTreeMap;

use crds::status::{MAX_TEXT, ShardState, TableState, VolumeState, shorten};

use super::super::fits::bytes;
use super::super::storage::{Storage, Table};
use super::conditions::{Finding, finding};
use super::numbers::short;

/// The most volumes and tables of a server that are listed: a status with more is refused as a whole.
const MAX_VOLUMES: usize = 16;
const MAX_TABLES: usize = 64;

/// What is known of the servers.
#[derive(Debug, Clone, Default)]
pub struct ServersFacts {
    /// We run them.
    pub are_ours: bool,
    /// One per server, in the order of their numbers.
    pub shards: Vec<ShardFacts>,
    /// A person has to say something about a server: reason and words.
    pub waits_for_a_person: Option<(&'static str, String)>,
    /// What does not fit on the volumes; `None`: not enough is known.
    pub shortages: Option<Vec<String>>,
}

/// What is known of one server.
#[derive(Debug, Clone, Default)]
pub struct ShardFacts {
    /// Its number.
    pub shard: u32,
    /// Its address.
    pub url: String,
    /// Its pod, if we run it.
    pub pod: Option<String>,
    /// It answers, and runs what is wanted.
    pub ready: bool,
    /// Rows have been bound to it.
    pub in_use: bool,
    /// Why it is not ready, or what is being done, in words.
    pub message: Option<String>,
    /// What it holds, if it has said so.
    pub storage: Option<Storage>,
    /// In how many hours a volume is full, by its name.
    pub hours_left: BTreeMap<String, f64>,
}

impl ShardFacts {
    /// A server that nobody looks at now: its place must not be forgotten.
    pub fn remembered(shard: u32, url: &str, in_use: bool) -> ShardFacts {
        let message = Some("is not looked at".to_owned());
        ShardFacts { shard, url: url.to_owned(), in_use, message, ..ShardFacts::default() }
    }
}

/// Entries of the status.
pub(super) fn states(servers: &ServersFacts) -> Vec<ShardState> {
    servers.shards.iter().map(state).collect()
}

fn state(facts: &ShardFacts) -> ShardState {
    let ShardFacts { shard, url, pod, ready, in_use, message, storage, hours_left } = facts;
    let (mut volumes, mut tables) = (Vec::new(), Vec::new());
    if let Some(storage) = storage {
        for volume in storage.volumes.iter().take(MAX_VOLUMES) {
            volumes.push(VolumeState {
                name: volume.name.clone(),
                size: Some(bytes(volume.total as f64)),
                free: Some(bytes(volume.free as f64)),
                hours_left: hours_left.get(&volume.name).map(|hours| hours_text(*hours)),
            });
        }
        let full = storage.tables.iter().flatten().filter(|(_, table)| table.rows > 0);
        let cold = storage.policy.cold.as_deref();
        tables.extend(full.take(MAX_TABLES).map(|(name, table)| table_state(name, table, cold)));
    }
    ShardState {
        shard: *shard,
        pod: pod.clone(),
        url: Some(shorten(url, MAX_TEXT)),
        ready: *ready,
        in_use: *in_use,
        version: storage.as_ref().map(|storage| shorten(&storage.version, 64)),
        message: message.as_ref().map(|message| shorten(message, MAX_TEXT)),
        volumes,
        tables,
    }
}

/// What is not on the cold volume is hot.
fn table_state(name: &str, table: &Table, cold: Option<&str>) -> TableState {
    let on_cold = cold.and_then(|cold| table.bytes.get(cold)).copied().unwrap_or_default();
    let size = |number: u64| (number > 0).then(|| bytes(number as f64));
    let (hot, cold) = (size(table.total().saturating_sub(on_cold)), size(on_cold));
    TableState { name: name.to_owned(), rows: Some(short(table.rows)), hot, cold }
}

fn hours_text(hours: f64) -> String {
    if hours < 100.0 { format!("{hours:.1}") } else { format!("{hours:.0}") }
}

/// Whether the servers that we run are as they should be; `None` for those of somebody else.
pub(super) fn clickhouse_ready(servers: &ServersFacts) -> Option<Finding> {
    if !servers.are_ours {
        return None;
    }
    let name = "ClickHouseReady";
    let wanted = servers.shards.len();
    let ready = servers.shards.iter().filter(|shard| shard.ready).count();
    let mut lines = vec![format!("{ready} of {wanted} servers are ready")];
    for shard in &servers.shards {
        if let Some(message) = &shard.message {
            lines.push(format!("shard {}: {message}", shard.shard));
        }
    }
    let (is_ready, reason) = if ready == wanted { (true, "AllReady") } else { (false, "NotReady") };
    Some(finding(name, is_ready, reason, lines.join("; ")))
}

/// Whether the volumes can hold what shall be kept.
pub(super) fn storage_fits(servers: &ServersFacts) -> Finding {
    let name = "StorageFits";
    match servers.shortages.as_deref() {
        None => finding(name, None, "NotMeasured", "the rate at which rows come is not known yet"),
        Some([]) => finding(name, true, "Fits", "what shall be kept fits on the volumes at the present rate"),
        Some(shortages) => finding(name, false, "TooSmall", shortages.join("; ")),
    }
}
