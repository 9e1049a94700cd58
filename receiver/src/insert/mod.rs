//! Ranges of journal frames into one table, exactly once: cut a range, note the intent, decode and
//! send it as one insert, note it as done. Must never send a range before its intent is noted, never
//! change a range that was noted, and never begin a new range while an older one struggles.
//!
//! One worker at a time holds the [`Baton`], which is the place in the journal and the decoder there;
//! it decodes and sends a range, passes the baton on and then waits for the acknowledgement.

mod book;
mod failure;
mod halve;
mod pipeline;
mod range;
mod send;
mod settle;
mod target;

pub use book::{After, Book, Committed};
pub use failure::Failure;
pub use halve::{SetAside, read_set_aside};
pub use pipeline::{Pipeline, PipelineOptions, now_us};
pub use target::{PINNED, Target};

use crate::intent_log::Range;

/// Rows of a `Native` block. Memory stays small; the server squashes the blocks of one insert.
pub const ROWS_PER_BLOCK: usize = 16_384;
/// Rows that a range is cut for: the strongest lever on the server's cost.
pub const ROWS_PER_RANGE: u64 = 1_000_000;
