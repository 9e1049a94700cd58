//! Which servers form the cluster, as each of them reads it. Servers ask each other in the name of whoever has asked
//! them, and trust each other by a secret.

use std::fmt::Write;

use crds::managed::{CLUSTER, TCP_PORT, shard_host};

use super::resources::Servers;
use super::xml::text;

/// How the entry of a server begins.
const SHARD: &str = "<shard>";

/// How many servers such a text names.
pub(super) fn count(text: &str) -> u32 {
    u32::try_from(text.matches(SHARD).count()).unwrap_or(u32::MAX)
}

pub(super) fn write(servers: &Servers<'_>) -> String {
    let mut shards = String::new();
    for shard in 0..servers.in_cluster {
        let host = shard_host(servers.collector, servers.namespace, shard);
        // Writing to a String cannot fail.
        let _ = writeln!(
            shards,
            "            {SHARD}<replica><host>{host}</host><port>{TCP_PORT}</port></replica></shard>"
        );
    }
    format!(
        "<clickhouse>
    <!-- Written by the operator; changes are lost. -->
    <remote_servers replace=\"replace\">
        <{CLUSTER}>
            <secret>{}</secret>
{shards}        </{CLUSTER}>
    </remote_servers>
</clickhouse>
",
        text(servers.interserver)
    )
}
