//! What a receiver process is handed (one JSON file) and what it answers (`GET /status`).
//!
//! Everything is resolved here: no defaults, no names of types that a receiver would have to
//! look up. Whoever starts the receiver fills it in; see [`crate::standalone`] for one machine.
//!
//! Fields that a receiver does not know are ignored: the program that writes the file may be newer
//! than the receiver that reads it, and must be able to say more than an older one understands. New
//! fields are optional and left out when they have their default, so that a newer program writes the
//! same bytes for what has not changed.

mod aggregates;
mod enrichment;
mod restart;
mod status;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use aggregates::{AggregatesConfig, Aggregation};
pub use enrichment::{EnrichmentConfig, Marks};
pub use schema::hash_of;
pub use status::{
    AggregateStatus, ByReason, DestinationStatus, DictionariesStatus, DpiStatus, GapStatus, JournalStatus,
    SequenceStatus, ShardStatus, Status, StreamStatus, TAKES_A_RESTART, WireStatus,
};

use crate::collector::NodePolicy;
use crate::dpi::Fsync;
use crate::enrichment::CustomElement;
use crate::stream::{Domain, StreamType, Transport};

/// The configuration of one receiver process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverConfig {
    /// Name of the collector it belongs to.
    pub collector: String,
    /// Version of the program that wrote this.
    pub version: String,
    /// Where journals and checkpoints are kept; one directory per DPI and stream below it.
    pub data_dir: PathBuf,
    /// Address of `/metrics`, `/status`, `/livez` and `/readyz`.
    pub http: SocketAddr,
    /// Where records go.
    pub clickhouse: ClickHouseTarget,
    /// The DPIs it serves.
    pub dpis: Vec<DpiConfig>,
    /// CPU features that are wanted, by node-feature-discovery's names: `SSE42`, `AVX2`, `AVX512F`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpu_features: Vec<String>,
    /// What happens when the CPU lacks one of them: Require (it does not start), Prefer (it says so)
    /// or Ignore.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_policy: NodePolicy,
    /// What is made of records while they are stored.
    #[serde(default, skip_serializing_if = "is_default")]
    pub enrichment: EnrichmentConfig,
    /// What is gathered of them besides.
    #[serde(default, skip_serializing_if = "is_default")]
    pub aggregates: AggregatesConfig,
}

/// A ClickHouse server's HTTP interface, or those of several servers that share the data: shards, each with a
/// number from 0. All have the same login, database and authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickHouseTarget {
    /// Its address, `http://127.0.0.1:8123`; with several, that of shard 0.
    pub url: String,
    /// Login.
    pub user: String,
    /// File that holds nothing but the password; white space around it is not part of it.
    pub password_file: PathBuf,
    /// Database.
    pub database: String,
    /// For `https://`: PEM certificates that are trusted instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Addresses of shard 1 and the following. A shard's number is its place and never changes: more come at the
    /// end, fewer go from the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_shards: Vec<String>,
    /// Numbers of shards that nothing new is bound to; what is bound to them already still goes there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed_shards: Vec<u32>,
}

impl ClickHouseTarget {
    /// The addresses of all shards, in the order of their numbers.
    pub fn shards(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.url).chain(&self.further_shards).map(String::as_str)
    }
}

/// One DPI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DpiConfig {
    /// Stored with every record as `dpi_id`.
    pub id: u16,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// Its listeners.
    pub streams: Vec<StreamConfig>,
    /// Its journals, all streams together.
    pub journal: JournalConfig,
    /// The longest a record waits for others before it is inserted, in milliseconds.
    pub max_delay_ms: u64,
    /// Inserts in flight, per stream.
    pub inserters: usize,
    /// How long records are gathered for aggregates, in milliseconds; absent: a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush_interval_ms: Option<u64>,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamConfig {
    /// Name, unique within the DPI; safe as the name of a directory.
    pub name: String,
    /// What arrives.
    pub stream: StreamType,
    /// Where it listens.
    pub listen: SocketAddr,
    /// TCP or UDP.
    pub transport: Transport,
    /// Networks that may send (each parses as [`crate::Network`]); empty: everybody.
    #[serde(default)]
    pub allow_from: Vec<String>,
    /// TLS, for TCP.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Observation domains whose records count as another DPI's.
    #[serde(default)]
    pub domains: Vec<Domain>,
    /// Fields of this stream that the vendor does not publish.
    #[serde(default)]
    pub elements: Vec<CustomElement>,
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsConfig {
    /// Our certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Who signs the DPIs' certificates, PEM; absent: no client certificate is asked for.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// The journals of one DPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalConfig {
    /// The most they may occupy together, in bytes.
    pub quota_bytes: u64,
    /// Size of a segment, in bytes.
    pub segment_bytes: u64,
    /// When they are forced to disk.
    pub fsync: Fsync,
    /// For [`Fsync::Interval`]: how often, in milliseconds.
    pub fsync_interval_ms: u64,
    /// How long segments are kept after the database has acknowledged them, in milliseconds.
    pub keep_after_commit_ms: u64,
}

impl Default for JournalConfig {
    /// 10 GiB in segments of 64 MiB, forced to disk once a second, kept 10 minutes.
    fn default() -> JournalConfig {
        JournalConfig {
            quota_bytes: 10 << 30,
            segment_bytes: 64 << 20,
            fsync: Fsync::Interval,
            fsync_interval_ms: 1_000,
            keep_after_commit_ms: 600_000,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
