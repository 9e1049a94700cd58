//! A model of the way from journal to table, checked exhaustively at small sizes and by seeded walks at
//! larger ones: journal -> intent -> insert -> acknowledgement -> done -> checkpoint -> segment deletion,
//! with every fault at every step. `docs/guarantees.md` says in words what is checked here; the code of
//! the receiver uses the same words.
//!
//! - `kept`: with every rule kept, nothing is lost, doubled or miscounted.
//! - `broken`: each rule, broken on purpose, gives a counterexample.
//! - `borders`: where the promise ends; lifting a border gives a counterexample.
//! - `walks`: thousands of seeded random walks through longer histories.
//! - `outbox`: a model of its own, of the way of aggregates.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

mod borders;
mod broken;
mod check;
mod faults;
mod kept;
mod model;
mod outbox;
mod properties;
mod receiver;
mod rules;
mod server;
mod walks;
mod world;
