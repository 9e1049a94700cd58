//! Dictionaries, from their sources to checked rows: what its lines say
//! and which of them are wrong (`parse`), whether several objects may be one dictionary (`merge`), and how a version of
//! it becomes the current one in ClickHouse (`load`). A wrong
//! line must never be more than a line: it is named and left out, and no content makes this crate panic.

pub mod declare;
mod gather;
mod load;
mod loader;
pub mod merge;
mod origin;
pub mod parse;
mod server;
pub mod source;

pub use gather::Gatherer;
pub use load::LoadError;
pub use loader::{Content, Loader, LoaderError, Object, Report, State, Unreachable};
pub use origin::{LookedUp, Origin, Values};
pub use server::ServerError;
