//! Shared by the test files; each of them has a test `clickhouse_server` that becomes the server.
#![allow(dead_code)]

use std::thread;
use std::time::Duration;

use embedded::testing::{Launch, TestServer};

pub const SERVER: Launch = Launch::ThisTest("clickhouse_server");
pub const READY: Duration = Duration::from_secs(300);
pub const STOP: Duration = Duration::from_secs(120);

pub fn start() -> TestServer {
    TestServer::start(&SERVER).unwrap()
}

/// Looks again and again until the condition holds; false when it does not within five minutes.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..3_000 {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(100));
    }
    false
}
