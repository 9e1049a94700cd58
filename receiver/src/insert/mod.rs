//! Ranges of journal frames into one table, exactly once: cut a range, note the intent, decode and
//! send it as one insert, note it as done. Must never send a range before its intent is noted, never
//! change a range that was noted, and never begin a new range while an older one struggles.
//!
//! One worker at a time holds the [`Baton`], which is the place in the journal and the decoder there;
//! it decodes and sends a range, passes the baton on and then waits for the acknowledgement. With several
//! servers (shards) each range is bound to one of them by its intent, and a dead one holds back only what is
//! bound to it.

mod book;
mod buffers;
mod failure;
mod halve;
mod lanes;
mod pipeline;
mod range;
mod resume;
mod send;
mod settle;
mod shards;
mod target;
mod tend;

pub use book::{After, Book, Committed};
pub use failure::Failure;
pub use halve::{SetAside, read_set_aside};
pub use pipeline::{Pipeline, PipelineOptions, now_us};
pub use send::Workshop;
pub use shards::{Bound, Shards};
pub use target::{Access, PINNED, Target};

use crate::intent_log::Range;

/// A `Native` block ends at the frame border where this many journal bytes are behind it: about
/// 16,384 rows. Bytes and not rows, so that the number of blocks, which is a part of what the server
/// knows an insert by, stays the same when another version decodes other rows.
pub const BLOCK_BYTES: usize = 2 << 20;
/// Or where this many rows are gathered: the bound on memory for records of a few bytes.
pub const MAX_BLOCK_ROWS: usize = 1 << 17;
/// Rows that a range is cut for: the strongest lever on the server's cost.
pub const ROWS_PER_RANGE: u64 = 1_000_000;
