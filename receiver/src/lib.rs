//! The receiver: IPFIX and NetFlow v9 from the network into ClickHouse tables, exactly once.
//!
//! One path for every record, one folder for each step:
//!
//! ```text
//! listen -> journal -> decode -> enrich -> insert
//! ```
//!
//! - [`listen`]: sockets; message and set boundaries; templates;
//! - [`journal`]: every message as it came, on disk; the frame format;
//! - [`sessions`]: transport sessions and their templates, followed by listener and decoder alike;
//! - [`decode`]: frames to columns; sequence balance; sets that wait for their template;
//! - [`enrich`]: what is made of decoded columns; [`dictionaries`]: what it is made by, followed in the database;
//! - [`intent_log`]: what is about to be inserted and what is settled;
//! - [`insert`]: ranges, tokens, retries, settlement;
//! - [`aggregate`]: another reader of a journal, which gathers records into groups; its outbox;
//! - [`ledger`], [`status`], [`metrics`], [`http`]: the three balances, for tables, people, machines;
//! - [`config`] and [`reload`]: the configuration, and what changes in it meanwhile; [`cpu`];
//! - [`stream`] and [`run`]: put together and run; [`inspect`]: journals from outside.
//!
//! What is promised is in `docs/guarantees.md`; the protocol's model is in `tests/protocol_model`.

pub mod aggregate;
pub mod config;
pub mod cpu;
pub mod decode;
pub mod dictionaries;
pub mod enrich;
pub mod http;
pub mod insert;
pub mod inspect;
pub mod intent_log;
pub mod journal;
pub mod ledger;
pub mod listen;
mod log_limit;
pub mod metrics;
pub mod reload;
pub mod run;
pub mod sessions;
pub mod status;
pub mod stream;

pub use run::{RunError, run};
