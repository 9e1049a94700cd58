//! Turns a collector into the configuration of a receiver on one machine, and says plainly what
//! the file asks for and this version does not do.
//!
//! Listens on loopback unless told otherwise: a program that is tried out must not open ports
//! to the network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::clickhouse::ClickHouseKind;
use crate::collector::{NodePolicy, QoeCollector};
use crate::dictionary::QoeDictionary;
use crate::dpi::{Dpi, ReceiverSpec};
use crate::enrichment::Enrichment;
use crate::receiver::{ClickHouseTarget, DpiConfig, JournalConfig, ReceiverConfig, StreamConfig};
use crate::stream::Stream;
use crate::tables::Tables;
use crate::validate::FieldPath;

/// How long a record waits for others unless told otherwise, in milliseconds.
const DEFAULT_MAX_DELAY_MS: u64 = 1_000;

/// Inserts in flight unless told otherwise.
const DEFAULT_INSERTERS: usize = 2;

/// What one machine adds to the collector's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandaloneOptions {
    /// Address that all listeners bind to; `::` or `0.0.0.0` opens them to the network.
    pub listen: IpAddr,
    /// Address of metrics and status.
    pub http: SocketAddr,
    /// Where the receiver keeps its journals.
    pub data_dir: PathBuf,
    /// Version of the running program.
    pub version: String,
    /// Where records go.
    pub clickhouse: ClickHouseTarget,
}

impl StandaloneOptions {
    /// Listeners on 127.0.0.1, status on a free port of 127.0.0.1.
    pub fn new(data_dir: PathBuf, version: String, clickhouse: ClickHouseTarget) -> StandaloneOptions {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        StandaloneOptions {
            listen: loopback,
            http: SocketAddr::new(loopback, 0),
            data_dir,
            version,
            clickhouse,
        }
    }
}

/// Something the file asks for that this version does not do, or that one machine does not need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotYet {
    /// The field.
    pub path: FieldPath,
    /// What happens instead.
    pub message: String,
}

impl fmt::Display for NotYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

struct Notes(Vec<NotYet>);

impl Notes {
    fn add(&mut self, path: FieldPath, message: impl Into<String>) {
        self.0.push(NotYet { path, message: message.into() });
    }
}

impl ReceiverConfig {
    /// What the receiver of `collector` on one machine does, and what of the collector it does
    /// not. DPIs of which no stream is received are left out.
    pub fn from_collector(
        collector: &QoeCollector,
        options: &StandaloneOptions,
    ) -> (ReceiverConfig, Vec<NotYet>) {
        let StandaloneOptions { listen, http, data_dir, version, clickhouse } = options;
        let mut notes = Notes(Vec::new());
        let spec = FieldPath::root().field("spec");
        let mut dpis = Vec::new();
        for (index, dpi) in collector.spec.dpis.iter().enumerate() {
            let mut config = dpi_config(&spec.field("dpis").index(index), dpi, *listen, &mut notes);
            for stream in &mut config.streams {
                stream.elements = collector.spec.elements.clone();
                stream.elements.retain(|element| element.stream == stream.stream);
            }
            if !config.streams.is_empty() {
                dpis.push(config);
            }
        }
        note_rest(&spec, collector, version, &mut notes);
        let config = ReceiverConfig {
            collector: collector.metadata.name.clone(),
            version: version.clone(),
            data_dir: data_dir.clone(),
            http: *http,
            clickhouse: clickhouse.clone(),
            dpis,
            // One machine is the one that there is.
            cpu_features: Vec::new(),
            cpu_policy: NodePolicy::default(),
        };
        (config, notes.0)
    }
}

/// One line for each dictionary: none is loaded yet.
pub fn dictionaries_not_yet(dictionaries: &[QoeDictionary]) -> Vec<NotYet> {
    let mut notes = Notes(Vec::new());
    for dictionary in dictionaries {
        let path = FieldPath::root().field(&format!("QoeDictionary/{}", dictionary.metadata.name));
        notes
            .add(path, format!("not yet: {:?} dictionaries are not loaded", dictionary.spec.dictionary_type));
    }
    notes.0
}

fn dpi_config(path: &FieldPath, dpi: &Dpi, listen: IpAddr, notes: &mut Notes) -> DpiConfig {
    let mut streams = Vec::new();
    for (index, stream) in dpi.streams.iter().enumerate() {
        let path = path.field("streams").index(index);
        if let Some(config) = stream_config(&path, stream, listen, notes) {
            streams.push(config);
        }
    }
    let mut config = DpiConfig {
        id: dpi.id,
        name: dpi.name.clone(),
        streams,
        journal: JournalConfig::default(),
        max_delay_ms: DEFAULT_MAX_DELAY_MS,
        inserters: DEFAULT_INSERTERS,
    };
    if let Some(receiver) = &dpi.receiver {
        apply_receiver(&path.field("receiver"), receiver, &mut config, notes);
    }
    config
}

