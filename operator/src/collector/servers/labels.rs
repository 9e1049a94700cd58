//! Labels of servers. Selectors are made of them: they must stay as they are in all versions.

use std::collections::BTreeMap;

use super::super::build::{COLLECTOR_LABEL, MANAGED_BY, MANAGED_BY_LABEL, NAME_LABEL};

/// Label: the shard's number.
pub const SHARD_LABEL: &str = "qoeplane.io/shard";
/// Value of the label that says what runs.
pub const NAME: &str = "qoe-clickhouse";

/// Labels of what all servers share.
pub(super) fn shared(collector: &str) -> BTreeMap<String, String> {
    [(COLLECTOR_LABEL, collector), (NAME_LABEL, NAME), (MANAGED_BY_LABEL, MANAGED_BY)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Labels of everything that belongs to one server.
pub(super) fn of_shard(collector: &str, shard: u32) -> BTreeMap<String, String> {
    let mut labels = shared(collector);
    labels.insert(SHARD_LABEL.to_owned(), shard.to_string());
    labels
}

/// Labels that select the pod of one server.
pub(super) fn selector(collector: &str, shard: u32) -> BTreeMap<String, String> {
    BTreeMap::from([
        (COLLECTOR_LABEL.to_owned(), collector.to_owned()),
        (SHARD_LABEL.to_owned(), shard.to_string()),
    ])
}
