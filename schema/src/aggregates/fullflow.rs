//! Aggregates of fullflow: what subscribers sent and received, how good it was, and with whom.

use std::sync::LazyLock;

use super::{key, measure, narrow, records, wide};
use crate::aggregate::KeyOf::{ClassSelector, Column, Host, Name, Subscriber, SubscriberNetwork};
use crate::aggregate::MeasureOf::{Count, RttCount, RttHistogram, RttMax, RttMin, RttSum, Sum};
use crate::aggregate::Way::{Both, From, To};
use crate::aggregate::{Family, KeyDecl, MeasureDecl};
use crate::stream::ColumnType::{IPv4, IPv6, LowCardinalityText, UInt8, UInt16, UInt32};
use crate::streams::fullflow;

static FULLFLOW: LazyLock<Family> = LazyLock::new(|| {
    let keys = keys();
    Family {
        stream: fullflow(),
        time: "flow_start_millisecond",
        tables: vec![
            wide(
                "fullflow_agg",
                "fullflow by interval of time: one row for what a subscriber did with a host",
                &keys,
            ),
            narrow("fullflow_totals", 1, [], "all of fullflow, minute by minute"),
            narrow("fullflow_by_protocol", 15, ["protocol_code"], "fullflow by application protocol"),
            narrow("fullflow_by_as", 15, ["host_as"], "fullflow by the other end's AS"),
            narrow("fullflow_by_channel", 15, ["bridge_vchannel_num"], "fullflow by channel"),
            narrow("fullflow_by_category", 15, ["host_category"], "fullflow by category of the host"),
            narrow(
                "fullflow_by_subscriber",
                60,
                ["login", "subscriber_ipv4", "subscriber_ipv6"],
                "fullflow by subscriber, hour by hour",
            ),
        ],
        keys,
        measures: measures(),
    }
});

/// The aggregates of fullflow.
pub fn fullflow_agg() -> &'static Family {
    &FULLFLOW
}

// Subscriber and host instead of source and destination: both directions of a session become one row.
#[rustfmt::skip]
fn keys() -> Vec<KeyDecl> {
    vec![
        // name, type, made of, switched by, meaning
        key("login", LowCardinalityText, Column("login"), "Login", "the subscriber"),
        key("subscriber_ipv4", IPv4, Subscriber("source_ipv4", "destination_ipv4"), "Subscriber", "the subscriber's address; 0.0.0.0 for IPv6"),
        key("subscriber_ipv6", IPv6, SubscriberNetwork("source_ipv6", "destination_ipv6"), "Subscriber", "the subscriber's network: the first 64 bits of the address; :: for IPv4"),
        key("bridge_vchannel_num", UInt16, Column("bridge_vchannel_num"), "Channel", "bridge or virtual channel"),
        key("host", LowCardinalityText, Name("host"), "Host", "the other end's registered domain, or full name if configured"),
        key("host_category", UInt16, Column("host_category"), "Category", "category of the host, named in urlcats_dic; 0: none"),
        key("subscriber_as", UInt32, Subscriber("bgp_source_as_number", "bgp_destination_as_number"), "SourceAS", "AS of the subscriber's end"),
        key("host_as", UInt32, Host("bgp_source_as_number", "bgp_destination_as_number"), "DestinationAS", "AS of the other end"),
        key("protocol_code", UInt16, Column("protocol_code"), "Protocol", "application protocol as the DPI recognised it, named in protocols_dic"),
        key("traffic_class", UInt8, ClassSelector("ip_class_of_service"), "TrafficClass", "class selector 0 to 7: the upper three bits of the TOS octet"),
    ]
}

#[rustfmt::skip]
fn measures() -> Vec<MeasureDecl> {
    vec![
        // name, what, of which records, unit, meaning
        records(),
        measure("flows_from", Count, From, "records", "records from the subscriber"),
        measure("flows_to", Count, To, "records", "records to the subscriber"),
        measure("octets_from", Sum("octet_delta_count"), From, "octets", "octets from the subscriber"),
        measure("octets_to", Sum("octet_delta_count"), To, "octets", "octets to the subscriber"),
        measure("packets_from", Sum("packet_delta_count"), From, "packets", "packets from the subscriber"),
        measure("packets_to", Sum("packet_delta_count"), To, "packets", "packets to the subscriber"),
        measure("retransmits_from", Sum("repeat_delta_pack"), From, "packets", "retransmitted packets from the subscriber"),
        measure("retransmits_to", Sum("repeat_delta_pack"), To, "packets", "retransmitted packets to the subscriber"),
        measure("fragments", Sum("frgmt_delta_packs"), Both, "packets", "fragmented packets"),
        measure("dropped_octets", Sum("dropped_bytes"), Both, "octets", "octets dropped by the DPI"),
        measure("dropped_packets", Sum("dropped_packets"), Both, "packets", "packets dropped by the DPI"),
        measure("rtt_from_count", RttCount, From, "", "records from the subscriber with a measured round-trip time"),
        measure("rtt_from_sum", RttSum, From, "us", "sum of their times"),
        measure("rtt_from_min", RttMin, From, "us", "the shortest; NULL if there is none"),
        measure("rtt_from_max", RttMax, From, "us", "the longest; NULL if there is none"),
        measure("rtt_from_histogram", RttHistogram, From, "", "how many lie in each bucket: qoe_rtt_quantile(rtt_from_histogram, 0.95)"),
        measure("rtt_to_count", RttCount, To, "", "records to the subscriber with a measured round-trip time"),
        measure("rtt_to_sum", RttSum, To, "us", "sum of their times"),
        measure("rtt_to_min", RttMin, To, "us", "the shortest; NULL if there is none"),
        measure("rtt_to_max", RttMax, To, "us", "the longest; NULL if there is none"),
        measure("rtt_to_histogram", RttHistogram, To, "", "how many lie in each bucket: qoe_rtt_quantile(rtt_to_histogram, 0.95)"),
    ]
}
