//! The StatefulSet of one server: one replica, its volumes are its identity.

use crds::managed::{COLD, HOT, headless_name};
use k8s_openapi::api::apps::v1::StatefulSet;

use super::super::parts;
use super::resources::Servers;
use super::{labels, metadata, pod};

pub(super) fn build(servers: &Servers<'_>, shard: u32) -> StatefulSet {
    let claim = |name: &str, (size, class): (&str, Option<&str>)| {
        parts::claim(name, labels::of_shard(servers.collector, shard), size, class)
    };
    let mut claims = vec![claim(HOT, servers.managed.hot())];
    claims.extend(servers.managed.cold().map(|cold| claim(COLD, cold)));
    parts::stateful_set(
        metadata::of_shard(servers, shard),
        labels::selector(servers.collector, shard),
        headless_name(servers.collector),
        pod::template(servers, shard),
        claims,
    )
}
