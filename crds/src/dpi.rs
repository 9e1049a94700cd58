//! One DPI: its streams and the receiver that serves it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::duration::{Delay, Duration};
use crate::pod::{Resources, Toleration};
use crate::quantity::Quantity;
use crate::references::LocalReference;
use crate::stream::Stream;

/// Size of a journal unless told otherwise.
pub const DEFAULT_JOURNAL: &str = "10Gi";

/// A DPI and what it sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dpi {
    /// Number of the DPI, stored with every record as `dpi_id`.
    pub id: u16,
    /// Name for people, shown beside the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its streams. Names must differ; a name defaults to the type in lower case.
    pub streams: Vec<Stream>,
    /// How its receiver runs: exposure, journal, resources, placement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<ReceiverSpec>,
}

/// How the receiver of one DPI runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiverSpec {
    /// How the DPI reaches it on Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// The journal between the network and ClickHouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<Journal>,
    /// CPU and memory of the receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints the pod tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Priority class of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Secrets for the image registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalReference>,
    /// Settings that are automatic when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
}

/// How a DPI reaches its receiver on Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exposure {
    /// The way into the cluster.
    #[serde(default, rename = "type")]
    pub exposure_type: ExposureType,
    /// For `Service`: what it looks like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
}

/// Ways into the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum ExposureType {
    /// Through a Service; the sender's address is kept.
    #[default]
    Service,
    /// The same port of the node that the receiver runs on.
    HostPort,
    /// The receiver listens in the node's own network.
    HostNetwork,
}

/// The Service in front of a receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceSpec {
    /// Kubernetes' type of Service.
    #[serde(default, rename = "type")]
    pub service_type: ServiceType,
    /// Which implementation provides the load balancer, such as metallb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
    /// Annotations of the Service, for the load balancer's implementation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Kubernetes' types of Service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum ServiceType {
    /// Inside the cluster only.
    #[default]
    ClusterIP,
    /// A port of every node.
    NodePort,
    /// An address of its own.
    LoadBalancer,
}

/// The journal of one DPI: all its streams together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Journal {
    /// The most it may occupy, at least 16Mi; default 10Gi. It is the buffer while ClickHouse is away: a DPI
    /// at 10 Gbit/s fills about 25 GB an hour. It can grow, not shrink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Storage class of its volume; absent: the cluster's default. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// When it is forced to disk.
    #[serde(default)]
    pub fsync: Fsync,
    /// How often, where `fsync` is Interval; default 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fsync_interval: Option<Duration>,
    /// How long segments are kept after ClickHouse has acknowledged them; default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_after_commit: Option<Duration>,
    /// What to do when the journal's volume is gone, with a lost node for example.
    #[serde(default)]
    pub on_volume_lost: OnVolumeLost,
}

/// When the journal is forced to disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum Fsync {
    /// When the kernel likes: it survives a crash of the process, not of the machine.
    Never,
    /// Every `fsyncInterval`; a crash of the machine loses at most that much.
    #[default]
    Interval,
    /// Before anything counts as journaled.
    Always,
}

/// What to do when the volume of a journal is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum OnVolumeLost {
    /// Nothing, until a person decides.
    #[default]
    Wait,
    /// Start with an empty journal; what was in the old one is lost and counted as missing where it can be.
    Recreate,
}

/// Settings that are automatic when absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tuning {
    /// A new segment of the journal is begun at least this often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_interval: Option<Duration>,
    /// How long a finished segment waits before it is processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_delay: Option<Delay>,
    /// Messages held in memory between listener and journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_messages: Option<u32>,
    /// Number of inserts in flight at a time, 1-64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inserters: Option<u32>,
    /// The longest a record waits for others before it is inserted into ClickHouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Duration>,
    /// How long records are gathered before aggregates are written; five times as long if they are few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush_interval: Option<Duration>,
}
