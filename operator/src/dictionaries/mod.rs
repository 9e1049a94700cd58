//! What `QoeDictionary` objects say, brought into the ClickHouse of each collector that uses them: found
//! (`objects`), loaded (`loader`, one collector at a time by `reconcile`), written down (`book`), told (`news`) and
//! judged (`judgement`). Must never empty a dictionary because an object of it cannot be read.

mod book;
mod forget;
pub mod judgement;
mod loader;
mod news;
mod objects;
pub mod reconcile;

pub use book::{Book, Entry, Page};
pub use forget::forget_what_is_gone;
pub use loader::Loaders;
pub use objects::is_for;
