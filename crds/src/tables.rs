//! How long each table keeps its rows, where they move, and how aggregates are rolled up.

use serde::{Deserialize, Serialize};

use crate::duration::Duration;
use crate::stream::StreamType;

/// How long a raw table keeps its rows unless told otherwise.
pub const DEFAULT_KEEP_FOR: Duration = Duration::from_hours(24);

/// The tables, by their names in the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tables {
    /// Flow records: one row per record of a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fullflow: Option<RawTable>,
    /// HTTP requests, and names of encrypted connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickstream: Option<RawTable>,
    /// Mobile sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtpflow: Option<RawTable>,
    /// Address translations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub natflow: Option<RawTable>,
    /// DNS questions and answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnsflow: Option<RawTable>,
    /// Aggregated flow records, and narrower tables of them; absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fullflow_agg: Option<FlowAggregate>,
    /// Aggregated requests; absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickstream_agg: Option<FlowAggregate>,
    /// Aggregated mobile sessions; absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtpflow_agg: Option<PlainAggregate>,
    /// Aggregated address translations; absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub natflow_agg: Option<NatAggregate>,
    /// Aggregated DNS answers; absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnsflow_agg: Option<PlainAggregate>,
}

impl Tables {
    /// How the raw table of a stream is kept.
    pub fn raw(&self, stream: StreamType) -> RawTable {
        let table = match stream {
            StreamType::Fullflow => self.fullflow,
            StreamType::Clickstream => self.clickstream,
            StreamType::GtpFlow => self.gtpflow,
            StreamType::NatFlow => self.natflow,
            StreamType::DnsFlow => self.dnsflow,
        };
        table.unwrap_or_default()
    }

    /// How the aggregate of a stream is made and kept; `None`: it is off.
    pub fn aggregate(&self, stream: StreamType) -> Option<AggregateTable> {
        match stream {
            StreamType::Fullflow => self.fullflow_agg.as_ref().map(AggregateTable::from),
            StreamType::Clickstream => self.clickstream_agg.as_ref().map(AggregateTable::from),
            StreamType::GtpFlow => self.gtpflow_agg.as_ref().map(AggregateTable::from),
            StreamType::NatFlow => self.natflow_agg.as_ref().map(AggregateTable::from),
            StreamType::DnsFlow => self.dnsflow_agg.as_ref().map(AggregateTable::from),
        }
    }
}

/// An aggregate of any stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateTable {
    /// Rows older than this are deleted; `None`: never.
    pub keep_for: Option<Duration>,
    /// Rows older than this move to the cold volume; `None`: never.
    pub move_to_cold_after: Option<Duration>,
    /// Length of time that one row stands for.
    pub interval: Interval,
    /// Longer intervals for older rows; `None`: the usual ones.
    pub rollups: Option<Vec<Rollup>>,
    /// Names of the keys; `None`: all.
    pub keys: Option<Vec<String>>,
}

impl AggregateTable {
    /// Longer intervals for older rows: minutes, and from which age in seconds. Of the usual ones those are left out
    /// that come when rows are deleted.
    pub fn rollups(&self) -> Vec<(u32, u64)> {
        match &self.rollups {
            Some(rollups) => {
                let rollup = |rollup: &Rollup| (rollup.interval.minutes(), rollup.after.as_millis() / 1000);
                rollups.iter().map(rollup).collect()
            }
            None => {
                let keep = self.keep_for.map_or(u64::MAX, |keep| keep.as_millis() / 1000);
                schema::aggregate::DEFAULT_ROLLUPS.into_iter().filter(|(_, after)| *after < keep).collect()
            }
        }
    }
}

/// A table of records as they arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawTable {
    /// Rows older than this, by arrival, are deleted; default 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<Duration>,
    /// Rows older than this move to the cold volume; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_to_cold_after: Option<Duration>,
}

impl RawTable {
    /// The given `keepFor`, else the default.
    pub fn keep_for(&self) -> Duration {
        self.keep_for.unwrap_or(DEFAULT_KEEP_FOR)
    }
}

/// An aggregate of fullflow or clickstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlowAggregate {
    /// Rows older than this are deleted; absent: kept for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<Duration>,
    /// Rows older than this move to the cold volume; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_to_cold_after: Option<Duration>,
    /// Length of time that one row stands for.
    #[serde(default = "quarter_hour")]
    pub interval: Interval,
    /// Longer intervals for older rows: each a multiple of the one before, each for older rows than it, and
    /// all before `keepFor`. Absent: 30m after 7d, 1h after 30d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollups: Option<Vec<Rollup>>,
    /// What rows are told apart by; absent: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<FlowKey>>,
}

const fn quarter_hour() -> Interval {
    Interval::FifteenMinutes
}

