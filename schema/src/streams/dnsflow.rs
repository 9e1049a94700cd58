//! Dnsflow: one row for each DNS answer. The vendor publishes the fields and not their ids: the columns that
//! have no element here are filled by the collector's `elements`.

use std::sync::LazyLock;

use super::{NONE, ZSTD, column, enriched, from, iana, made_from, vendor, with_origin};
use crate::stream::ColumnType::{
    Date, DateTime, IPv4, IPv6, LowCardinalityText, Text, UInt8, UInt16, UInt32, UInt64,
};
use crate::stream::Filled::Computed;
use crate::stream::{ColumnDecl, Stream};

static DNSFLOW: LazyLock<Stream> = LazyLock::new(|| Stream {
    name: "dnsflow",
    comment: "one row for each DNS answer that a DPI reports",
    columns: columns(),
    identifying: &["session_id", "source_ipv4", "source_ipv6", "dns_host", "dns_type", "rdata"],
    partition_by: "toDate(received_at)",
    order_by: &["login", "source_ipv4", "dns_host", "time"],
    ttl_from: "toDateTime(received_at)",
    indices: Vec::new(),
    skipped: Vec::new(),
});

/// The dnsflow stream.
pub fn dnsflow() -> &'static Stream {
    &DNSFLOW
}

#[rustfmt::skip]
fn columns() -> Vec<ColumnDecl> {
    let record = with_origin([
        column("time", DateTime, from([vendor(1001)]), "Delta(4), ZSTD(1)", "UTC", "when it was answered, by the exporter's clock"),
        column("date", Date, Computed("toDate(time)"), NONE, "UTC", "day of the answer"),
        column("login", LowCardinalityText, from([vendor(1002), vendor(2003)]), ZSTD, "", "the subscriber"),
        column("source_ipv4", IPv4, from([vendor(1003), iana(8)]), ZSTD, "", "source address; 0.0.0.0 in an IPv6 record"),
        column("destination_ipv4", IPv4, from([vendor(1004), iana(12)]), ZSTD, "", "destination address; 0.0.0.0 in an IPv6 record"),
        column("source_ipv6", IPv6, from([vendor(1003), iana(27)]), ZSTD, "", "source address; :: in an IPv4 record"),
        column("destination_ipv6", IPv6, from([vendor(1004), iana(28)]), ZSTD, "", "destination address; :: in an IPv4 record"),
        column("source_port", UInt16, from([vendor(1013), iana(7)]), ZSTD, "", "source port"),
        column("destination_port", UInt16, from([vendor(1014), iana(11)]), ZSTD, "", "destination port"),
        column("protocol_identifier", UInt8, from([iana(4)]), ZSTD, "", "IP protocol number: 6 TCP, 17 UDP"),
        column("session_id", UInt64, from([vendor(2000)]), ZSTD, "", "the DPI's number of the session"),
        column("dns_host", LowCardinalityText, from([]), ZSTD, "", "the name that was asked for"),
        column("dns_type", UInt16, from([]), ZSTD, "", "type of the answer: 1 A, 5 CNAME"),
        column("dns_class", UInt16, from([]), ZSTD, "", "class of the answer"),
        column("ttl", UInt32, from([]), ZSTD, "s", "how long the answer may be kept"),
        column("rdata", Text, from([]), ZSTD, "", "the answer, base64 as exported"),
        column("vlan_id", UInt16, from([iana(58)]), ZSTD, "", "VLAN"),
        column("post_vlan_id", UInt16, from([iana(59)]), ZSTD, "", "VLAN after the DPI"),
        column("bridge_vchannel_num", UInt16, from([vendor(2016)]), ZSTD, "", "bridge or virtual channel"),
        column("mpls_labels", Text, from([vendor(2017)]), ZSTD, "", "MPLS label stack, raw octets"),
    ]);
    enriched(record, [made_from()])
}
