//! Whole-system tests: real processes, a real ClickHouse, real exporters. This library starts and
//! stops the system for them and asks it; the tests are in `tests/`. Nothing is mocked, except that a
//! relay may break connections.
//!
//! Failures panic with what happened: this crate is only ever used by tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod balance;
pub mod cluster;
mod database;
pub mod exporter;
mod http;
mod ports;
mod process;
mod relay;
mod sending;
mod simulator;
mod system;

pub use balance::{assert_balanced, assert_stored_exactly};
pub use ports::free_port;
pub use process::{Process, qoe_binary, resident_bytes, wait_for};
pub use relay::{Attempt, Fate, Relay};
pub use sending::Sending;
pub use simulator::{Sent, Simulator};
pub use system::{Stored, System, SystemOptions};
