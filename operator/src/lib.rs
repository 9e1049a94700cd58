//! The Kubernetes operator: watches `QoeCollector` and `QoeDictionary` objects and makes what they say
//! true.
//!
//! It must never delete data that an object does not ask it to delete, and never restart a receiver
//! for a change that the receiver can load.

pub mod collector;
mod context;
mod controllers;
mod dictionaries;
mod dictionary;
mod events;
mod health;
mod lease;
mod metrics;
mod options;
mod run;

pub use options::Options;
pub use run::{RunError, run};

/// The image of ClickHouse servers for objects that name none: the version that this one was tested with.
pub const CLICKHOUSE_IMAGE: &str = "clickhouse/clickhouse-server:26.7";

/// The field manager of everything that is applied.
pub const FIELD_MANAGER: &str = "qoeplane";
