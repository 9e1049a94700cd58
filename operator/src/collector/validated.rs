//! A collector with everything it refers to found and checked: what `build` works from. Plain data;
//! it must never hold a client or a password.

use crds::collector::QoeCollectorSpec;

/// A collector that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid, for owner references.
    pub uid: String,
    /// What is wanted.
    pub spec: QoeCollectorSpec,
    /// Version of the receivers.
    pub version: String,
    /// Where records go.
    pub clickhouse: ClickHouseEndpoint,
}

/// ClickHouse as receivers reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickHouseEndpoint {
    /// Its HTTP address; with several servers, that of shard 0.
    pub url: String,
    /// Addresses of shard 1 and the following.
    pub further_shards: Vec<String>,
    /// Shards that nothing new is bound to.
    pub closed_shards: Vec<u32>,
    /// Login.
    pub user: String,
    /// Database.
    pub database: String,
    /// Secret with the key `password`, mounted into receivers.
    pub credentials_secret: String,
    /// Secret with the key `ca.crt`, mounted into receivers.
    pub ca_secret: Option<String>,
}

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Repository of the receiver's image; the tag is the version.
    pub receiver_repository: String,
    /// Image of ClickHouse servers, for objects that name none.
    pub clickhouse: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
    /// Pull secrets of all pods, beside those that a collector names.
    pub pull_secrets: Vec<String>,
}
