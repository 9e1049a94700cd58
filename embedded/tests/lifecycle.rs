//! Starting, stopping, crashing, and everything that can stand in the way. Against the real engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, missing_docs)]

mod common;

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{READY, SERVER, STOP, eventually, start};
use embedded::testing::{TestDir, TestServer};
use embedded::{Connection, ServerError, Settings, Stopped, prepare};

#[test]
fn clickhouse_server() {
    embedded::testing::serve_if_asked();
}

#[test]
fn starts_answers_and_stops_in_order() {
    let mut server = start();
    assert!(server.version.starts_with("26."), "{}", server.version);
    assert_eq!(server.query("SELECT 6 * 7").unwrap(), "42\n");
    assert_eq!(server.stop(STOP).unwrap(), Stopped::Orderly);
    assert!(server.query("SELECT 1").is_err());
}

#[test]
fn a_stop_while_it_starts_is_orderly_too() {
    let dir = TestDir::new().unwrap();
    let prepared = prepare(&Settings::new(dir.path())).unwrap();
    for pause in [0, 20, 60, 120] {
        let mut child = SERVER.spawn(&prepared).unwrap();
        thread::sleep(Duration::from_millis(pause));
        assert_eq!(child.stop(STOP).unwrap(), Stopped::Orderly, "after {pause} ms");
    }
}

#[test]
fn a_restarted_server_keeps_its_ports() {
    let dir = TestDir::new().unwrap();
    let first = prepare(&Settings::new(dir.path())).unwrap();
    let again = prepare(&Settings::new(dir.path())).unwrap();
    assert_eq!(first.connection, again.connection);
    assert_ne!(first.connection.http_port, first.connection.tcp_port);
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first.connection.http_port)).unwrap();
    let other = prepare(&Settings::new(dir.path())).unwrap();
    assert_ne!(other.connection.http_port, first.connection.http_port);
    assert_eq!(other.connection.tcp_port, first.connection.tcp_port);
}

fn with_rows(server: &TestServer) {
    server.query("CREATE DATABASE qoestor").unwrap();
    server
        .query(
            "CREATE TABLE qoestor.t (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS storage_policy = 'tiered'",
        )
        .unwrap();
    server.query("INSERT INTO qoestor.t SELECT number FROM numbers(1000)").unwrap();
    server.query("INSERT INTO qoestor.t SELECT 1000 + number FROM numbers(1000)").unwrap();
}

#[test]
fn acknowledged_rows_survive_a_kill_and_a_stop() {
    let mut server = start();
    with_rows(&server);
    server.kill().unwrap();
    server.restart().unwrap();
    assert_eq!(server.query("SELECT count(), sum(n) FROM qoestor.t").unwrap(), "2000\t1999000\n");
    assert_eq!(server.stop(STOP).unwrap(), Stopped::Orderly);
    server.restart().unwrap();
    assert_eq!(server.query("SELECT count(), sum(n) FROM qoestor.t").unwrap(), "2000\t1999000\n");
    assert!(server.query("SELECT count() FROM system.query_log").is_ok());
}

#[test]
fn a_taken_port_is_said_with_its_number() {
    let dir = TestDir::new().unwrap();
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let prepared = prepare(&Settings { tcp_port: port, ..Settings::new(dir.path()) }).unwrap();
    let mut child = SERVER.spawn(&prepared).unwrap();
    let error = child.wait_ready(READY).unwrap_err();
    assert!(error.is_port_taken());
    assert_eq!(error.to_string(), ServerError::PortTaken { port }.to_string());
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let server = start();
    let error = prepare(&server.prepared.settings).unwrap_err();
    assert!(matches!(error, ServerError::Locked { .. }), "{error}");

    let mut second = SERVER.spawn(&server.prepared).unwrap();
    let mut text = String::new();
    // Not `wait_ready`: the first one answers on the port.
    assert!(eventually(|| {
        text = second.ended().unwrap().map_or_else(String::new, |error| error.to_string());
        !text.is_empty()
    }));
    assert!(text.contains("is locked: another ClickHouse runs there"), "{text}");
    assert_eq!(server.query("SELECT 1").unwrap(), "1\n");
}

