//! Gtpflow: one row for each exchange of GTP control messages. The vendor's page ends in the middle of the
//! list: further fields are declared in the collector's `elements`.

use std::sync::LazyLock;

use super::{NONE, ZSTD, column, from, vendor, with_origin};
use crate::stream::ColumnType::{Date, DateTime, IPv4, UInt8, UInt32, UInt64};
use crate::stream::Filled::Computed;
use crate::stream::{ColumnDecl, Stream};

static GTPFLOW: LazyLock<Stream> = LazyLock::new(|| Stream {
    name: "gtpflow",
    comment: "one row for each exchange of GTP control messages that a DPI reports",
    columns: columns(),
    identifying: &["gtp_version", "request_type", "response_type", "session_id", "sgw_control_teid"],
    partition_by: "toDate(received_at)",
    order_by: &["sgw_control_ipv4", "sgw_control_teid", "time"],
    ttl_from: "toDateTime(received_at)",
    indices: Vec::new(),
    skipped: Vec::new(),
});

/// The gtpflow stream.
pub fn gtpflow() -> &'static Stream {
    &GTPFLOW
}

#[rustfmt::skip]
fn columns() -> Vec<ColumnDecl> {
    with_origin([
        column("time", DateTime, from([vendor(1001)]), "Delta(4), ZSTD(1)", "UTC", "when it happened, by the exporter's clock"),
        column("date", Date, Computed("toDate(time)"), NONE, "UTC", "day on which it happened"),
        column("gtp_version", UInt8, from([vendor(3300)]), ZSTD, "", "GTP version"),
        column("request_type", UInt8, from([vendor(3301)]), ZSTD, "", "message type of the request"),
        column("response_type", UInt8, from([vendor(3302)]), ZSTD, "", "message type of the response"),
        column("cause", UInt8, from([vendor(3303)]), ZSTD, "", "cause of the response"),
        column("result", UInt8, from([vendor(3304)]), ZSTD, "", "1 ok"),
        column("session_id", UInt64, from([vendor(3305)]), ZSTD, "", "the DPI's number of the session"),
        column("sgw_control_ipv4", IPv4, from([vendor(3306)]), ZSTD, "", "serving gateway, control plane: address"),
        column("sgw_control_teid", UInt32, from([vendor(3307)]), ZSTD, "", "serving gateway, control plane: tunnel endpoint"),
        column("sgw_data_ipv4", IPv4, from([vendor(3308)]), ZSTD, "", "serving gateway, user plane: address"),
        column("sgw_data_teid", UInt32, from([vendor(3309)]), ZSTD, "", "serving gateway, user plane: tunnel endpoint"),
        column("pgw_control_ipv4", IPv4, from([vendor(3310)]), ZSTD, "", "packet gateway, control plane: address"),
    ])
}
