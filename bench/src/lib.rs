//! What `make bench` is made of: a pool of messages, a sender that replays it, collectors that stop after each
//! step of the receiver's path, and who runs them beside other programs and compares.
//!
//! Everything is checked: sums over all fields of what was sent against what a collector has, so that nothing is
//! fast by leaving something out.
//!
//! - [`pool`]: files of whole messages; `fixed` and `vendor` make them;
//! - [`send`]: replays a pool and says what it sent;
//! - [`collect`]: the tiers that are one process, T0 to T3;
//! - [`decoding`]: messages into columns by the crate that the receiver uses; [`sums`]: what is compared;
//! - [`database`], [`fresh`]: ClickHouse asked as a user asks it;
//! - [`run`]: all tiers and the peers, a table and a file of JSON.
#![allow(clippy::print_stdout)]

pub mod collect;
pub mod database;
pub mod decoding;
pub mod fresh;
pub mod pool;
pub mod run;
pub mod send;
pub mod sums;
pub mod usage;
