//! What the running server grants, keeps, logs and moves. Against the real engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, missing_docs)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;

use common::{SERVER, STOP, eventually, start};
use embedded::testing::TestServer;
use embedded::{QueryError, Stopped};

#[test]
fn clickhouse_server() {
    embedded::testing::serve_if_asked();
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn refused(answer: Result<String, QueryError>) -> String {
    match answer {
        Err(QueryError::Refused { text, .. }) => text,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn only_the_password_opens_the_door() {
    let server = start();
    let connection = server.connection();
    assert_eq!(mode(&connection.password_file), 0o600);
    let root = connection.password_file.parent().unwrap();
    assert_eq!(mode(&root.join("users.xml")), 0o600);
    assert_eq!(mode(root), 0o700);
    let password = connection.password().unwrap();
    assert_eq!(password.len(), 64);
    assert!(!fs::read_to_string(root.join("users.xml")).unwrap().contains(&password));

    assert_eq!(connection.query("SELECT currentUser()").unwrap(), "qoe\n");
    for (user, password) in [("qoe", "wrong"), ("qoe", ""), ("nobody", "")] {
        let text = refused(connection.query_as(user, password, "SELECT 1"));
        assert!(text.contains("AUTHENTICATION_FAILED"), "{user}: {text}");
    }
    // The engine itself is `default` and keeps everybody else out.
    let text = refused(connection.query_as("default", "", "SELECT 1"));
    assert!(text.contains("USER_SESSION_LIMIT_EXCEEDED"), "{text}");
}

#[test]
fn broken_connections_and_wrong_logins_do_not_stop_the_server() {
    let mut server = start();
    let connection = server.connection().clone();
    let native = |user: &str| {
        let (port, password) = (connection.tcp_port, "wrong");
        connection
            .query(&format!("SELECT * FROM remote('127.0.0.1:{port}', system.one, '{user}', '{password}')"))
    };
    for _ in 0..3 {
        refused(native("qoe"));
        refused(native("default"));
        for port in [connection.http_port, connection.tcp_port] {
            for garbage in
                ["x", "GET /", "\0\0\0\0\n\n", "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nSELECT"]
            {
                let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                stream.write_all(garbage.as_bytes()).unwrap();
            }
        }
        abandon_an_answer(&server);
    }
    assert_eq!(server.query("SELECT 1").unwrap(), "1\n");
    assert_eq!(server.stop(STOP).unwrap(), Stopped::Orderly);
}

/// Asks for a long answer, reads its beginning, and resets the connection.
fn abandon_an_answer(server: &TestServer) {
    let connection = server.connection();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, connection.http_port)).unwrap();
    let sql = "SELECT number FROM numbers(100000000)";
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: qoe\r\nX-ClickHouse-Key: {}\r\nContent-Length: {}\r\n\r\n{sql}",
        connection.password().unwrap(),
        sql.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut beginning = [0; 16];
    stream.read_exact(&mut beginning).unwrap();
    assert_eq!(&beginning[..12], b"HTTP/1.1 200");
}

#[test]
fn the_password_stays_over_a_restart() {
    let mut server = start();
    let before = server.connection().password().unwrap();
    server.kill().unwrap();
    embedded::prepare(&server.prepared.settings).unwrap();
    server.restart().unwrap();
    assert_eq!(server.connection().password().unwrap(), before);
}

#[test]
fn listens_on_loopback_only_and_on_two_ports() {
    let server = start();
    let mut ports: Vec<u16> = listening(server.pid());
    ports.sort_unstable();
    let connection = server.connection();
    let mut expected = [connection.http_port, connection.tcp_port];
    expected.sort_unstable();
    assert_eq!(ports, expected);
}

/// The ports a process listens on; fails if one is not on 127.0.0.1.
fn listening(pid: u32) -> Vec<u16> {
    let mut inodes = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        if let Ok(target) = fs::read_link(entry.unwrap().path()) {
            inodes.push(target.to_string_lossy().into_owned());
        }
    }
    let mut ports = Vec::new();
    for table in ["tcp", "tcp6"] {
        for line in fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap().lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let ours = inodes.contains(&format!("socket:[{}]", fields[9]));
            if !ours || fields[3] != "0A" {
                continue;
            }
            let (address, port) = fields[1].split_once(':').unwrap();
            assert_eq!(address, "0100007F", "listens on more than 127.0.0.1");
            ports.push(u16::from_str_radix(port, 16).unwrap());
        }
    }
    ports
}

#[test]
fn the_user_may_do_everything() {
    let server = start();
    for sql in [
        "CREATE DATABASE qoestor",
        "CREATE TABLE qoestor.t (k UInt64, v String) ENGINE = MergeTree ORDER BY k",
        "INSERT INTO qoestor.t VALUES (1, 'one')",
        "CREATE DICTIONARY qoestor.d (k UInt64, v String) PRIMARY KEY k \
         SOURCE(CLICKHOUSE(QUERY 'SELECT 1 AS k, \\'one\\' AS v')) LAYOUT(HASHED()) LIFETIME(0)",
        "SYSTEM RELOAD DICTIONARY qoestor.d",
        "SYSTEM FLUSH LOGS",
        "SYSTEM STOP MERGES qoestor.t",
        "SYSTEM START MERGES qoestor.t",
        "KILL QUERY WHERE query_id = 'none'",
        "ALTER TABLE qoestor.t ADD COLUMN w UInt8",
        "OPTIMIZE TABLE qoestor.t FINAL",
        "DROP DATABASE qoestor SYNC",
    ] {
        if let Err(error) = server.query(sql) {
            panic!("{sql}: {error}");
        }
    }
}

