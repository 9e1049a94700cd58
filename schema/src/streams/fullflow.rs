//! Fullflow: one row for each record about one direction of a session (or a part of it: the exporter cuts
//! long sessions). The column names are those of the product that Qoeplane replaces, so that its SQL runs
//! here unchanged. Types, codecs and order were chosen by measurement: `docs/reference/fullflow-codecs.md`.

use std::sync::LazyLock;

use ipfix::Convert::{MicrosNtpToMillis, NanosNtpToMillis, SecondsToMillis, UptimeToMillis};

use super::{
    NONE, PACKED, TIME_MS, ZSTD, column, enriched, from, host_category, iana, iana_as, made_from, sides,
    vendor, with_origin,
};
use crate::stream::ColumnType::{
    Date, DateTime, DateTimeMillis, IPv4, IPv6, LowCardinalityText, NullableUInt64, Text, UInt8, UInt16,
    UInt32, UInt64,
};
use crate::stream::Enriched::RttUnit;
use crate::stream::Filled::{Computed, Enriched, Unpublished};
use crate::stream::{ColumnDecl, Stream};
use crate::table::DataIndex;

static FULLFLOW: LazyLock<Stream> = LazyLock::new(|| Stream {
    name: "fullflow",
    comment: "one row for each IPFIX or NetFlow v9 record of a DPI about one direction of a session",
    columns: columns(),
    identifying: &[
        "octet_delta_count",
        "packet_delta_count",
        "source_ipv4",
        "destination_ipv4",
        "source_ipv6",
        "destination_ipv6",
    ],
    partition_by: "toStartOfHour(received_at)",
    order_by: &["login", "source_ipv4", "destination_ipv4", "flow_start_millisecond"],
    ttl_from: "toDateTime(received_at)",
    indices: vec![DataIndex {
        name: "flow_start_minmax",
        expression: "flow_start_millisecond",
        index_type: "minmax",
        granularity: 64,
    }],
    skipped: Vec::new(),
});

/// The fullflow stream.
pub fn fullflow() -> &'static Stream {
    &FULLFLOW
}

