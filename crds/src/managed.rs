//! Names and addresses of a ClickHouse that the operator runs. Operator, receivers' configuration, `kubectl qoe`
//! and people find its parts by them: none may ever change, volumes and passwords would be left behind.

/// Port of ClickHouse's HTTP interface.
pub const HTTP_PORT: u16 = 8_123;
/// Port of ClickHouse's native protocol, by which servers ask each other.
pub const TCP_PORT: u16 = 9_000;
/// Name of the servers' cluster in their configuration.
pub const CLUSTER: &str = "qoeplane";
/// Name of their storage policy.
pub const POLICY: &str = "tiered";
/// Its volume where rows arrive, and the claim template of that volume.
pub const HOT: &str = "hot";
/// Its volume for old rows, and the claim template of that volume.
pub const COLD: &str = "cold";

/// The user of the operator: may do everything.
pub const ADMIN: &str = "qoe_admin";
/// The user of receivers: reads and inserts.
pub const WRITER: &str = "qoe_writer";
/// The user of `kubectl qoe query`: reads.
pub const READER: &str = "qoe_reader";

/// The longest name of a collector with servers: Kubernetes makes a label of 63 of a server's name and a hash.
pub const LONGEST_COLLECTOR: usize = 38;

/// Users whose names an object cannot give to its own.
pub const RESERVED_USERS: [&str; 4] = [ADMIN, WRITER, READER, "default"];

/// Name of what all servers of a collector share: the Service for queries, the ServiceAccount.
pub fn object_name(collector: &str) -> String {
    format!("{collector}-clickhouse")
}

/// Name of the objects of one server: StatefulSet, ConfigMap, PodDisruptionBudget.
pub fn server_name(collector: &str, shard: u32) -> String {
    format!("{collector}-clickhouse-{shard}")
}

/// Name of its pod.
pub fn pod_name(collector: &str, shard: u32) -> String {
    format!("{collector}-clickhouse-{shard}-0")
}

/// Name of the claim of one of its volumes, [`HOT`] or [`COLD`].
pub fn claim_name(collector: &str, shard: u32, volume: &str) -> String {
    format!("{volume}-{collector}-clickhouse-{shard}-0")
}

/// Name of the headless Service that gives each server a name.
pub fn headless_name(collector: &str) -> String {
    format!("{collector}-clickhouse-shards")
}

/// Secret with the servers' files that must not be read by everybody: users and cluster.
pub fn server_secret(collector: &str) -> String {
    format!("{collector}-clickhouse-server")
}

/// Secret of [`ADMIN`]: keys `username`, `password`, and `interserver`, by which servers trust each other.
pub fn admin_secret(collector: &str) -> String {
    format!("{collector}-clickhouse-admin")
}

/// Secret of [`WRITER`]: keys `username`, `password`.
pub fn writer_secret(collector: &str) -> String {
    format!("{collector}-clickhouse-writer")
}

/// Secret of [`READER`]: keys `username`, `password`.
pub fn reader_secret(collector: &str) -> String {
    format!("{collector}-clickhouse-reader")
}

/// The name of a server within the cluster.
pub fn shard_host(collector: &str, namespace: &str, shard: u32) -> String {
    format!("{}.{}.{namespace}.svc", pod_name(collector, shard), headless_name(collector))
}

/// Where a server answers.
pub fn shard_url(collector: &str, namespace: &str, shard: u32) -> String {
    format!("http://{}:{HTTP_PORT}", shard_host(collector, namespace, shard))
}