fn stream_config(
    path: &FieldPath,
    stream: &Stream,
    listen: IpAddr,
    notes: &mut Notes,
) -> Option<StreamConfig> {
    let label =
        format!("{} on {} port {}", stream.stream_type.as_str(), stream.transport.as_str(), stream.port);
    if stream.tls.is_some() {
        // Listening without TLS where TLS was asked for would be worse than not listening.
        notes.add(path.field("tls"), format!("not yet: without TLS, {label} is not received"));
        return None;
    }
    if stream.export.is_some() {
        notes.add(path.field("export"), format!("not yet: {label} is stored but not sent on"));
    }
    Some(StreamConfig {
        name: stream.name().to_owned(),
        stream: stream.stream_type,
        listen: SocketAddr::new(listen, stream.port.get()),
        transport: stream.transport,
        allow_from: stream.allow_from.clone(),
        tls: None,
        domains: stream.domains.clone(),
        elements: Vec::new(),
    })
}

fn apply_receiver(path: &FieldPath, receiver: &ReceiverSpec, config: &mut DpiConfig, notes: &mut Notes) {
    let ReceiverSpec {
        exposure,
        journal,
        resources,
        node_selector,
        tolerations,
        priority_class_name,
        image_pull_secrets,
        tuning,
    } = receiver;
    for (field, given) in [
        ("exposure", exposure.is_some()),
        ("resources", resources.is_some()),
        ("nodeSelector", !node_selector.is_empty()),
        ("tolerations", !tolerations.is_empty()),
        ("priorityClassName", priority_class_name.as_ref().is_some_and(|name| !name.is_empty())),
        ("imagePullSecrets", !image_pull_secrets.is_empty()),
    ] {
        if given {
            notes.add(path.field(field), "has no meaning on one machine, ignored");
        }
    }
    if let Some(journal) = journal {
        if let Some(bytes) = journal.size.as_ref().and_then(|size| size.bytes()) {
            config.journal.quota_bytes = bytes;
            config.journal.segment_bytes = segment_bytes(bytes);
        }
        config.journal.fsync = journal.fsync;
        if let Some(interval) = journal.fsync_interval {
            config.journal.fsync_interval_ms = interval.as_millis();
        }
        if let Some(keep) = journal.keep_after_commit {
            config.journal.keep_after_commit_ms = keep.as_millis();
        }
        if journal.storage_class_name.is_some() {
            let path = path.field("journal").field("storageClassName");
            notes.add(path, "has no meaning on one machine, ignored");
        }
    }
    if let Some(tuning) = tuning {
        let path = path.field("tuning");
        if let Some(delay) = tuning.max_delay {
            config.max_delay_ms = delay.as_millis();
        }
        if let Some(inserters) = tuning.inserters {
            config.inserters = usize::try_from(inserters).unwrap_or(DEFAULT_INSERTERS).max(1);
        }
        for (field, given) in [
            ("segmentInterval", tuning.segment_interval.is_some()),
            ("segmentDelay", tuning.segment_delay.is_some_and(|delay| delay.as_millis() > 0)),
            ("queueMessages", tuning.queue_messages.is_some()),
        ] {
            if given {
                notes.add(path.field(field), "not yet: chosen automatically");
            }
        }
    }
}

/// At least eight segments fit into the quota; whole pages; between 1 MiB and 64 MiB.
fn segment_bytes(quota: u64) -> u64 {
    let eighth = quota / 8 / 4_096 * 4_096;
    eighth.clamp(1 << 20, JournalConfig::default().segment_bytes)
}

fn note_rest(path: &FieldPath, collector: &QoeCollector, version: &str, notes: &mut Notes) {
    let spec = &collector.spec;
    if spec.paused {
        notes.add(path.field("paused"), "has no meaning on one machine, ignored");
    }
    if let Some(wanted) = &spec.version
        && wanted != version
    {
        notes.add(path.field("version"), format!("this program is version {version}, {wanted} is ignored"));
    }
    if spec.time_zone.is_some() {
        notes.add(path.field("timeZone"), "not yet: there are no reports; storage is UTC");
    }
    if spec.nodes.is_some() {
        notes.add(path.field("nodes"), "has no meaning on one machine, ignored");
    }
    let clickhouse = path.field("clickhouse");
    match spec.clickhouse.kind() {
        Some(ClickHouseKind::Managed(_)) => {
            notes.add(clickhouse.field("managed"), "read as embedded, with hot and cold directories");
        }
        Some(ClickHouseKind::External(external)) => {
            let path = clickhouse.field("external");
            if external.endpoints.len() > 1 {
                notes.add(path.field("endpoints"), "not yet: several shards, only the first is used");
            }
            if external.cluster.is_some() {
                notes.add(path.field("cluster"), "not yet: clusters");
            }
        }
        Some(ClickHouseKind::Embedded(_)) | None => {}
    }
    note_tables(&path.field("tables"), &spec.tables, notes);
    if spec.enrichment != Enrichment::default() {
        notes.add(path.field("enrichment"), "not yet: records are stored as they arrive");
    }
}

fn note_tables(path: &FieldPath, tables: &Tables, notes: &mut Notes) {
    for (name, given) in [
        ("fullflow_agg", tables.fullflow_agg.is_some()),
        ("clickstream_agg", tables.clickstream_agg.is_some()),
        ("natflow_agg", tables.natflow_agg.is_some()),
    ] {
        if given {
            notes.add(path.field(name), "not yet: there are no aggregates");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_fit_their_quota() {
        for quota in [16 << 20, 100 << 20, 10 << 30, u64::MAX] {
            let segment = segment_bytes(quota);
            assert!(segment * 8 <= quota && segment.is_multiple_of(4_096), "{quota}");
        }
        assert_eq!(segment_bytes(10 << 30), 64 << 20);
    }
}
