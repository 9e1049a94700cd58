//! `QoeDictionary`: names and attributes for what records carry only as numbers and addresses.

use serde::{Deserialize, Serialize};

use crate::collector::Metadata;
use crate::duration::Duration;
use crate::references::{ClientTls, KeyReference, LocalReference};

/// The kind's name.
pub const KIND: &str = "QoeDictionary";

/// One dictionary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QoeDictionary {
    /// Always `qoeplane.io/v1alpha1`.
    pub api_version: String,
    /// Always `QoeDictionary`.
    pub kind: String,
    /// Name and labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: QoeDictionarySpec,
}

/// What a dictionary holds and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(kube::CustomResource, schemars::JsonSchema))]
#[cfg_attr(
    feature = "kubernetes",
    kube(
        group = "qoeplane.io",
        version = "v1alpha1",
        kind = "QoeDictionary",
        root = "Dictionary",
        doc = "A QoeDictionary of a cluster. Its definition is [`crate::kubernetes::dictionary_definition`].",
        plural = "qoedictionaries",
        namespaced,
        schema = "disabled",
        derive = "PartialEq",
        status = "crate::status::QoeDictionaryStatus",
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QoeDictionarySpec {
    /// What it holds. It cannot be changed.
    #[serde(rename = "type")]
    pub dictionary_type: DictionaryType,
    /// Names of the collectors that use it; absent: every collector of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collectors: Option<Vec<String>>,
    /// Ids of the DPIs it applies to; absent: all. Sites may share private ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpis: Option<Vec<u16>>,
    /// What happens when a line is wrong.
    #[serde(default)]
    pub on_error: OnError,
    /// Where the lines come from: exactly one of inline, configMap, secret, http, table, file.
    pub source: DictionarySource,
}

/// What a dictionary holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum DictionaryType {
    /// Our own AS numbers.
    AsnumLocal,
    /// Our own networks.
    SubnetsLocal,
    /// AS numbers that aggregates leave out.
    AsnumExclude,
    /// Networks that aggregates leave out.
    SubnetsExclude,
    /// Subscribers by address: login, switch, contract and more.
    Subscribers,
    /// Access and trunk switches, a tree.
    Switches,
    /// Errors per port of a switch.
    Crc,
    /// Names of host categories, by number.
    Urlcats,
    /// Categories of hosts, by number.
    UrlcatsHost,
    /// Names of channels.
    VchannelName,
    /// Names of the DPI's protocols.
    Protocols,
    /// Names of AS numbers.
    Asnum,
}

/// What happens when a line is wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum OnError {
    /// The previous version stays in use.
    #[default]
    KeepPrevious,
    /// The line is left out and counted.
    SkipRow,
}

/// Exactly one of `inline`, `configMap`, `secret`, `http`, `table`, `file`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DictionarySource {
    /// The lines themselves, fields separated by tabs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeyReference>,
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<KeyReference>,
    /// A web server, asked at an interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSource>,
    /// A table of the same ClickHouse, kept by somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableSource>,
    /// A file, relative to the one that names it; on one machine only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl DictionarySource {
    /// The fields that were given, by their names in YAML.
    pub fn given(&self) -> Vec<&'static str> {
        let DictionarySource { inline, config_map, secret, http, table, file } = self;
        let mut names = Vec::new();
        for (name, present) in [
            ("inline", inline.is_some()),
            ("configMap", config_map.is_some()),
            ("secret", secret.is_some()),
            ("http", http.is_some()),
            ("table", table.is_some()),
            ("file", file.is_some()),
        ] {
            if present {
                names.push(name);
            }
        }
        names
    }
}

/// A dictionary on a web server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpSource {
    /// Address, beginning with http:// or https://.
    pub url: String,
    /// How often it is fetched; default 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Duration>,
    /// Secret with the keys `username` and `password`, or `token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalReference>,
    /// How to check the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
}

/// A dictionary in a table of the same ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableSource {
    /// Name of the database; absent: the collector's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Name of the table.
    pub name: String,
}
