//! What is decided about a record while it is stored, and fields the vendor does not publish.

use serde::{Deserialize, Serialize};

use crate::stream::StreamType;

/// What is decided about a record while it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enrichment {
    /// How it is found whether a flow goes to or from a subscriber.
    #[serde(default)]
    pub direction: Direction,
    /// By what flows are recognised as a subscriber's; others are left out of aggregates. Raw tables keep all.
    #[serde(default)]
    pub subscriber_filter: SubscriberFilter,
    /// By what flows are left out of aggregates, such as those of our own servers. Raw tables keep all.
    #[serde(default)]
    pub subscriber_exclude: SubscriberFilter,
    /// The DPI's mark that means "from the subscriber".
    #[serde(default)]
    pub from_subscriber_mark: FromSubscriberMark,
    /// Unit of the DPI's round-trip times.
    #[serde(default)]
    pub rtt_unit: RttUnit,
    /// What a host name is shortened to in the aggregates.
    #[serde(default)]
    pub host: HostName,
    /// When a record's login is taken from its channel.
    #[serde(default)]
    pub login_from_channel: LoginFromChannel,
    /// Whether address translations are taken from fullflow records too.
    #[serde(default)]
    pub nat_from_fullflow: bool,
}

/// How the direction of a flow is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum Direction {
    /// As the DPI marks it.
    #[default]
    AsIs,
    /// By our own AS numbers.
    AS,
    /// By our own networks.
    CIDR,
    /// Both must agree.
    ASAndCIDR,
    /// Either is enough.
    ASOrCIDR,
}

/// By what flows are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum SubscriberFilter {
    /// No choice.
    #[default]
    None,
    /// By AS number.
    AS,
    /// By network.
    CIDR,
    /// Both must match.
    ASAndCIDR,
    /// Either is enough.
    ASOrCIDR,
}

/// The values of the interface fields that mean "from the subscriber".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FromSubscriberMark {
    /// Value of ingressInterface (element 10).
    pub input: u16,
    /// Value of egressInterface (element 14).
    pub output: u16,
}

impl Default for FromSubscriberMark {
    fn default() -> FromSubscriberMark {
        FromSubscriberMark { input: 2, output: 1 }
    }
}

/// Unit of the DPI's round-trip times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum RttUnit {
    /// Thousandths of a second.
    #[default]
    Milliseconds,
    /// Millionths of a second.
    Microseconds,
}

impl RttUnit {
    /// Microseconds in one.
    pub const fn microseconds(self) -> u16 {
        match self {
            RttUnit::Milliseconds => 1000,
            RttUnit::Microseconds => 1,
        }
    }
}

/// What a host name is shortened to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum HostName {
    /// To the part that was registered: www.example.co.uk becomes example.co.uk.
    #[default]
    RegisteredDomain,
    /// Not at all.
    FullName,
}

/// Whether the login comes from the channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoginFromChannel {
    /// When it is.
    #[serde(default)]
    pub mode: LoginFromChannelMode,
    /// Whether the channel's name from the dictionary is used instead of its number.
    #[serde(default)]
    pub use_dictionary: bool,
}

/// When the login comes from the channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum LoginFromChannelMode {
    /// The record's own login stays.
    #[default]
    Never,
    /// For every record.
    Always,
    /// For records without a login.
    IfEmpty,
}

/// A field that the vendor does not publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomElement {
    /// The stream it arrives in.
    pub stream: StreamType,
    /// Information element id, without the enterprise bit: 1-32767.
    pub id: u16,
    /// Private enterprise number; 0 for IANA's elements.
    pub pen: u32,
    /// Name of the element.
    pub name: String,
    /// Type of the column.
    #[serde(rename = "type")]
    pub element_type: ElementType,
    /// Name of the column.
    pub column: String,
}

/// Types a declared column may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[allow(missing_docs, reason = "the database's names")]
pub enum ElementType {
    String,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    IPv4,
    IPv6,
    DateTime,
}