/// An aggregate of natflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NatAggregate {
    /// Rows older than this are deleted; absent: kept for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<Duration>,
    /// Rows older than this move to the cold volume; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_to_cold_after: Option<Duration>,
    /// Length of time that one row stands for.
    #[serde(default = "quarter_hour")]
    pub interval: Interval,
    /// Longer intervals for older rows: each a multiple of the one before, each for older rows than it, and
    /// all before `keepFor`. Absent: 30m after 7d, 1h after 30d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollups: Option<Vec<Rollup>>,
    /// What rows are told apart by; absent: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<NatKey>>,
}

/// An aggregate without a choice of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlainAggregate {
    /// Rows older than this are deleted; absent: kept for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<Duration>,
    /// Rows older than this move to the cold volume; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_to_cold_after: Option<Duration>,
    /// Length of time that one row stands for.
    #[serde(default = "quarter_hour")]
    pub interval: Interval,
    /// Longer intervals for older rows: each a multiple of the one before, each for older rows than it, and
    /// all before `keepFor`. Absent: 30m after 7d, 1h after 30d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollups: Option<Vec<Rollup>>,
}

macro_rules! any_aggregate {
    ($of:ty, $keys:expr) => {
        impl From<&$of> for AggregateTable {
            fn from(table: &$of) -> AggregateTable {
                let names: fn(&$of) -> Option<Vec<String>> = $keys;
                AggregateTable {
                    keep_for: table.keep_for,
                    move_to_cold_after: table.move_to_cold_after,
                    interval: table.interval,
                    rollups: table.rollups.clone(),
                    keys: names(table),
                }
            }
        }
    };
}

any_aggregate!(FlowAggregate, |table| {
    table.keys.as_ref().map(|keys| keys.iter().map(|key| key.as_str().to_owned()).collect())
});
any_aggregate!(NatAggregate, |table| {
    table.keys.as_ref().map(|keys| keys.iter().map(|key| key.as_str().to_owned()).collect())
});
any_aggregate!(PlainAggregate, |_| None);

/// Rows older than `after` are merged into one per `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollup {
    /// The longer interval.
    pub interval: Interval,
    /// Age of rows from which it applies.
    pub after: Duration,
}

/// Lengths an aggregate may have. Each divides the hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum Interval {
    /// `1m`
    #[serde(rename = "1m")]
    OneMinute,
    /// `5m`
    #[serde(rename = "5m")]
    FiveMinutes,
    /// `10m`
    #[serde(rename = "10m")]
    TenMinutes,
    /// `15m`
    #[default]
    #[serde(rename = "15m")]
    FifteenMinutes,
    /// `30m`
    #[serde(rename = "30m")]
    ThirtyMinutes,
    /// `1h`
    #[serde(rename = "1h")]
    OneHour,
}

impl Interval {
    /// Its length in minutes.
    pub const fn minutes(self) -> u32 {
        match self {
            Interval::OneMinute => 1,
            Interval::FiveMinutes => 5,
            Interval::TenMinutes => 10,
            Interval::FifteenMinutes => 15,
            Interval::ThirtyMinutes => 30,
            Interval::OneHour => 60,
        }
    }
}

/// What aggregated flows are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[allow(missing_docs, reason = "the names say it all")]
pub enum FlowKey {
    Subscriber,
    Login,
    Host,
    Category,
    Protocol,
    TrafficClass,
    SourceAS,
    DestinationAS,
    Channel,
}

/// What aggregated translations are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[allow(missing_docs, reason = "the names say it all")]
pub enum NatKey {
    Protocol,
    EventType,
    SourceIPv4,
    PostNATSourceIPv4,
    PostNATSourcePort,
    Login,
    SourcePort,
    DestinationIPv4,
    DestinationPort,
    SessionID,
}

impl FlowKey {
    /// As it is written in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            FlowKey::Subscriber => "Subscriber",
            FlowKey::Login => "Login",
            FlowKey::Host => "Host",
            FlowKey::Category => "Category",
            FlowKey::Protocol => "Protocol",
            FlowKey::TrafficClass => "TrafficClass",
            FlowKey::SourceAS => "SourceAS",
            FlowKey::DestinationAS => "DestinationAS",
            FlowKey::Channel => "Channel",
        }
    }
}

impl NatKey {
    /// As it is written in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            NatKey::Protocol => "Protocol",
            NatKey::EventType => "EventType",
            NatKey::SourceIPv4 => "SourceIPv4",
            NatKey::PostNATSourceIPv4 => "PostNATSourceIPv4",
            NatKey::PostNATSourcePort => "PostNATSourcePort",
            NatKey::Login => "Login",
            NatKey::SourcePort => "SourcePort",
            NatKey::DestinationIPv4 => "DestinationIPv4",
            NatKey::DestinationPort => "DestinationPort",
            NatKey::SessionID => "SessionID",
        }
    }
}
