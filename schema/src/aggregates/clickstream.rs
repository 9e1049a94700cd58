//! Aggregates of clickstream: which hosts subscribers asked for.

use std::sync::LazyLock;

use super::{key, measure, records, wide};
use crate::aggregate::KeyOf::{Column, Name, Subscriber, SubscriberNetwork};
use crate::aggregate::MeasureOf::CountNonZero;
use crate::aggregate::Way::Both;
use crate::aggregate::{Family, KeyDecl};
use crate::stream::ColumnType::{IPv4, IPv6, LowCardinalityText, UInt8, UInt16};
use crate::streams::clickstream;

static CLICKSTREAM: LazyLock<Family> = LazyLock::new(|| {
    let keys = keys();
    Family {
        stream: clickstream(),
        time: "time",
        tables: vec![wide(
            "clickstream_agg",
            "clickstream by interval of time: one row for what a subscriber asked of a host",
            &keys,
        )],
        keys,
        measures: vec![
            records(),
            measure(
                "blocked",
                CountNonZero("locked"),
                Both,
                "records",
                "records of what the DPI blocked or redirected",
            ),
        ],
    }
});

/// The aggregates of clickstream.
pub fn clickstream_agg() -> &'static Family {
    &CLICKSTREAM
}

#[rustfmt::skip]
fn keys() -> Vec<KeyDecl> {
    vec![
        key("login", LowCardinalityText, Column("login"), "Login", "the subscriber"),
        key("subscriber_ipv4", IPv4, Subscriber("source_ipv4", "destination_ipv4"), "Subscriber", "the subscriber's address; 0.0.0.0 for IPv6"),
        key("subscriber_ipv6", IPv6, SubscriberNetwork("source_ipv6", "destination_ipv6"), "Subscriber", "the subscriber's network: the first 64 bits of the address; :: for IPv4"),
        key("bridge_vchannel_num", UInt16, Column("bridge_vchannel_num"), "Channel", "bridge or virtual channel"),
        key("host", LowCardinalityText, Name("host"), "Host", "registered domain, or full name if configured"),
        key("host_category", UInt16, Column("host_category"), "Category", "category of the host, named in urlcats_dic; 0: none"),
        key("host_type", UInt8, Column("host_type"), "Protocol", "where the host's name stood: 1 HTTP, 2 CNAME, 3 SNI, 4 QUIC"),
    ]
}
