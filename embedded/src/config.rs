//! Writes ClickHouse's two configuration files as text. Pure: touches no file. The password itself
//! never appears here, only its hash.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::engine::Engine;
use crate::error::ServerError;
use crate::settings::{Layout, Settings, USER};

/// The server configuration. `same_disk` says that the cold volume lies on the hot one's file system;
/// `settings` must have resolved ports.
pub(crate) fn server_xml(
    settings: &Settings,
    layout: &Layout,
    engine: &Engine,
    same_disk: bool,
) -> Result<String, ServerError> {
    let data = directory(&layout.data)?;
    let cold = directory(&layout.cold)?;
    let tmp = directory(&layout.tmp)?;
    let user_files = directory(&layout.user_files)?;
    let backups = directory(&layout.backups)?;
    let users = text(&layout.users)?;
    let logging = logging_xml(layout, engine)?;
    let memory = memory_xml(settings.max_memory);
    let (http_port, tcp_port) = (settings.http_port, settings.tcp_port);
    // Moving parts to the cold volume when the hot one fills up frees nothing on the same disk.
    let move_factor = if same_disk { "0" } else { "0.1" };
    Ok(format!(
        r#"<clickhouse>
    <!-- Written at each start; changes are lost. -->
    <path>{data}</path>
    <tmp_path>{tmp}</tmp_path>
    <user_files_path>{user_files}</user_files_path>
    <backups><allowed_path>{backups}</allowed_path></backups>
    <users_config>{users}</users_config>
    <default_profile>default</default_profile>
    <timezone>UTC</timezone>
    {logging}

    <!-- Loopback only. A port that is not named here is not served. -->
    <listen_host>127.0.0.1</listen_host>
    <http_port>{http_port}</http_port>
    <tcp_port>{tcp_port}</tcp_port>
    <send_crash_reports><enabled>false</enabled></send_crash_reports>

    <!-- The receiver shares this machine: caches are small. -->
    {memory}
    <mark_cache_size>67108864</mark_cache_size>
    <index_mark_cache_size>16777216</index_mark_cache_size>
    <primary_index_cache_size>67108864</primary_index_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <index_uncompressed_cache_size>0</index_uncompressed_cache_size>
    <query_condition_cache_size>16777216</query_condition_cache_size>
    <compiled_expression_cache_size>16777216</compiled_expression_cache_size>
    <query_cache><max_size_in_bytes>16777216</max_size_in_bytes></query_cache>

    <!-- An acknowledged insert survives a power cut. -->
    <merge_tree>
        <fsync_after_insert>1</fsync_after_insert>
        <fsync_part_directory>1</fsync_part_directory>
        <min_rows_to_fsync_after_merge>1</min_rows_to_fsync_after_merge>
        <min_compressed_bytes_to_fsync_after_merge>1</min_compressed_bytes_to_fsync_after_merge>
    </merge_tree>

    <storage_configuration>
        <disks><cold><path>{cold}</path></cold></disks>
        <policies>
            <tiered>
                <volumes>
                    <hot><disk>default</disk></hot>
                    <cold><disk>cold</disk></cold>
                </volumes>
                <move_factor>{move_factor}</move_factor>
            </tiered>
        </policies>
    </storage_configuration>

    <!-- The only system log: it shows how inserts were made. It need not survive a power cut. -->
    <query_log>
        <database>system</database>
        <table>query_log</table>
        <engine>ENGINE = MergeTree PARTITION BY event_date ORDER BY (event_date, event_time)
            TTL event_date + INTERVAL 3 DAY
            SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 0, fsync_part_directory = 0,
                min_rows_to_fsync_after_merge = 0, min_compressed_bytes_to_fsync_after_merge = 0</engine>
        <flush_interval_milliseconds>1000</flush_interval_milliseconds>
    </query_log>
</clickhouse>
"#
    ))
}

/// The library logs to standard error, which is our log file; the binary keeps its own file in bounds.
fn logging_xml(layout: &Layout, engine: &Engine) -> Result<String, ServerError> {
    Ok(match engine {
        Engine::Library(_) => "<log-level>warning</log-level>".to_owned(),
        Engine::Binary(_) => format!(
            "<logger><level>warning</level><log>{}</log><size>8M</size><count>1</count></logger>",
            text(&layout.log)?
        ),
    })
}

fn memory_xml(max_memory: Option<u64>) -> String {
    match max_memory {
        Some(bytes) => format!("<max_server_memory_usage>{bytes}</max_server_memory_usage>"),
        None => "<max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>".to_owned(),
    }
}

/// The user `default`, as whom the embedded library logs in to itself: it must exist, without a password
/// and with the right to these statements. That session lasts as long as the server, and there may be
/// only one, so nobody else can log in as `default`.
const DEFAULT_USER: &str = "<default>
            <password></password>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>engine</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SYSTEM LISTEN ON *.*</query>
                <query>GRANT SYSTEM FLUSH LOGS ON *.*</query>
            </grants>
        </default>";

/// The users.
pub(crate) fn users_xml(password_sha256_hex: &str, engine: &Engine) -> String {
    let default_user = match engine {
        Engine::Library(_) => DEFAULT_USER,
        Engine::Binary(_) => "",
    };
    format!(
        r#"<clickhouse>
    <!-- Written at each start; changes are lost. -->
    <profiles>
        <default/>
        <engine><max_sessions_for_user>1</max_sessions_for_user></engine>
    </profiles>
    <quotas><default/></quotas>
    <users>
        {default_user}
        <{USER}>
            <password_sha256_hex>{password_sha256_hex}</password_sha256_hex>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <access_management>1</access_management>
            <named_collection_control>1</named_collection_control>
        </{USER}>
    </users>
</clickhouse>
"#
    )
}

/// A directory as ClickHouse wants it: with a slash at its end.
fn directory(path: &Path) -> Result<String, ServerError> {
    Ok(format!("{}/", text(path)?.trim_end_matches('/')))
}

/// A path as XML text.
fn text(path: &Path) -> Result<String, ServerError> {
    let odd = || ServerError::OddPath { path: PathBuf::from(path) };
    let plain = std::str::from_utf8(path.as_os_str().as_bytes()).map_err(|_| odd())?;
    if plain.chars().any(char::is_control) {
        return Err(odd());
    }
    Ok(plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_and_end_in_one_slash() {
        assert_eq!(directory(Path::new("/a&b/<c>//")).unwrap(), "/a&amp;b/&lt;c&gt;/");
        assert!(matches!(directory(Path::new("/a\nb")), Err(ServerError::OddPath { .. })));
    }

    #[test]
    fn memory_is_capped_with_and_without_a_number() {
        assert!(memory_xml(Some(5)).contains(">5<"));
        assert!(memory_xml(None).contains("ratio>0.5<"));
    }
}
