//! What a receiver is told about enrichment: what raw rows hold, and what aggregates are made of.

use serde::{Deserialize, Serialize};

use super::is_default;
use crate::enrichment::{
    Direction, Enrichment, FromSubscriberMark, HostName, LoginFromChannelMode, RttUnit, SubscriberFilter,
};

/// The settings of one receiver's enrichment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrichmentConfig {
    /// How the direction of a record is found.
    #[serde(default, skip_serializing_if = "is_default")]
    pub direction: Direction,
    /// The DPI's marks of a record that comes from the subscriber.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from_subscriber: Marks,
    /// Unit of the DPI's round-trip times.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rtt_unit: RttUnit,
    /// When a record's login is taken from its channel.
    #[serde(default, skip_serializing_if = "is_default")]
    pub login_from_channel: LoginFromChannelMode,
    /// Whether it is then the channel's name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub channel_names: bool,
    /// Whether fullflow records with an address after translation become rows of natflow too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nat_from_fullflow: bool,
    /// By what aggregates keep a record: its subscriber's end is ours.
    #[serde(default, skip_serializing_if = "is_default")]
    pub subscriber_filter: SubscriberFilter,
    /// By what aggregates leave a record out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub subscriber_exclude: SubscriberFilter,
    /// What a host's name is shortened to in aggregates.
    #[serde(default, skip_serializing_if = "is_default")]
    pub host: HostName,
}

/// A DPI's direction marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// ingressInterface (element 10).
    pub input: u16,
    /// egressInterface (element 14).
    pub output: u16,
}

impl Default for Marks {
    /// As the YAML's default.
    fn default() -> Marks {
        Marks::from(FromSubscriberMark::default())
    }
}

impl From<FromSubscriberMark> for Marks {
    fn from(mark: FromSubscriberMark) -> Marks {
        Marks { input: mark.input, output: mark.output }
    }
}

impl From<&Enrichment> for EnrichmentConfig {
    fn from(enrichment: &Enrichment) -> EnrichmentConfig {
        // Every field is named: whoever adds one has to decide whether records depend on it.
        let Enrichment {
            direction,
            subscriber_filter,
            subscriber_exclude,
            from_subscriber_mark,
            rtt_unit,
            host,
            login_from_channel,
            nat_from_fullflow,
        } = enrichment;
        EnrichmentConfig {
            direction: *direction,
            from_subscriber: (*from_subscriber_mark).into(),
            rtt_unit: *rtt_unit,
            login_from_channel: login_from_channel.mode,
            channel_names: login_from_channel.use_dictionary,
            nat_from_fullflow: *nat_from_fullflow,
            subscriber_filter: *subscriber_filter,
            subscriber_exclude: *subscriber_exclude,
            host: *host,
        }
    }
}
