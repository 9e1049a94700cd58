//! Natflow: one row for each address translation that begins or ends. The exporter's template is published
//! completely.

use std::sync::LazyLock;

use super::{NONE, TIME_MS, ZSTD, column, enriched, from, fullflow, iana, made_from, vendor, with_origin};
use crate::stream::ColumnType::{
    Date, DateTime, DateTimeMillis, IPv4, LowCardinalityText, UInt8, UInt16, UInt64,
};
use crate::stream::Filled::Computed;
use crate::stream::{ColumnDecl, Enriched, Filled, Stream};
use crate::table::DataIndex;

static NATFLOW: LazyLock<Stream> = LazyLock::new(|| Stream {
    name: "natflow",
    comment: "one row for each address translation that a DPI reports as begun or ended",
    columns: columns(),
    identifying: &["nat_event", "post_nat_source_ipv4", "post_nat_source_port"],
    partition_by: "toDate(received_at)",
    // The commonest question comes with a public address and a port: who was that?
    order_by: &["post_nat_source_ipv4", "post_nat_source_port", "event_millisecond"],
    ttl_from: "toDateTime(received_at)",
    // Who had this login's addresses: measured in docs/natflow-lookups.md.
    indices: vec![DataIndex {
        name: "login_bloom",
        expression: "login",
        index_type: "bloom_filter",
        granularity: 1,
    }],
    skipped: Vec::new(),
});

/// The natflow stream.
pub fn natflow() -> &'static Stream {
    &NATFLOW
}

#[rustfmt::skip]
fn columns() -> Vec<ColumnDecl> {
    let record = with_origin([
        column("event_millisecond", DateTimeMillis, from([iana(323)]), TIME_MS, "UTC", "when it happened, by the exporter's clock"),
        column("event_time", DateTime, Computed("toDateTime(event_millisecond)"), NONE, "UTC", "when it happened, whole seconds"),
        column("event_date", Date, Computed("toDate(event_millisecond)"), NONE, "UTC", "day on which it happened"),
        column("nat_event", UInt8, from([iana(230)]), ZSTD, "", "as exported: 1 and 4 create, 2 and 5 delete (the vendor's numbers and those of RFC 8158)"),
        column("event", LowCardinalityText, Computed("multiIf(nat_event IN (1, 4), 'create', nat_event IN (2, 5), 'delete', 'other')"), NONE, "", "create, delete or other"),
        column("protocol_identifier", UInt8, from([iana(4)]), ZSTD, "", "IP protocol number: 6 TCP, 17 UDP"),
        column("source_ipv4", IPv4, from([iana(8)]), ZSTD, "", "the subscriber's address"),
        column("source_port", UInt16, from([iana(7)]), ZSTD, "", "the subscriber's port"),
        column("post_nat_source_ipv4", IPv4, from([iana(225)]), ZSTD, "", "the public address"),
        column("post_nat_source_port", UInt16, from([iana(227)]), ZSTD, "", "the public port"),
        column("destination_ipv4", IPv4, from([iana(12)]), ZSTD, "", "destination address"),
        column("destination_port", UInt16, from([iana(11)]), ZSTD, "", "destination port"),
        column("session_id", UInt64, from([vendor(2000)]), ZSTD, "", "the DPI's number of the session"),
        column("login", LowCardinalityText, from([vendor(2003)]), ZSTD, "", "the subscriber"),
    ]);
    enriched(record, [made_from()])
}

static FROM_FULLFLOW: LazyLock<Stream> = LazyLock::new(|| {
    let mut stream = natflow().clone();
    stream.name = fullflow().name;
    stream.identifying = &["event_millisecond", "source_ipv4", "source_port", "protocol_identifier"];
    for column in &mut stream.columns {
        match column.name {
            "event_millisecond" => column.filled = filled_as("flow_start_millisecond"),
            "nat_event" => column.filled = Filled::Enriched(Enriched::NatEvent),
            _ => {}
        }
    }
    stream
});

/// Rows of natflow made of fullflow records: the same columns, filled by a fullflow record's fields. Only
/// records that carry an address after translation make one.
pub fn nat_from_fullflow() -> &'static Stream {
    &FROM_FULLFLOW
}

/// What fills a column of fullflow.
fn filled_as(name: &str) -> Filled {
    let column = fullflow().columns.iter().find(|column| column.name == name);
    column.map_or(Filled::Unpublished, |column| column.filled.clone())
}
