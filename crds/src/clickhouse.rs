//! Where records are stored: a ClickHouse that the operator runs, one that exists, or one that
//! runs beside us.

use serde::{Deserialize, Serialize};

use crate::pod::Resources;
use crate::quantity::Quantity;
use crate::references::{ClientTls, KeyReference, LocalReference};

/// The database's default name.
pub const DEFAULT_DATABASE: &str = "qoestor";

/// Exactly one of `managed`, `external`, `embedded`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClickHouse {
    /// Name of the database. It cannot be changed.
    #[serde(default = "default_database")]
    pub database: String,
    /// A ClickHouse that the operator runs. On one machine: read as `embedded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<Managed>,
    /// A ClickHouse that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// A ClickHouse that runs beside us, on one machine; not on Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,
}

fn default_database() -> String {
    DEFAULT_DATABASE.to_owned()
}

/// The one of the three that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClickHouseKind<'a> {
    /// `clickhouse.managed`
    Managed(&'a Managed),
    /// `clickhouse.external`
    External(&'a External),
    /// `clickhouse.embedded`
    Embedded(&'a Embedded),
}

impl ClickHouse {
    /// The chosen one; `None` if none or several were given, which validation refuses.
    pub fn kind(&self) -> Option<ClickHouseKind<'_>> {
        match (&self.managed, &self.external, &self.embedded) {
            (Some(managed), None, None) => Some(ClickHouseKind::Managed(managed)),
            (None, Some(external), None) => Some(ClickHouseKind::External(external)),
            (None, None, Some(embedded)) => Some(ClickHouseKind::Embedded(embedded)),
            _ => None,
        }
    }
}

/// A ClickHouse that runs beside us. Nothing to set yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Embedded {}

/// A ClickHouse that the operator runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Managed {
    /// Number of servers that share the data.
    #[serde(default = "one_shard")]
    pub shards: u32,
    /// Image of the server; absent: the one this release was tested with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// CPU and memory of each server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Volumes of each server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Users of the server beside our own, told apart by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
}

const fn one_shard() -> u32 {
    1
}

/// Size of the fast volume unless told otherwise.
pub const DEFAULT_HOT: &str = "50Gi";
/// Size of the large volume unless told otherwise.
pub const DEFAULT_COLD: &str = "200Gi";
/// What a server asks for unless told otherwise, in Kubernetes' words: CPU and memory.
pub const DEFAULT_REQUESTS: [(&str, &str); 2] = [("cpu", "1"), ("memory", "4Gi")];
/// The oldest server that can be run, major and minor: `tables` and inserts rely on what it does.
pub const OLDEST_SERVER: (u32, u32) = (26, 3);

impl Managed {
    /// Size, as text, and storage class of the fast volume.
    pub fn hot(&self) -> (&str, Option<&str>) {
        let hot = self.storage.as_ref().and_then(|storage| storage.hot.as_ref());
        hot.map_or((DEFAULT_HOT, None), Volume::parts)
    }

    /// Size, as text, and storage class of the large volume; `None`: there is none. An object without `storage`
    /// has one.
    pub fn cold(&self) -> Option<(&str, Option<&str>)> {
        match &self.storage {
            None => Some((DEFAULT_COLD, None)),
            Some(storage) => storage.cold.as_ref().map(Volume::parts),
        }
    }

    /// What each server asks for and may use at most: the object's, else the default's.
    pub fn resources(&self) -> Resources {
        if let Some(resources) = &self.resources {
            return resources.clone();
        }
        let amount = |(name, text): (&str, &str)| Some((name.to_owned(), text.parse().ok()?));
        Resources {
            requests: DEFAULT_REQUESTS.into_iter().filter_map(amount).collect(),
            ..Resources::default()
        }
    }
}

/// Major and minor of a server's version: of what it says itself (`26.7.3.1`), or of an image's tag. `None`: the
/// text does not tell, as `latest` or a digest.
pub fn server_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim_start_matches('v').split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?;
    let digits = minor.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(minor.len());
    Some((major, minor.get(..digits)?.parse().ok()?))
}

/// The version that the tag of an image tells, see [`server_version`].
pub fn image_version(image: &str) -> Option<(u32, u32)> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let (_, tag) = name.rsplit_once('/').unwrap_or(("", name)).1.split_once(':')?;
    server_version(tag)
}

/// The volumes of a managed server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// The fast volume, where records arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hot: Option<Volume>,
    /// The large volume, where `moveToColdAfter` moves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<Volume>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// Size of the volume. It can grow, not shrink.
    pub size: Quantity,
    /// Storage class of the volume; absent: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}

impl Volume {
    fn parts(&self) -> (&str, Option<&str>) {
        (self.size.as_str(), self.storage_class_name.as_deref())
    }
}

/// A user of a managed server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// Name to log in with.
    pub name: String,
    /// What the user may do.
    #[serde(default)]
    pub access: Access,
    /// Secret and key with the password.
    pub password_secret_ref: KeyReference,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
pub enum Access {
    /// Read the database.
    #[default]
    ReadOnly,
    /// Read and write the database.
    ReadWrite,
}

/// A ClickHouse that exists already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct External {
    /// HTTP addresses, one per shard, such as `https://ch-0.example.org:8443`.
    pub endpoints: Vec<String>,
    /// Secret with the keys `username` and `password`.
    pub credentials_secret_ref: LocalReference,
    /// How to check the servers' certificates; absent: by the system's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// Name of the cluster in the servers' configuration, if there are several shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Storage policy with a fast and a large volume; absent: nothing is moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_policy: Option<StoragePolicy>,
}

/// The storage policy of an existing ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kubernetes", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoragePolicy {
    /// Name of the policy.
    pub name: String,
    /// Volume where records arrive.
    pub hot_volume: String,
    /// Volume where `moveToColdAfter` moves them.
    pub cold_volume: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_a_version() {
        for (image, version) in [
            ("clickhouse/clickhouse-server:26.7", Some((26, 7))),
            ("clickhouse/clickhouse-server:26.3.1.12-alpine", Some((26, 3))),
            ("registry.example.org:5000/clickhouse:25.8-lts", Some((25, 8))),
            ("registry.example.org:5000/clickhouse", None),
            ("clickhouse/clickhouse-server:latest", None),
            ("clickhouse/clickhouse-server:head-alpine", None),
            ("clickhouse:26.7@sha256:0123", Some((26, 7))),
            ("clickhouse@sha256:0123", None),
            ("clickhouse:v26.8", Some((26, 8))),
            ("clickhouse:26", None),
        ] {
            assert_eq!(image_version(image), version, "{image}");
        }
        assert_eq!(server_version("26.7.2.1"), Some((26, 7)));
    }

    #[test]
    fn nothing_given_is_hot_and_cold() {
        let managed = |text: &str| serde_json::from_str::<Managed>(text).unwrap();
        let defaults = managed("{}");
        assert_eq!(
            (defaults.shards, defaults.hot(), defaults.cold()),
            (1, ("50Gi", None), Some(("200Gi", None)))
        );
        assert_eq!(defaults.resources().requests["memory"].bytes(), Some(4 << 30));
        let hot = managed(r#"{"storage": {"hot": {"size": "1Ti", "storageClassName": "nvme"}}}"#);
        assert_eq!((hot.hot(), hot.cold()), (("1Ti", Some("nvme")), None));
    }
}
