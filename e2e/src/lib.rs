//! Whole-system tests: real processes, a real ClickHouse, real exporters. This library starts and
//! stops the system for them and asks it; the tests are in `tests/`. It must never mock anything.
//!
//! Failures panic with what happened: this crate is only ever used by tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ports;
mod process;
mod simulator;
mod system;

pub use ports::free_port;
pub use process::{Process, qoe_binary, wait_for};
pub use simulator::{Sent, Simulator};
pub use system::{Stored, System, SystemOptions};
