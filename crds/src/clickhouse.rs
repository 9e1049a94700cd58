//! Where records are stored: a ClickHouse that the operator runs, one that exists, or one that
//! runs beside us.

use serde::{Deserialize, Serialize};

use crate::pod::Resources;
use crate::quantity::Quantity;
use crate::references::{ClientTls, KeyReference, LocalReference};

/// The database's default name.
pub const DEFAULT_DATABASE: &str = "qoestor";

/// Exactly one of `managed`, `external`, `embedded`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClickHouse {
    /// Name of the database. It cannot be changed.
    #[serde(default = "default_database")]
    pub database: String,
    /// A ClickHouse that the operator runs. On one machine: read as `embedded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<Managed>,
    /// A ClickHouse that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// A ClickHouse that runs beside us, on one machine; not on Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,
}

fn default_database() -> String {
    DEFAULT_DATABASE.to_owned()
}

/// The one of the three that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClickHouseKind<'a> {
    /// `clickhouse.managed`
    Managed(&'a Managed),
    /// `clickhouse.external`
    External(&'a External),
    /// `clickhouse.embedded`
    Embedded(&'a Embedded),
}

impl ClickHouse {
    /// The chosen one; `None` if none or several were given, which validation refuses.
    pub fn kind(&self) -> Option<ClickHouseKind<'_>> {
        match (&self.managed, &self.external, &self.embedded) {
            (Some(managed), None, None) => Some(ClickHouseKind::Managed(managed)),
            (None, Some(external), None) => Some(ClickHouseKind::External(external)),
            (None, None, Some(embedded)) => Some(ClickHouseKind::Embedded(embedded)),
            _ => None,
        }
    }
}

/// A ClickHouse that runs beside us. Nothing to set yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Embedded {}

/// A ClickHouse that the operator runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Managed {
    /// Number of servers that share the data.
    #[serde(default = "one_shard")]
    pub shards: u32,
    /// Image of the server; absent: the one this release was tested with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// CPU and memory of each server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Volumes of each server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Users of the server beside our own, told apart by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
}

const fn one_shard() -> u32 {
    1
}

/// The volumes of a managed server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// The fast volume, where records arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hot: Option<Volume>,
    /// The large volume, where `moveToColdAfter` moves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<Volume>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// Size of the volume. It can grow, not shrink.
    pub size: Quantity,
    /// Storage class of the volume; absent: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}

/// A user of a managed server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// Name to log in with.
    pub name: String,
    /// What the user may do.
    #[serde(default)]
    pub access: Access,
    /// Secret and key with the password.
    pub password_secret_ref: KeyReference,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum Access {
    /// Read the database.
    #[default]
    ReadOnly,
    /// Read and write the database.
    ReadWrite,
}

/// A ClickHouse that exists already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct External {
    /// HTTP addresses, one per shard, such as `https://ch-0.example.org:8443`.
    pub endpoints: Vec<String>,
    /// Secret with the keys `username` and `password`.
    pub credentials_secret_ref: LocalReference,
    /// How to check the servers' certificates; absent: by the system's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// Name of the cluster in the servers' configuration, if there are several shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Storage policy with a fast and a large volume; absent: nothing is moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_policy: Option<StoragePolicy>,
}

/// The storage policy of an existing ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoragePolicy {
    /// Name of the policy.
    pub name: String,
    /// Volume where records arrive.
    pub hot_volume: String,
    /// Volume where `moveToColdAfter` moves them.
    pub cold_volume: String,
}