// An interface number and an AS number are 4 bytes by their definition, although the DPI sends interfaces in
// 2. Counters that the DPI sends in 2 bytes are stored in 4: another version may send more, and zeros cost
// nothing. Where several elements are named, the first one that the template has is used.
#[rustfmt::skip]
fn columns() -> Vec<ColumnDecl> {
    let record = with_origin([
        // name, type, filled from, codec, unit, meaning
        column("flow_start_millisecond", DateTimeMillis, from([iana(152), iana_as(150, SecondsToMillis), iana_as(154, MicrosNtpToMillis), iana_as(156, NanosNtpToMillis), iana_as(22, UptimeToMillis)]), TIME_MS, "", "start of the session, by the exporter's clock"),
        column("flow_end_millisecond", DateTimeMillis, from([iana(153), iana_as(151, SecondsToMillis), iana_as(155, MicrosNtpToMillis), iana_as(157, NanosNtpToMillis), iana_as(21, UptimeToMillis)]), ZSTD, "", "last packet of this record, by the exporter's clock"),
        column("flow_start_time", DateTime, Computed("toDateTime(flow_start_millisecond)"), NONE, "", "start of the session, whole seconds"),
        column("flow_start_date", Date, Computed("toDate(flow_start_millisecond)"), NONE, "", "day of the start of the session"),
        column("octet_delta_count", UInt64, from([iana(1)]), PACKED, "octets", "octets since the session's previous record, this direction"),
        column("packet_delta_count", UInt64, from([iana(2)]), PACKED, "packets", "packets since the session's previous record, this direction"),
        column("protocol_identifier", UInt8, from([iana(4)]), ZSTD, "", "IP protocol number: 6 TCP, 17 UDP"),
        column("ip_class_of_service", UInt8, from([iana(5)]), ZSTD, "", "TOS or traffic class octet"),
        column("ip_version", UInt8, from([iana(60)]), ZSTD, "", "4 or 6; 0 if the exporter does not say"),
        column("source_ipv4", IPv4, from([iana(8)]), ZSTD, "", "source address; 0.0.0.0 in an IPv6 record"),
        column("destination_ipv4", IPv4, from([iana(12)]), ZSTD, "", "destination address; 0.0.0.0 in an IPv6 record"),
        column("source_ipv6", IPv6, from([iana(27)]), ZSTD, "", "source address; :: in an IPv4 record"),
        column("destination_ipv6", IPv6, from([iana(28)]), ZSTD, "", "destination address; :: in an IPv4 record"),
        column("source_port", UInt16, from([iana(7)]), ZSTD, "", "source port"),
        column("destination_port", UInt16, from([iana(11)]), ZSTD, "", "destination port"),
        column("bgp_source_as_number", UInt32, from([iana(16)]), ZSTD, "", "AS of the source"),
        column("bgp_destination_as_number", UInt32, from([iana(17)]), ZSTD, "", "AS of the destination"),
        column("input_snmp", UInt32, from([iana(10)]), ZSTD, "", "input interface; a DPI marks the direction here with 1 and 2"),
        column("output_snmp", UInt32, from([iana(14)]), ZSTD, "", "output interface; a DPI marks the direction here with 1 and 2"),
        column("session_id", UInt64, from([vendor(2000)]), ZSTD, "", "the DPI's number of the session, the same in both directions"),
        column("host", LowCardinalityText, from([vendor(2001)]), ZSTD, "", "HTTP host, or common name of the TLS certificate"),
        column("protocol_code", UInt16, from([vendor(2002)]), ZSTD, "", "application protocol as the DPI recognised it"),
        column("login", LowCardinalityText, from([vendor(2003)]), ZSTD, "", "the subscriber"),
        column("post_nat_source_ipv4", IPv4, from([iana(225)]), ZSTD, "", "source address after translation"),
        column("post_nat_source_port", UInt16, from([iana(227)]), ZSTD, "", "source port after translation"),
        column("frgmt_delta_packs", UInt32, from([vendor(2010)]), PACKED, "packets", "fragmented packets since the previous record"),
        column("repeat_delta_pack", UInt32, from([vendor(2011)]), PACKED, "packets", "retransmitted packets since the previous record"),
        column("packet_deliver_time", UInt32, from([vendor(2012)]), PACKED, "as exported", "half a round trip; 0 means not measured and belongs in no average"),
        column("bridge_vchannel_num", UInt16, from([vendor(2016)]), ZSTD, "", "bridge or virtual channel"),
        column("vlan_id", UInt16, from([iana(58), iana(243)]), ZSTD, "", "VLAN"),
        column("post_vlan_id", UInt16, from([iana(59), iana(254)]), ZSTD, "", "VLAN after the DPI"),
        column("mpls_labels", Text, from([vendor(2017)]), ZSTD, "", "MPLS label stack, raw octets"),
        column("original_tos", UInt8, Unpublished, ZSTD, "", "TOS before the DPI changed it; its element is not published"),
        column("dropped_bytes", UInt64, from([iana(132)]), PACKED, "octets", "octets dropped since the previous record"),
        column("dropped_packets", UInt64, from([iana(133)]), PACKED, "packets", "packets dropped since the previous record"),
    ]);
    enriched(record, [sides(), vec![host_category(), rtt_unit(), rtt()], made_from()])
}

#[rustfmt::skip]
fn rtt_unit() -> ColumnDecl {
    column("rtt_unit", UInt16, Enriched(RttUnit), ZSTD, "us", "microseconds in one unit of packet_deliver_time, as configured when the record came")
}

#[rustfmt::skip]
fn rtt() -> ColumnDecl {
    column("rtt_us", NullableUInt64, Computed("if(packet_deliver_time = 0 OR rtt_unit = 0, NULL, toUInt64(packet_deliver_time) * rtt_unit)"), NONE, "us", "packet_deliver_time in microseconds; NULL where it was not measured or its unit is not known, so that averages leave it out")
}
