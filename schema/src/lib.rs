//! The tables of Qoeplane, declared once. A [`Stream`] says which columns a table has and which elements fill
//! them; from it come the decoder's wishes ([`Stream::wanted`]), the blocks that are sent
//! ([`native::Encoder`]), the DDL ([`Stream::create_table_sql`]), the desired state of a database
//! ([`Desired`], compared by [`plan()`] with what [`observe()`] finds and made true by [`execute()`]) and the
//! reference pages ([`mod@reference`]).
//!
//! This crate must never change what it does not own, delete what it finds, or write a column list twice.

pub mod aggregate;
pub mod aggregates;
mod clauses;
mod connect;
mod desired;
pub mod dictionaries;
mod dictionary;
mod distributed;
mod elements;
pub mod execute;
mod function;
mod hash;
mod ledger;
mod membership;
pub mod native;
pub mod observe;
pub mod owner;
pub mod plan;
pub mod reference;
mod retention;
pub mod sql;
mod steps_table;
mod stream;
mod streams;
mod table;
mod versions;

pub use aggregate::{AggregateOptions, AggregateTable, Family};
pub use clauses::Clauses;
pub use connect::{ConnectError, connect};
pub use desired::{Cluster, Desired};
pub use dictionary::{
    DICTIONARY_VERSIONS, Dictionary, DictionaryLogin, FieldDecl, FieldType, Layout, dictionary_versions,
};
pub use distributed::{is_local_name, local_name};
pub use elements::{CustomElement, ElementError};
pub use execute::{ExecuteError, Execution, execute};
pub use function::{Function, RTT_QUANTILE};
pub use hash::hash_of;
pub use ledger::{LEDGER, LEDGER_KEEP_FOR, LedgerRow, ledger};
pub use observe::{Observed, observe};
pub use owner::OWNER_MARK;
pub use plan::{Action, Plan, PlanError, Risk, Step, drop_plan, plan};
pub use steps_table::{SCHEMA_STEPS, schema_steps};
pub use stream::{
    ColumnDecl, ColumnType, DPI_ID, Enriched, Filled, FilledBy, JOURNAL_ID, RECEIVED_AT, Stream,
};
pub use streams::{all as streams, clickstream, dnsflow, fullflow, gtpflow, nat_from_fullflow, natflow};
pub use table::{DataIndex, Table, TableColumn, TableOptions};
pub use versions::{DictionaryVersion, current_versions};
