//! `QoeCollector`: the DPIs, the ClickHouse, and what happens between them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clickhouse::ClickHouse;
use crate::dpi::Dpi;
use crate::enrichment::{CustomElement, Enrichment};
use crate::tables::Tables;

/// The kind's name.
pub const KIND: &str = "QoeCollector";

/// One collector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QoeCollector {
    /// Always `qoeplane.io/v1alpha1`.
    pub api_version: String,
    /// Always `QoeCollector`.
    pub kind: String,
    /// Name and labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: QoeCollectorSpec,
}

/// Name and labels of an object. Fields that only Kubernetes fills in are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Namespace; meaningless on one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Everything a provider may set. Whatever is left out has a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(kube::CustomResource, schemars::JsonSchema))]
#[cfg_attr(
    feature = "kubernetes",
    kube(
        group = "qoeplane.io",
        version = "v1alpha1",
        kind = "QoeCollector",
        root = "Collector",
        doc = "A QoeCollector of a cluster. Its definition is [`crate::kubernetes::collector_definition`].",
        plural = "qoecollectors",
        namespaced,
        schema = "disabled",
        derive = "PartialEq",
        status = "crate::status::QoeCollectorStatus",
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QoeCollectorSpec {
    /// While true, the operator changes nothing, so that repairs by hand stay as they are. Receivers go on.
    #[serde(default)]
    pub paused: bool,
    /// Version of the receivers, such as 0.2.0. Absent: the operator's own when the object is created, kept in
    /// `status.version` and moved as `upgradePolicy` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether a newer operator moves the receivers to its own version, where `version` is absent.
    #[serde(default)]
    pub upgrade_policy: UpgradePolicy,
    /// What happens to tables and journal volumes when the object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Time zone of reports, such as Europe/Berlin. Times are stored in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The DPIs, told apart by id. Each has a receiver of its own.
    pub dpis: Vec<Dpi>,
    /// Which nodes are fit for receivers: CPU and network card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Nodes>,
    /// Where records are stored: exactly one of managed, external, embedded.
    pub clickhouse: ClickHouse,
    /// How long each table keeps its rows; keys are the tables' names.
    #[serde(default)]
    pub tables: Tables,
    /// What is decided about a record while it is stored.
    #[serde(default)]
    pub enrichment: Enrichment,
    /// Fields that the vendor does not publish: which element goes to which column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<CustomElement>,
    /// Hashes of plans with destructive steps that may be carried out, such as `sha256:3f...`; the plan that
    /// waits, with its hash, is in `status.schema`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<String>,
}

/// Whether a newer operator moves `version`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum UpgradePolicy {
    /// It does, one receiver at a time.
    #[default]
    Automatic,
    /// Receivers stay until a person sets `version`.
    Manual,
}

/// What happens to tables and volumes when the object is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum DeletionPolicy {
    /// They stay.
    #[default]
    Retain,
    /// What we made is dropped.
    Delete,
}

/// Which nodes are fit for receivers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Nodes {
    /// CPU features a node must have, by node-feature-discovery's names, such as SSE42 or AVX2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpu_features: Vec<String>,
    /// The least speed of the network card, in Mbit/s.
    #[serde(default, rename = "minNICSpeedMbps", skip_serializing_if = "Option::is_none")]
    pub min_nic_speed_mbps: Option<u32>,
    /// What happens on nodes that do not have all this.
    #[serde(default)]
    pub policy: NodePolicy,
}

/// What happens on nodes that are not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum NodePolicy {
    /// No receiver runs there.
    Require,
    /// Others are preferred; a receiver runs there if there is no other.
    #[default]
    Prefer,
    /// They are like all others.
    Ignore,
}
