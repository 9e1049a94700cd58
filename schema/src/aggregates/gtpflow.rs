//! Aggregates of gtpflow: how control messages between gateways end.

use std::sync::LazyLock;

use super::{key, measure, records, wide};
use crate::aggregate::KeyOf::Column;
use crate::aggregate::MeasureOf::CountNonZero;
use crate::aggregate::Way::Both;
use crate::aggregate::{Family, KeyDecl};
use crate::stream::ColumnType::{IPv4, UInt8};
use crate::streams::gtpflow;

static GTPFLOW: LazyLock<Family> = LazyLock::new(|| {
    let keys = keys();
    Family {
        stream: gtpflow(),
        time: "time",
        tables: vec![wide(
            "gtpflow_agg",
            "gtpflow by interval of time: one row for each kind of exchange and its end",
            &keys,
        )],
        keys,
        measures: vec![
            records(),
            measure("ok", CountNonZero("result"), Both, "records", "exchanges that succeeded"),
        ],
    }
});

/// The aggregates of gtpflow.
pub fn gtpflow_agg() -> &'static Family {
    &GTPFLOW
}

#[rustfmt::skip]
fn keys() -> Vec<KeyDecl> {
    vec![
        key("gtp_version", UInt8, Column("gtp_version"), "", "GTP version"),
        key("request_type", UInt8, Column("request_type"), "", "message type of the request"),
        key("response_type", UInt8, Column("response_type"), "", "message type of the response"),
        key("cause", UInt8, Column("cause"), "", "cause of the response"),
        key("sgw_control_ipv4", IPv4, Column("sgw_control_ipv4"), "", "serving gateway, control plane: address"),
        key("pgw_control_ipv4", IPv4, Column("pgw_control_ipv4"), "", "packet gateway, control plane: address"),
    ]
}
