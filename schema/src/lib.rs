//! The tables of Qoeplane, declared once. A [`Stream`] says which columns a table has and which elements fill
//! them; from it come the decoder's wishes ([`Stream::wanted`]), the blocks that are sent
//! ([`native::Encoder`]), the DDL ([`Stream::create_table_sql`]), the desired state of a database
//! ([`Desired`], compared by [`plan`] with what [`observe`] finds) and the reference pages ([`reference`]).
//!
//! This crate must never change what it does not own, delete what it finds, or write a column list twice.

pub mod native;
mod sql;
mod stream;
mod streams;
mod table;

pub use stream::{ColumnDecl, ColumnType, DPI_ID, Filled, FilledBy, JOURNAL_ID, RECEIVED_AT, Stream};
pub use streams::fullflow;
pub use table::{DataIndex, OWNER_MARK, Table, TableColumn, TableOptions};
