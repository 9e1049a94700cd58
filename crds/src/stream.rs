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
    /// In order and without loss; held back while the journal is full.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// In datagrams, refused and counted while the journal is full.
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
    /// Name of the stream, different within the DPI. Absent: the type in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the DPI sends here.
    #[serde(rename = "type")]
    pub stream_type: StreamType,
    /// Port to listen on; different within the DPI for each transport. On Kubernetes TCP port 9400 is taken.
    pub port: Port,
    /// How the DPI sends it.
    #[serde(default)]
    pub transport: Transport,
    /// Networks that may send here, such as 192.0.2.0/24 or 2001:db8::/32; absent: everybody who can reach
    /// the port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<String>,
    /// Certificates; their presence turns TLS on. With transport TCP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// Whose messages these are, when a balancer stands in front: observation domain to DPI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<Domain>,
    /// Copies of the messages, sent on to others.
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
    /// Who gets which message.
    #[serde(default)]
    pub mode: ExportMode,
    /// Who gets copies, told apart by name.
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
    /// Name of the target; how far it has got is remembered under this name.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// Port of the target.
    pub port: Port,
    /// How copies are sent.
    #[serde(default)]
    pub transport: Transport,
}
