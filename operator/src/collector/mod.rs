//! One `QoeCollector`, in steps that each have a file: dereference (find what it names), validate, build
//! (pure), schema step, make true (roll, apply), status. Only the outer steps hold a client.

mod apply;
pub mod build;
pub mod clickhouse_step;
mod deletion;
pub mod dereference;
mod facts;
pub mod fits;
mod grow;
mod growth;
mod journal_volume;
mod leave;
pub mod losses;
mod make_true;
pub mod nodes;
mod parts;
pub mod receivers;
pub mod reconcile;
mod roll;
mod schema_step;
pub mod servers;
pub mod shards;
pub mod status;
pub mod storage;
pub mod validate;
pub mod validated;
pub mod version;
pub mod volumes;
pub mod write_status;