#[test]
fn an_unwritable_data_directory_is_said() {
    let dir = TestDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = prepare(&Settings::new(&file)).unwrap_err();
    assert!(matches!(error, ServerError::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("must be writable"), "{error}");
}

fn start_with_engine(engine: &Path) -> String {
    let dir = TestDir::new().unwrap();
    let settings = Settings { engine: Some(engine.to_owned()), ..Settings::new(dir.path()) };
    let prepared = prepare(&settings).unwrap();
    SERVER.spawn(&prepared).unwrap().wait_ready(READY).unwrap_err().to_string()
}

#[test]
fn a_library_that_is_no_library_is_said() {
    let dir = TestDir::new().unwrap();
    let path = dir.path().join("libchdb.so");
    fs::write(&path, "not a library").unwrap();
    let text = start_with_engine(&path);
    assert!(text.contains("cannot load") && text.contains("fetch it again"), "{text}");
}

#[test]
fn another_library_is_said() {
    let dir = TestDir::new().unwrap();
    let path = dir.path().join("libother.so");
    fs::copy(some_library(), &path).unwrap();
    let text = start_with_engine(&path);
    assert!(text.contains("no symbol query_stable_v2"), "{text}");
}

/// A library that every process has: the C library.
fn some_library() -> String {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.contains("libc.so")).unwrap();
    line.split_ascii_whitespace().last().unwrap().to_owned()
}

#[test]
fn an_engine_that_fails_by_itself_shows_its_log() {
    let dir = TestDir::new().unwrap();
    let prepared = prepare(&Settings::new(dir.path())).unwrap();
    // ClickHouse reads this at its start and cannot make sense of it.
    fs::write(dir.path().join("clickhouse/data/metadata/system.sql"), "nonsense").unwrap();
    let error = SERVER.spawn(&prepared).unwrap().wait_ready(READY).unwrap_err();
    assert!(error.worth_a_restart());
    let text = error.to_string();
    assert!(text.contains("server.log") && text.contains("nonsense"), "{text}");
}

#[test]
fn a_binary_is_executed_with_the_configuration() {
    let dir = TestDir::new().unwrap();
    let path = dir.path().join("clickhouse");
    // Not a stand-in for ClickHouse: it only shows how the program is called.
    fs::write(&path, "#!/bin/sh\necho \"called with $*\" >&2\nexit 3\n").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let text = start_with_engine(&path);
    assert!(text.contains("called with server --config-file"), "{text}");
}

/// The process in between, in [`dies_when_its_parent_is_killed`].
#[test]
fn parent_in_between() {
    let Some(dir) = std::env::var_os("QOE_TEST_PARENT_DIR") else { return };
    let prepared = prepare(&Settings::new(dir)).unwrap();
    let mut child = SERVER.spawn(&prepared).unwrap();
    child.wait_ready(READY).unwrap();
    loop {
        thread::park();
    }
}

#[test]
fn dies_when_its_parent_is_killed() {
    let dir = TestDir::new().unwrap();
    let arguments = ["parent_in_between", "--exact", "--nocapture"].map(OsString::from);
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(arguments)
        .env("QOE_TEST_PARENT_DIR", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let connection = dir.path().join("clickhouse/connection.json");
    let answers = || {
        let connection: Option<Connection> =
            fs::read(&connection).ok().and_then(|text| serde_json::from_slice(&text).ok());
        connection.is_some_and(|connection| connection.query("SELECT 1").is_ok())
    };
    assert!(eventually(answers));
    parent.kill().unwrap();
    parent.wait().unwrap();
    // Its lock is free again only when the process is gone.
    assert!(eventually(|| prepare(&Settings::new(dir.path())).is_ok()));
    assert!(!answers());
}

#[test]
fn outlives_the_thread_that_started_it() {
    let server = thread::spawn(start).join().unwrap();
    // A signal for the thread's end would have been sent before the join returned; the query is served
    // by the same process.
    assert_eq!(server.query("SELECT 1").unwrap(), "1\n");
}
