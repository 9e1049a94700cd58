//! What a receiver is told about aggregates.

use serde::{Deserialize, Serialize};

use super::is_default;
use crate::stream::StreamType;
use crate::tables::{AggregateTable, Interval, Tables};

/// The aggregates that a receiver gathers; what is absent is off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregatesConfig {
    /// Of fullflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fullflow: Option<Aggregation>,
    /// Of clickstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickstream: Option<Aggregation>,
    /// Of gtpflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtpflow: Option<Aggregation>,
    /// Of natflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub natflow: Option<Aggregation>,
    /// Of dnsflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnsflow: Option<Aggregation>,
}

impl AggregatesConfig {
    /// Those of a stream's records.
    pub fn of(&self, stream: StreamType) -> Option<&Aggregation> {
        match stream {
            StreamType::Fullflow => self.fullflow.as_ref(),
            StreamType::Clickstream => self.clickstream.as_ref(),
            StreamType::GtpFlow => self.gtpflow.as_ref(),
            StreamType::NatFlow => self.natflow.as_ref(),
            StreamType::DnsFlow => self.dnsflow.as_ref(),
        }
    }
}

/// How one family is gathered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregation {
    /// Interval of the wide table.
    #[serde(default, skip_serializing_if = "is_default")]
    pub interval: Interval,
    /// Names of the keys that are kept; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
}

impl From<&Tables> for AggregatesConfig {
    fn from(tables: &Tables) -> AggregatesConfig {
        let of = |stream| {
            tables
                .aggregate(stream)
                .map(|AggregateTable { interval, keys, .. }| Aggregation { interval, keys })
        };
        AggregatesConfig {
            fullflow: of(StreamType::Fullflow),
            clickstream: of(StreamType::Clickstream),
            gtpflow: of(StreamType::GtpFlow),
            natflow: of(StreamType::NatFlow),
            dnsflow: of(StreamType::DnsFlow),
        }
    }
}
