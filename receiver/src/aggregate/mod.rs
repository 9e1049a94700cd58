//! Aggregates: another reader of a journal, which gathers records into groups for a minute or more and writes the
//! groups into the family's tables. Must never send what is not in the outbox, and never gather on while a flush is not
//! acknowledged: the journal is the buffer.
//!
//! - `layout`: a family compiled against the decoder's columns;
//! - `gather`, `values`, `groups`, `texts`, `names`, `histograms`, `totals`, all on `table`: records become groups;
//!   `measured` asks these;
//! - `blocks`: groups become blocks, those of a table's partition one behind the other;
//! - `outbox`: the blocks on the disk, with the place in the journal behind them;
//! - `send`: a flush to the server that it is bound to;
//! - `reader`: the thread that does all of it; `options`: what it is given and what it tells.

mod blocks;
mod gather;
mod groups;
mod histograms;
mod layout;
mod measured;
mod names;
mod options;
mod outbox;
mod reader;
mod send;
mod table;
#[cfg(test)]
mod tests;
mod texts;
mod totals;
mod values;

pub use gather::{Filtered, Gatherer};
pub use layout::only_what_is_needed;
pub use options::{AggregatorOptions, AggregatorStatus, Opened};
pub use reader::{Aggregator, MAX_GROUPS, MAX_MEMORY};
