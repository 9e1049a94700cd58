//! The ClickHouse servers that the operator runs for one collector, one for each shard: built (pure), rolled one at a
//! time, applied. Tables, records and what a server holds are not their business.

mod cluster_xml;
mod labels;
pub mod make_true;
mod metadata;
pub mod passwords;
mod pod;
pub mod resources;
pub mod roll;
mod server_xml;
mod services;
mod stateful_set;
mod users_xml;
mod xml;

pub use labels::{NAME, SHARD_LABEL};
pub use resources::{Login, Servers, ServersResources, ShardResources, build};
