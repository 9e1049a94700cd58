//! One stream of one DPI: what it sends, where we listen for it, and where copies go.

use serde::{Deserialize, Serialize};

use crate::port::Port;
use crate::references::LocalReference;

/// The kinds of records a DPI sends. A listener takes exactly one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum StreamType {
    /// Sessions with octets, packets, host, protocol and round-trip times.
    Fullflow,
    /// HTTP requests and names of encrypted connections.
    Clickstream,
    /// Mobile sessions from GTP-C.
    #[serde(rename = "GTPFlow")]
    GtpFlow,
    /// Address translations.
    #[serde(rename = "NATFlow")]
    NatFlow,
    /// DNS questions and answers.
    #[serde(rename = "DNSFlow")]
    DnsFlow,
}

impl StreamType {
    /// Every type, in the order of the documentation.
    pub const ALL: [StreamType; 5] = [
        StreamType::Fullflow,
        StreamType::Clickstream,
        StreamType::GtpFlow,
        StreamType::NatFlow,
        StreamType::DnsFlow,
    ];

    /// As it is written in YAML.
    pub const fn as_str(self) -> &'static str {
        match self {
            StreamType::Fullflow => "Fullflow",
            StreamType::Clickstream => "Clickstream",
            StreamType::GtpFlow => "GTPFlow",
            StreamType::NatFlow => "NATFlow",
            StreamType::DnsFlow => "DNSFlow",
        }
    }

    /// The table its records go to, which is also the default name of a stream.
    pub const fn table(self) -> &'static str {
        match self {
            StreamType::Fullflow => "fullflow",
            StreamType::Clickstream => "clickstream",
            StreamType::GtpFlow => "gtpflow",
            StreamType::NatFlow => "natflow",
            StreamType::DnsFlow => "dnsflow",
        }
    }
}

/// TCP or UDP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum Transport {
    /// Reliable, held back when the journal is full.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// Datagrams, refused and counted when the journal is full.
    #[serde(rename = "UDP")]
    Udp,
}

impl Transport {
    /// As it is written in YAML.
    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        }
    }
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stream {
    /// Key within the DPI; defaults to the type in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What arrives here: Fullflow, Clickstream, GTPFlow, NATFlow or DNSFlow.
    #[serde(rename = "type")]
    pub stream_type: StreamType,
    /// Port to listen on.
    pub port: Port,
    /// TCP (the default) or UDP.
    #[serde(default)]
    pub transport: Transport,
    /// Networks that may send here; empty: everybody who can reach the port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<String>,
    /// TCP only: its presence turns TLS on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// A balancer in front: observation domain to DPI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<Domain>,
    /// Copies of the messages for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Export>,
}

impl Stream {
    /// The stream's name: the given one, else its type in lower case.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.stream_type.table())
    }
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerTls {
    /// Secret with our certificate and key (keys `tls.crt`, `tls.key`).
    pub certificate_secret_ref: LocalReference,
    /// Secret with the authority that signs the DPIs' certificates (key `ca.crt`); its presence
    /// makes a client certificate mandatory.
    #[serde(default, rename = "clientCASecretRef", skip_serializing_if = "Option::is_none")]
    pub client_ca_secret_ref: Option<LocalReference>,
}

/// Whose messages carry an observation domain, when several DPIs share one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Domain {
    /// Observation domain id of the messages.
    pub id: u32,
    /// Id of the DPI.
    pub dpi: u16,
}

/// Re-export of what arrives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Export {
    /// All (the default) or RoundRobin.
    #[serde(default)]
    pub mode: ExportMode,
    /// Receivers of the copies, keyed by name.
    pub targets: Vec<ExportTarget>,
}

/// Who gets which message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum ExportMode {
    /// Every target gets every message.
    #[default]
    All,
    /// Each message goes to one target in turn.
    RoundRobin,
}

/// Somebody who gets copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportTarget {
    /// Key within the export; its position in the journal is kept under this name.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: Port,
    /// TCP (the default) or UDP.
    #[serde(default)]
    pub transport: Transport,
}
