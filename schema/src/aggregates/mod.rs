//! The aggregates, one file for each stream. A file holds the lists of keys, measures and tables and nothing clever:
//! adding one is adding a line.

mod clickstream;
mod dnsflow;
mod fullflow;
mod gtpflow;
mod natflow;

pub use clickstream::clickstream_agg as clickstream;
pub use dnsflow::dnsflow_agg as dnsflow;
pub use fullflow::fullflow_agg as fullflow;
pub use gtpflow::gtpflow_agg as gtpflow;
pub use natflow::{nat_from_fullflow_agg as nat_from_fullflow, natflow_agg as natflow};

use crate::aggregate::{AggregateTable, Family, KeyDecl, KeyOf, MeasureDecl, MeasureOf, Way};
use crate::stream::ColumnType;

/// Every family, in the order of the documentation.
pub fn all() -> [&'static Family; 5] {
    [fullflow(), clickstream(), gtpflow(), natflow(), dnsflow()]
}

const fn key(
    name: &'static str,
    column_type: ColumnType,
    of: KeyOf,
    switch: &'static str,
    comment: &'static str,
) -> KeyDecl {
    KeyDecl { name, column_type, of, switch, comment }
}

const fn measure(
    name: &'static str,
    of: MeasureOf,
    way: Way,
    unit: &'static str,
    comment: &'static str,
) -> MeasureDecl {
    MeasureDecl { name, of, way, unit, comment }
}

/// The measure that every family has: so many records a row stands for.
const fn records() -> MeasureDecl {
    measure("records", MeasureOf::Count, Way::Both, "records", "records that the row stands for")
}

/// The table with every key.
fn wide(name: &'static str, comment: &'static str, keys: &[KeyDecl]) -> AggregateTable {
    AggregateTable { name, comment, keys: keys.iter().map(|key| key.name).collect(), minutes: None }
}

fn narrow<const N: usize>(
    name: &'static str,
    minutes: u32,
    keys: [&'static str; N],
    comment: &'static str,
) -> AggregateTable {
    AggregateTable { name, comment, keys: keys.to_vec(), minutes: Some(minutes) }
}
