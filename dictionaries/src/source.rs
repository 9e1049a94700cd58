//! Where a dictionary's text comes from, if it is not in an object itself: a web server (`http`) or a file
//! (`file`). Both bring all of it or an error, never a part, and neither knows what the text means.

pub mod file;
pub mod http;

/// The largest text that is taken, in bytes: 10 million subscribers of 100 bytes each.
pub const MAX_CONTENT: u64 = 1 << 30;
