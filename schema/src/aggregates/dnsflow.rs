//! Aggregates of dnsflow: which names subscribers asked for.

use std::sync::LazyLock;

use super::{key, records, wide};
use crate::aggregate::KeyOf::{Column, Name, Network};
use crate::aggregate::{Family, KeyDecl};
use crate::stream::ColumnType::{IPv4, IPv6, LowCardinalityText, UInt16};
use crate::streams::dnsflow;

static DNSFLOW: LazyLock<Family> = LazyLock::new(|| {
    let keys = keys();
    Family {
        stream: dnsflow(),
        time: "time",
        tables: vec![wide(
            "dnsflow_agg",
            "dnsflow by interval of time: one row for the names of a domain that were asked for",
            &keys,
        )],
        keys,
        measures: vec![records()],
    }
});

/// The aggregates of dnsflow.
pub fn dnsflow_agg() -> &'static Family {
    &DNSFLOW
}

#[rustfmt::skip]
fn keys() -> Vec<KeyDecl> {
    vec![
        key("login", LowCardinalityText, Column("login"), "", "the subscriber"),
        key("source_ipv4", IPv4, Column("source_ipv4"), "", "source address; 0.0.0.0 for IPv6"),
        key("source_ipv6", IPv6, Network("source_ipv6"), "", "source network: the first 64 bits of the address; :: for IPv4"),
        key("dns_host", LowCardinalityText, Name("dns_host"), "", "registered domain of the name, or the full name if configured"),
        key("dns_type", UInt16, Column("dns_type"), "", "type of the answer: 1 A, 5 CNAME"),
        key("bridge_vchannel_num", UInt16, Column("bridge_vchannel_num"), "", "bridge or virtual channel"),
    ]
}
