//! A server's configuration, derived from what it is given: memory, processors, volumes. What is not named here is as
//! in the image.

use crds::Quantity;
use crds::clickhouse::Managed;
use crds::managed::{COLD, HOT, HTTP_PORT, POLICY, TCP_PORT};

/// Where the hot volume is mounted.
pub(super) const HOT_DIR: &str = "/var/lib/clickhouse";
/// Where the cold volume is mounted.
pub(super) const COLD_DIR: &str = "/var/lib/clickhouse-cold";

/// Ports and logs of the image's configuration that nobody uses here.
const REMOVED: [&str; 25] = [
    "mysql_port",
    "postgresql_port",
    "interserver_http_port",
    "tcp_port_secure",
    "https_port",
    "grpc_port",
    "prometheus",
    "trace_log",
    "query_thread_log",
    "query_views_log",
    "part_log",
    "text_log",
    "metric_log",
    "latency_log",
    "error_log",
    "query_metric_log",
    "asynchronous_metric_log",
    "asynchronous_insert_log",
    "opentelemetry_span_log",
    "session_log",
    "processors_profile_log",
    "backup_log",
    "s3queue_log",
    "blob_storage_log",
    "distributed_ddl",
];

/// Of a volume that must take nothing: larger than any.
const NEVER_FREE: u64 = 1 << 60;
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// The most memory that a server takes, in bytes: four fifths of what its container has.
pub(super) fn server_memory(managed: &Managed) -> u64 {
    let resources = managed.resources();
    let given = resources.limits.get("memory").or_else(|| resources.requests.get("memory"));
    given.and_then(Quantity::bytes).unwrap_or(4 * GIB) / 5 * 4
}

/// Threads that merge: one for each processor that the server may count on, and never too few to keep up.
fn merging_threads(managed: &Managed) -> u64 {
    let resources = managed.resources();
    let given = resources.requests.get("cpu").or_else(|| resources.limits.get("cpu"));
    given.and_then(Quantity::bytes).unwrap_or(1).clamp(4, 64)
}

/// What is left free of a volume of this size, so that merges can end: a twentieth, 20 GiB at most.
fn keep_free(size: &str) -> u64 {
    let bytes = size.parse::<Quantity>().ok().and_then(|size| size.bytes()).unwrap_or(0);
    (bytes / 20).min(20 * GIB)
}