#[test]
fn reads_dictionaries_from_user_files() {
    let server = start();
    let file = server.prepared.user_files.join("names.tsv");
    fs::write(&file, "1\tone\n2\ttwo\n").unwrap();
    server
        .query(&format!(
            "CREATE DICTIONARY default.names (k UInt64, v String) PRIMARY KEY k \
             SOURCE(FILE(PATH '{}' FORMAT 'TabSeparated')) LAYOUT(HASHED()) LIFETIME(0)",
            file.display()
        ))
        .unwrap();
    assert_eq!(server.query("SELECT dictGet('default.names', 'v', toUInt64(2))").unwrap(), "two\n");
}

#[test]
fn query_log_shows_settings_and_the_other_logs_are_off() {
    let server = start();
    server.query("SELECT 'needle' SETTINGS async_insert = 0, max_threads = 1").unwrap();
    // It is flushed by itself.
    let sql = "SELECT Settings['async_insert'], Settings['max_threads'] FROM system.query_log \
               WHERE type = 'QueryFinish' AND query LIKE 'SELECT \\'needle\\'%'";
    assert!(eventually(|| server.query(sql).is_ok_and(|answer| answer == "0\t1\n")));
    let logs =
        server.query("SELECT name FROM system.tables WHERE database = 'system' AND name LIKE '%\\_log%'");
    assert_eq!(logs.unwrap(), "query_log\n");
    let ddl = server.query("SHOW CREATE TABLE system.query_log FORMAT TSVRaw").unwrap();
    assert!(ddl.contains("TTL event_date + toIntervalDay(3)"), "{ddl}");
}

#[test]
fn inserts_are_on_disk_when_they_are_acknowledged() {
    let server = start();
    let settings = "SELECT name, value FROM system.merge_tree_settings WHERE name IN \
        ('fsync_after_insert', 'fsync_part_directory', 'min_rows_to_fsync_after_merge', \
        'min_compressed_bytes_to_fsync_after_merge') ORDER BY name";
    assert_eq!(
        server.query(settings).unwrap(),
        "fsync_after_insert\t1\nfsync_part_directory\t1\n\
         min_compressed_bytes_to_fsync_after_merge\t1\nmin_rows_to_fsync_after_merge\t1\n"
    );
}

fn table(server: &TestServer) {
    server
        .query(
            "CREATE TABLE default.t (n UInt64) ENGINE = MergeTree PARTITION BY n % 2 ORDER BY n \
             SETTINGS storage_policy = 'tiered', non_replicated_deduplication_window = 100",
        )
        .unwrap();
}

#[test]
fn a_repeated_token_is_skipped_also_after_a_kill() {
    let mut server = start();
    table(&server);
    let insert = |server: &TestServer, token: &str| {
        let sql = format!(
            "INSERT INTO default.t SETTINGS insert_deduplication_token = '{token}', async_insert = 0 \
             SELECT number FROM numbers(10)"
        );
        server.query(&sql).unwrap();
        server.query("SELECT count() FROM default.t").unwrap()
    };
    assert_eq!(insert(&server, "a"), "10\n");
    assert_eq!(insert(&server, "a"), "10\n");
    assert_eq!(insert(&server, "b"), "20\n");
    server.kill().unwrap();
    server.restart().unwrap();
    assert_eq!(insert(&server, "b"), "20\n");
    assert_eq!(insert(&server, "c"), "30\n");
}

#[test]
fn partitions_move_to_the_cold_volume() {
    let server = start();
    table(&server);
    server.query("INSERT INTO default.t SELECT number FROM numbers(10)").unwrap();
    server.query("ALTER TABLE default.t MOVE PARTITION 1 TO VOLUME 'cold'").unwrap();
    let disks = "SELECT partition, disk_name FROM system.parts \
                 WHERE table = 't' AND active ORDER BY partition";
    assert_eq!(server.query(disks).unwrap(), "0\tdefault\n1\tcold\n");
    assert_eq!(server.query("SELECT sum(n) FROM default.t").unwrap(), "45\n");
}

#[test]
fn memory_is_bounded() {
    let server = TestServer::start_with(&SERVER, |settings| settings.max_memory = Some(300_000_000)).unwrap();
    let text = refused(server.query("SELECT length(groupArray(number)) FROM numbers(100000000)"));
    assert!(text.contains("MEMORY_LIMIT_EXCEEDED") && text.contains("maximum: 286.10 MiB"), "{text}");
    assert_eq!(server.query("SELECT 1").unwrap(), "1\n");
}
