//! `qoe simulate` as a process, and what it says it sent.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{Process, qoe_binary};

/// What the simulator printed: what was sent, apart from what it lost on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Records.
    pub records: u64,
    /// Sum of octets.
    pub octets: u64,
    /// Sum of packets.
    pub packets: u64,
    /// Sum of session ids, modulo 2^64.
    pub session_sum: u64,
    /// Start of the earliest, milliseconds since 1970.
    pub first_start_ms: u64,
    /// Start of the latest.
    pub last_start_ms: u64,
    /// Messages that held them.
    pub messages: u64,
    /// How often it connected again.
    pub reconnects: u64,
    /// Records that were numbered and not sent, on purpose.
    pub lost_records: u64,
    /// Session id of its first record; the others count up.
    pub first_session_id: u64,
}

/// A running simulator.
pub struct Simulator(Process);

impl Simulator {
    /// Starts `qoe simulate ARGUMENTS`.
    pub fn start(arguments: &[&str]) -> Simulator {
        let mut command = Command::new(qoe_binary());
        command.arg("simulate").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        Simulator(Process::start(&mut command))
    }

    /// Whether it still sends.
    pub fn is_running(&mut self) -> bool {
        self.0.is_running()
    }

    /// Waits for its end and returns what it sent.
    pub fn finish(mut self, deadline: Duration) -> Sent {
        let status = self.0.wait(deadline);
        let mut text = String::new();
        self.0.child().stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(status.success(), "the simulator failed: {text}");
        let summary: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        let figure = |name: &str| summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {text}"));
        Sent {
            records: figure("records"),
            octets: figure("octets"),
            packets: figure("packets"),
            session_sum: figure("session_sum"),
            first_start_ms: figure("first_start_ms"),
            last_start_ms: figure("last_start_ms"),
            messages: figure("messages"),
            reconnects: figure("reconnects"),
            lost_records: figure("lost_records"),
            first_session_id: figure("first_session_id"),
        }
    }
}
