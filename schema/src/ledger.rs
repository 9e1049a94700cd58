//! The ledger: a row a minute for each DPI and listener, in which all three balances of
//! `docs/guarantees.md` can be added up with SQL. All counters are what was added since the row before, so
//! that sums over any time are right also across restarts.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::owner::owned_comment;
use crate::table::{MERGE_TREE, Table, TableColumn, TableOptions, insert_settings, ttl_rules};

/// How long ledger rows are kept unless said otherwise: a year, in seconds.
pub const LEDGER_KEEP_FOR: u64 = 366 * 24 * 3600;

/// Name of the table.
pub const LEDGER: &str = "ledger";

/// Declares the row's Rust type and the table's columns as one list.
macro_rules! ledger_columns {
    ($($name:ident: $rust:ty => $sql:literal, $comment:literal;)*) => {
        /// One row of the ledger.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
        // A row that an earlier version noted lacks the newer columns.
        #[serde(default)]
        pub struct LedgerRow {
            $(#[doc = $comment] pub $name: $rust,)*
        }

        fn columns() -> Vec<TableColumn> {
            vec![$(TableColumn {
                name: stringify!($name).to_owned(),
                sql_type: $sql.to_owned(),
                alias: None,
                codec: "ZSTD(1)".to_owned(),
                comment: $comment.to_owned(),
            },)*]
        }
    };
}

ledger_columns! {
    time: u32 => "DateTime('UTC')", "end of the minute, by the receiver's clock";
    arrival_from: i64 => "DateTime64(6, 'UTC')", "arrival of the first frame counted here as decoded";
    arrival_to: i64 => "DateTime64(6, 'UTC')", "arrival of the last frame counted here as decoded";
    dpi_id: u16 => "UInt16", "the DPI, by its number in the configuration";
    stream: String => "LowCardinality(String)", "name of the listener";
    journal_id: u32 => "UInt32", "first 4 bytes of the journal's identity";
    messages_arrived: u64 => "UInt64", "messages that were read from the socket";
    messages_journaled: u64 => "UInt64", "messages that were appended to the journal";
    messages_refused: u64 => "UInt64", "messages that were not journaled; arrived = journaled + refused";
    refused: BTreeMap<String, u64> => "Map(LowCardinality(String), UInt64)", "messages refused, by reason";
    records_announced: u64 => "UInt64", "records by sequence numbers; announced = decoded + options + missing + undecodable";
    records_decoded: u64 => "UInt64", "records that became rows";
    records_options: u64 => "UInt64", "records of options templates, which are counted and not stored";
    records_missing: i64 => "Int64", "records in sequence gaps; negative when late ones came";
    records_undecodable: u64 => "UInt64", "records that could not be decoded";
    undecodable: BTreeMap<String, u64> => "Map(LowCardinality(String), UInt64)", "records undecodable, by reason";
    duplicates: u64 => "UInt64", "datagrams that had been received before and were not stored again";
    restarts: u64 => "UInt64", "jumps backwards of a sequence: restarts of the exporter";
    records_stored: u64 => "UInt64", "records that the destination acknowledged";
    records_waiting: i64 => "Int64", "change of the number of records on their way; decoded = stored + waiting + set aside + filtered + skipped";
    records_set_aside: u64 => "UInt64", "records that the destination refused for their content, kept in a file";
    records_filtered: u64 => "UInt64", "records that a rule dropped";
    records_skipped: u64 => "UInt64", "records that a slow reader had to skip";
    // New columns go to the end: the receiver makes a row's token from its text, and knows old rows by it.
    collector: String => "LowCardinality(String)", "the collector, with its namespace on Kubernetes; empty in rows of version 0.1";
    version: String => "LowCardinality(String)", "version of the receiver; empty in rows of version 0.1";
}

/// The ledger's table.
pub fn ledger(database: &str, keep_for: Option<u64>) -> Table {
    let options = TableOptions { keep_for, ..TableOptions::new(database, LEDGER) };
    Table {
        database: options.database.clone(),
        name: options.table.clone(),
        engine: MERGE_TREE,
        columns: columns(),
        indices: Vec::new(),
        partition_by: "toYYYYMM(time)".to_owned(),
        order_by: vec!["dpi_id".to_owned(), "stream".to_owned(), "time".to_owned()],
        ttl: ttl_rules("time", &options),
        settings: insert_settings(),
        comment: owned_comment("what was received, decoded and stored, a row a minute for each listener"),
        is_shared: true,
    }
}
