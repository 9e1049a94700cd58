//! Dictionaries, from their sources to checked rows: where the text comes from (`source`), what its lines say
//! and which of them are wrong (`parse`), and whether several objects may be one dictionary (`merge`). A wrong
//! line must never be more than a line: it is named and left out, and no content makes this crate panic.

pub mod declare;
pub mod merge;
pub mod parse;
pub mod source;
