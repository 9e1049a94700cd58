//! What anybody may send: it costs nobody else a record, no more memory than the bounds allow, and is
//! counted under its name. Good exporters send to the same ports all the while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod beside;
mod counted;
mod floods;
mod messages;
mod refused;
mod sets;
