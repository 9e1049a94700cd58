//! Shared by the test files; each of them has a test `clickhouse_server` that becomes the server.
#![allow(dead_code)]

use std::thread;
use std::time::Duration;

use embedded::testing::{Launch, TestServer};

pub const SERVER: Launch = Launch::ThisTest("clickhouse_server");
pub const READY: Duration = Duration::from_secs(60);
pub const STOP: Duration = Duration::from_secs(10);

pub fn start() -> TestServer {
    TestServer::start(&SERVER).unwrap()
}

/// Looks again and again until the condition holds; false when it does not within a minute.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..600 {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(100));
    }
    false
}
