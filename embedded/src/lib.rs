//! Starts and stops a real ClickHouse for one machine and for tests.
//!
//! The engine is a `clickhouse` binary if one is given, else libchdb, which is loaded into a process
//! of its own (never into the receiver). Everything below `DATA/clickhouse` belongs to this crate.
//!
//! The parent calls [`prepare`], starts the child with [`Child::spawn`] and waits with
//! [`Child::wait_ready`]; the child process calls [`run_here`].
//!
//! This crate must never listen on anything but loopback, unless a configuration that is [`Given`] says
//! so, and never put a password into arguments.

mod child;
mod config;
mod connection;
mod engine;
mod error;
mod given;
mod library;
mod log;
mod prepare;
mod run;
mod settings;
pub mod testing;
mod watcher;

pub use child::{Child, ChildError, Stopped};
pub use connection::{Connection, QueryError};
pub use engine::{Engine, LIBRARY_VERSION, locate};
pub use error::{EXIT_FAILED, EXIT_PORT_TAKEN, EXIT_SETUP, LocateError, ServerError};
pub use given::Given;
pub use prepare::{Prepared, prepare};
pub use run::run_here;
pub use settings::{DATABASE, Settings, USER};
