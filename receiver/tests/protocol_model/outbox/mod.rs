//! A second, smaller model: the protocol of aggregates. A reader gathers frames in memory, writes a flush (all inserts
//! and the position after them, one file) into its outbox, sends it, writes its standing, removes the flush. Nothing
//! is ever counted in the table: token and outbox are the only protection.
//!
//! What is modelled of the code, all below `receiver/src`:
//!
//! | step | code |
//! |---|---|
//! | `Gather` | `aggregate/reader.rs`: `gather` |
//! | `Flush` | `aggregate/reader.rs`: `flush`; `aggregate/outbox.rs`: `begin`, `complete` |
//! | `Send` | `aggregate/reader.rs`: `send`, `until_acknowledged` |
//! | `Stand`, `Remove` | `aggregate/outbox.rs`: `acknowledged` |
//! | `Release` | `aggregate/reader.rs`: `releasable`; `stream.rs`: `checkpoint` |
//! | `Start` | `aggregate/outbox.rs`: `open`; `aggregate/reader.rs`: `resume`; `stream.rs`: `prepare` |
//! | `BeginAgain` | `aggregate/reader.rs`: `begin_again` |
//!
//! A flush has two inserts, of a wide and of a narrow table; the real one has one for each table and week, and the
//! row of the ledger, sent in the same way. The position is the number of a frame.

mod borders;
mod broken;
mod check;
mod faults;
mod kept;
mod model;
mod properties;
mod reader;
mod rules;
mod walks;
mod world;
