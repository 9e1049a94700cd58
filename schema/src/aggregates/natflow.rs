//! Aggregates of natflow: who had which public address and port, interval by interval.

use std::sync::LazyLock;

use super::{key, records, wide};
use crate::aggregate::KeyOf::Column;
use crate::aggregate::{Family, KeyDecl};
use crate::stream::ColumnType::{IPv4, LowCardinalityText, UInt8, UInt16, UInt64};
use crate::streams::{nat_from_fullflow, natflow};

static NATFLOW: LazyLock<Family> = LazyLock::new(|| {
    let keys = keys();
    Family {
        stream: natflow(),
        time: "event_millisecond",
        tables: vec![wide(
            "natflow_agg",
            "natflow by interval of time: one row for the translations that share the configured fields",
            &keys,
        )],
        keys,
        measures: vec![records()],
    }
});

static FROM_FULLFLOW: LazyLock<Family> =
    LazyLock::new(|| Family { stream: nat_from_fullflow(), ..NATFLOW.clone() });

/// The aggregates of natflow.
pub fn natflow_agg() -> &'static Family {
    &NATFLOW
}

/// The same of the rows of natflow that are made of fullflow records.
pub fn nat_from_fullflow_agg() -> &'static Family {
    &FROM_FULLFLOW
}

#[rustfmt::skip]
fn keys() -> Vec<KeyDecl> {
    vec![
        key("post_nat_source_ipv4", IPv4, Column("post_nat_source_ipv4"), "PostNATSourceIPv4", "the public address"),
        key("post_nat_source_port", UInt16, Column("post_nat_source_port"), "PostNATSourcePort", "the public port"),
        key("login", LowCardinalityText, Column("login"), "Login", "the subscriber"),
        key("source_ipv4", IPv4, Column("source_ipv4"), "SourceIPv4", "the subscriber's address"),
        key("source_port", UInt16, Column("source_port"), "SourcePort", "the subscriber's port"),
        key("destination_ipv4", IPv4, Column("destination_ipv4"), "DestinationIPv4", "destination address"),
        key("destination_port", UInt16, Column("destination_port"), "DestinationPort", "destination port"),
        key("protocol_identifier", UInt8, Column("protocol_identifier"), "Protocol", "IP protocol number: 6 TCP, 17 UDP"),
        key("nat_event", UInt8, Column("nat_event"), "EventType", "as exported: 1 and 4 create, 2 and 5 delete"),
        key("session_id", UInt64, Column("session_id"), "SessionID", "the DPI's number of the session"),
    ]
}