pub(super) fn write(managed: &Managed, shard: u32) -> String {
    let memory = server_memory(managed);
    let marks = (memory / 16).clamp(32 * MIB, 5 * GIB);
    let small = (memory / 64).clamp(16 * MIB, GIB);
    let threads = merging_threads(managed);
    // Each thread may have two merges; a few are kept for small ones, which keep the number of parts low.
    let free_entries = threads;
    let (hot_size, _) = managed.hot();
    let hot_free = keep_free(hot_size);
    let removed: Vec<String> =
        REMOVED.iter().map(|name| format!("    <{name} remove=\"remove\"/>\n")).collect();
    // Both volumes are there from the first day, so that a cold volume that comes later is another disk behind the
    // same name, and no table has to be changed. Until then the cold one is a directory that nothing is moved to.
    let (cold_dir, cold_free, move_factor) = match managed.cold() {
        Some((size, _)) => (format!("{COLD_DIR}/"), keep_free(size), "0.1"),
        None => (format!("{HOT_DIR}/cold/"), NEVER_FREE, "0"),
    };
    format!(
        "<clickhouse>
    <!-- Written by the operator; changes are lost. -->
    <logger replace=\"replace\"><level>warning</level><console>1</console></logger>
    <timezone>UTC</timezone>
    <listen_host>::</listen_host>
    <listen_host>0.0.0.0</listen_host>
    <listen_try>1</listen_try>
    <http_port>{HTTP_PORT}</http_port>
    <tcp_port>{TCP_PORT}</tcp_port>
{removed}    <send_crash_reports><enabled>false</enabled></send_crash_reports>
    <macros replace=\"replace\"><shard>{shard}</shard></macros>
    <path>{HOT_DIR}/</path>
    <tmp_path>{HOT_DIR}/tmp/</tmp_path>
    <user_files_path>{HOT_DIR}/user_files/</user_files_path>

    <max_server_memory_usage>{memory}</max_server_memory_usage>
    <mark_cache_size>{marks}</mark_cache_size>
    <primary_index_cache_size>{marks}</primary_index_cache_size>
    <index_mark_cache_size>{small}</index_mark_cache_size>
    <query_condition_cache_size>{small}</query_condition_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <index_uncompressed_cache_size>0</index_uncompressed_cache_size>
    <background_pool_size>{threads}</background_pool_size>

    <merge_tree>
        <!-- An acknowledged insert survives a power cut. -->
        <fsync_after_insert>1</fsync_after_insert>
        <fsync_part_directory>1</fsync_part_directory>
        <min_rows_to_fsync_after_merge>1</min_rows_to_fsync_after_merge>
        <min_compressed_bytes_to_fsync_after_merge>1</min_compressed_bytes_to_fsync_after_merge>
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>{free_entries}</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_mutation>{free_entries}</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>{free_entries}</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>

    <storage_configuration>
        <disks>
            <default><keep_free_space_bytes>{hot_free}</keep_free_space_bytes></default>
            <cold><path>{cold_dir}</path><keep_free_space_bytes>{cold_free}</keep_free_space_bytes></cold>
        </disks>
        <policies>
            <{POLICY}>
                <volumes>
                    <{HOT}><disk>default</disk></{HOT}>
                    <{COLD}><disk>cold</disk></{COLD}>
                </volumes>
                <move_factor>{move_factor}</move_factor>
            </{POLICY}>
        </policies>
    </storage_configuration>

    <!-- The only log in a table: it shows who asks what, and how inserts are made. -->
    <query_log replace=\"replace\">
        <database>system</database>
        <table>query_log</table>
        <engine>ENGINE = MergeTree PARTITION BY event_date ORDER BY (event_date, event_time)
            TTL event_date + INTERVAL 3 DAY
            SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 0, fsync_part_directory = 0,
                min_rows_to_fsync_after_merge = 0, min_compressed_bytes_to_fsync_after_merge = 0</engine>
        <flush_interval_milliseconds>7500</flush_interval_milliseconds>
    </query_log>
</clickhouse>
",
        removed = removed.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn managed(text: &str) -> Managed {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn memory_and_threads_come_from_what_is_given() {
        assert_eq!(server_memory(&managed("{}")), 4 * GIB / 5 * 4);
        let large = managed(r#"{"resources": {"requests": {"cpu": "16", "memory": "64Gi"}}}"#);
        assert_eq!((server_memory(&large), merging_threads(&large)), (64 * GIB / 5 * 4, 16));
        let limited =
            managed(r#"{"resources": {"requests": {"memory": "4Gi"}, "limits": {"memory": "8Gi"}}}"#);
        assert_eq!((server_memory(&limited), merging_threads(&limited)), (8 * GIB / 5 * 4, 4));
    }

    #[test]
    fn a_policy_has_both_volumes_with_and_without_a_cold_one() {
        let with = write(&managed("{}"), 3);
        assert!(
            with.contains("<cold><path>/var/lib/clickhouse-cold/</path>")
                && with.contains("<shard>3</shard>")
        );
        assert!(with.contains("<move_factor>0.1</move_factor>"));
        let without = write(&managed(r#"{"storage": {"hot": {"size": "1Gi"}}}"#), 0);
        assert!(without.contains("<cold><path>/var/lib/clickhouse/cold/</path>"));
        assert!(without.contains("<move_factor>0</move_factor>"), "it would free nothing");
        assert!(without.contains(&format!("<keep_free_space_bytes>{}</keep_free_space_bytes>", GIB / 20)));
    }
}
