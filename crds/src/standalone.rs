//! Turns a collector into the configuration of a receiver on one machine, and says plainly what
//! the file asks for and this version does not do.
//!
//! Listens on loopback unless told otherwise: a program that is tried out must not open ports
//! to the network.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::clickhouse::ClickHouseKind;
use crate::collector::{NodePolicy, QoeCollector};
use crate::dpi::ReceiverSpec;
use crate::receiver::{ClickHouseTarget, ReceiverConfig};
use crate::receiver_of_dpi::{Notes, Place, SecretFiles, dpi_config, note_collector};
use crate::validate::FieldPath;

pub use crate::receiver_of_dpi::NotYet;

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
    /// Files of the Secrets of each DPI's streams.
    pub secrets: BTreeMap<u16, SecretFiles>,
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
            secrets: BTreeMap::new(),
        }
    }
}

impl ReceiverConfig {
    /// What the receiver of `collector` on one machine does, and what of the collector it does
    /// not. DPIs of which no stream is received are left out.
    pub fn from_collector(
        collector: &QoeCollector,
        options: &StandaloneOptions,
    ) -> (ReceiverConfig, Vec<NotYet>) {
        let StandaloneOptions { listen, http, data_dir, version, clickhouse, secrets } = options;
        let mut notes = Notes::default();
        let spec = FieldPath::root().field("spec");
        let mut dpis = Vec::new();
        for (index, dpi) in collector.spec.dpis.iter().enumerate() {
            let path = spec.field("dpis").index(index);
            let secrets = secrets.get(&dpi.id).cloned().unwrap_or_default();
            let place = Place { listen: *listen, secrets, quota_percent: 100 };
            let config = dpi_config(&path, dpi, &collector.spec.elements, &place, &mut notes);
            if let Some(receiver) = &dpi.receiver {
                note_receiver(&path.field("receiver"), receiver, &mut notes);
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
            enrichment: (&collector.spec.enrichment).into(),
            aggregates: (&collector.spec.tables).into(),
        };
        (config, notes.0)
    }
}

fn note_receiver(path: &FieldPath, receiver: &ReceiverSpec, notes: &mut Notes) {
    let ReceiverSpec {
        exposure,
        journal,
        resources,
        node_selector,
        tolerations,
        priority_class_name,
        image_pull_secrets,
        tuning: _,
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
    if journal.as_ref().is_some_and(|journal| journal.storage_class_name.is_some()) {
        let path = path.field("journal").field("storageClassName");
        notes.add(path, "has no meaning on one machine, ignored");
    }
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
    if spec.nodes.is_some() {
        notes.add(path.field("nodes"), "has no meaning on one machine, ignored");
    }
    if let Some(ClickHouseKind::Managed(_)) = spec.clickhouse.kind() {
        let path = path.field("clickhouse").field("managed");
        notes.add(path, "read as embedded, with hot and cold directories");
    }
    note_collector(path, spec, notes);
}
