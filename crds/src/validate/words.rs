//! The words of rules that both the API server and we check: one mistake, one message.

/// A collector's name.
pub const COLLECTOR_NAME: &str =
    "expected a name of at most 40 of a-z, 0-9 and -, beginning with a letter and not ending with -";
/// `clickhouse`.
pub const ONE_CLICKHOUSE: &str = "expected exactly one of managed, external, embedded";
/// `source` of a dictionary.
pub const ONE_SOURCE: &str = "expected exactly one of inline, configMap, secret, http, table, file";
/// `tls` of a stream.
pub const TLS_NEEDS_TCP: &str = "TLS is possible with transport TCP only";
/// `moveToColdAfter`, and `after` of a rollup.
pub const LESS_THAN_KEEP_FOR: &str = "expected less than keepFor";
/// `interval` of a rollup.
pub const MULTIPLE_OF_INTERVAL: &str = "expected a multiple of the interval before";
/// `after` of a rollup.
pub const MORE_THAN_BEFORE: &str = "expected more than the rollup before";
/// `size` of a journal.
pub const JOURNAL_SIZE: &str = "expected at least 16Mi";
/// `allowFrom`.
pub const NETWORK: &str = "expected a network such as 192.0.2.0/24 or 2001:db8::/32";
/// Of a rollup's interval.
pub const NO_ROLLUP_TO_10M: &str = "expected 5m, 15m, 30m or 1h: 10m does not divide the longer ones";
/// Sizes of the volumes of a managed server.
pub const VOLUME_SHRINKS: &str = "a volume cannot shrink";
/// `image` of a managed server.
pub const OLD_SERVER: &str = "expected ClickHouse 26.3 or newer: older ones do not do all that is relied on";
/// `name` of a user of a managed server.
pub const RESERVED_USER: &str = "this user is made by the operator: choose another name";
/// `endpoints` of an external ClickHouse.
pub const ENDPOINT_TWICE: &str = "each server is named once";
/// `cluster` of an external ClickHouse.
pub const CLUSTER_NEEDED: &str =
    "needed with several endpoints: the cluster in the servers' configuration that they form";
/// A collector's name, if the operator runs its ClickHouse.
pub const NAME_WITH_SERVERS: &str =
    "expected a name of at most 38 with clickhouse.managed: names of servers are made of it";
