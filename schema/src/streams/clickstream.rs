//! Clickstream: one row for each HTTP request or name of an encrypted connection. A second template on the
//! same stream carries responses, joined by the session: whatever it holds, its records are rows too.

use std::sync::LazyLock;

use super::{NONE, ZSTD, column, enriched, from, host_category, iana, made_from, sides, vendor, with_origin};
use crate::stream::ColumnType::{
    Date, DateTime, IPv4, IPv6, LowCardinalityText, Text, UInt8, UInt16, UInt64,
};
use crate::stream::Filled::Computed;
use crate::stream::{ColumnDecl, Stream};

static CLICKSTREAM: LazyLock<Stream> = LazyLock::new(|| Stream {
    name: "clickstream",
    comment: "one row for each HTTP request or response, or name of an encrypted connection, that a DPI reports",
    columns: columns(),
    identifying: &["session_id", "host", "path", "source_ipv4", "source_ipv6"],
    partition_by: "toStartOfHour(received_at)",
    order_by: &["login", "source_ipv4", "host", "time"],
    ttl_from: "toDateTime(received_at)",
    indices: Vec::new(),
    skipped: Vec::new(),
});

/// The clickstream stream.
pub fn clickstream() -> &'static Stream {
    &CLICKSTREAM
}

// Hosts and logins repeat, the other texts hardly do: a dictionary would only make them larger.
#[rustfmt::skip]
fn columns() -> Vec<ColumnDecl> {
    let record = with_origin([
        column("time", DateTime, from([vendor(1001)]), "Delta(4), ZSTD(1)", "UTC", "when it was requested, by the exporter's clock"),
        column("date", Date, Computed("toDate(time)"), NONE, "UTC", "day of the request"),
        column("login", LowCardinalityText, from([vendor(1002)]), ZSTD, "", "the subscriber"),
        column("source_ipv4", IPv4, from([vendor(1003)]), ZSTD, "", "source address; 0.0.0.0 in an IPv6 record"),
        column("destination_ipv4", IPv4, from([vendor(1004)]), ZSTD, "", "destination address; 0.0.0.0 in an IPv6 record"),
        column("source_ipv6", IPv6, from([vendor(1003)]), ZSTD, "", "source address; :: in an IPv4 record"),
        column("destination_ipv6", IPv6, from([vendor(1004)]), ZSTD, "", "destination address; :: in an IPv4 record"),
        column("source_port", UInt16, from([vendor(1013)]), ZSTD, "", "source port"),
        column("destination_port", UInt16, from([vendor(1014)]), ZSTD, "", "destination port"),
        column("host", LowCardinalityText, from([vendor(1005)]), ZSTD, "", "host or name"),
        column("path", Text, from([vendor(1006)]), ZSTD, "", "path of the request"),
        column("referer", Text, from([vendor(1007)]), ZSTD, "", "where the request came from"),
        column("user_agent", Text, from([vendor(1008)]), ZSTD, "", "the program that asked"),
        column("cookie", Text, from([vendor(1009)]), ZSTD, "", "cookies of the request"),
        column("session_id", UInt64, from([vendor(2000)]), ZSTD, "", "the DPI's number of the session; joins responses to requests"),
        column("locked", UInt64, from([vendor(1010)]), ZSTD, "bits", "what the DPI did: 1 HTTPS blocked, 2 HTTP redirected, 4 HTTP blocked"),
        column("host_type", UInt8, from([vendor(1011)]), ZSTD, "", "where the host's name stood: 1 HTTP, 2 CNAME, 3 SNI, 4 QUIC"),
        column("method", UInt8, from([vendor(1012)]), ZSTD, "", "1 GET, 2 POST, 3 PUT, 4 DELETE"),
        column("bridge_vchannel_num", UInt16, from([vendor(2016)]), ZSTD, "", "bridge or virtual channel"),
        column("vlan_id", UInt16, from([iana(58)]), ZSTD, "", "VLAN"),
        column("post_vlan_id", UInt16, from([iana(59)]), ZSTD, "", "VLAN after the DPI"),
        column("source_mac", UInt64, from([iana(56)]), ZSTD, "", "source MAC address as a number: MACNumToString(source_mac)"),
        column("destination_mac", UInt64, from([iana(57), iana(80)]), ZSTD, "", "destination MAC address as a number: MACNumToString(destination_mac)"),
        column("mpls_labels", Text, from([vendor(2017)]), ZSTD, "", "MPLS label stack, raw octets"),
    ]);
    enriched(record, [sides(), vec![host_category()], made_from()])
}
