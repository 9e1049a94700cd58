//! Name, labels and owner of the objects of servers.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::build::owner_reference;
use super::labels;
use super::resources::Servers;

/// Of what all servers share.
pub(super) fn shared(servers: &Servers<'_>, name: String) -> ObjectMeta {
    of(servers, name, labels::shared(servers.collector))
}

/// Of what belongs to one server.
pub(super) fn of_shard(servers: &Servers<'_>, shard: u32) -> ObjectMeta {
    let name = crds::managed::server_name(servers.collector, shard);
    of(servers, name, labels::of_shard(servers.collector, shard))
}

fn of(servers: &Servers<'_>, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(servers.namespace.to_owned()),
        labels: Some(labels),
        owner_references: Some(vec![owner_reference(servers.collector, servers.uid)]),
        ..ObjectMeta::default()
    }
}
