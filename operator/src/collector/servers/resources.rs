//! What the servers of one collector become on Kubernetes. Pure: the same object, image and secrets give the same
//! bytes. A password is never in an object that is not a Secret, and in a Secret only as its hash.

use crds::clickhouse::{Access, Managed};
use crds::managed;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;

use super::super::build::note_applied_hash;
use super::super::parts;
use super::super::validated::Images;
use super::{cluster_xml, labels, metadata, server_xml, services, stateful_set, users_xml};

/// Annotation of a server's ConfigMap, which outlives its StatefulSet when that is replaced: the image that the server
/// was last ready with.
pub const IMAGE_ANNOTATION: &str = "qoeplane.io/image";

/// Key of a server's configuration in its ConfigMap, and name of the file.
pub(super) const SERVER_KEY: &str = "qoeplane.xml";
/// Key of the cluster's description in the Secret, and name of the file.
pub(super) const CLUSTER_KEY: &str = "cluster.xml";
/// Key of the users in the Secret, and name of the file.
pub(super) const USERS_KEY: &str = "users.xml";

/// What servers are built from.
pub struct Servers<'a> {
    /// Name of the collector.
    pub collector: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its uid, for owner references.
    pub uid: &'a str,
    /// The database that our users may use.
    pub database: &'a str,
    /// What the object says of its servers.
    pub managed: &'a Managed,
    /// Image of the servers.
    pub image: &'a str,
    /// By server, the image that it was last ready with.
    pub ran: &'a [Option<&'a str>],
    /// How images are fetched.
    pub images: &'a Images,
    /// How many servers there are: those that are wanted, and those that still have to go.
    pub count: u32,
    /// How many of them queries ask.
    pub in_cluster: u32,
    /// By what servers trust each other.
    pub interserver: &'a str,
    /// Everybody who may log in.
    pub logins: &'a [Login],
}

/// Somebody who may log in. Has no `Debug`: there is a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// What this user may do.
    pub rights: Rights,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    Admin,
    /// Read and insert.
    Writer,
    /// What the object says.
    Given(Access),
}

/// Everything that the servers of a collector become.
#[derive(Debug, Clone, PartialEq)]
pub struct ServersResources {
    /// Users and cluster; mounted by all servers.
    pub secret: Secret,
    /// Has no rights: it keeps the namespace's default account out of the pods.
    pub service_account: ServiceAccount,
    /// Gives each server a name.
    pub headless: Service,
    /// Where queries go.
    pub query: Service,
    /// One per server, by number.
    pub shards: Vec<ShardResources>,
}

/// What one server becomes. All objects have the same name.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardResources {
    /// Its number.
    pub shard: u32,
    /// Its configuration.
    pub config_map: ConfigMap,
    /// The server.
    pub stateful_set: StatefulSet,
    /// Lets drains of nodes go on.
    pub disruption_budget: PodDisruptionBudget,
}

/// How many servers queries ask, by the live Secret.
pub fn in_cluster(live: &Secret) -> u32 {
    let text = live.data.as_ref().and_then(|data| std::str::from_utf8(&data.get(CLUSTER_KEY)?.0).ok());
    text.map_or(0, cluster_xml::count)
}

/// Builds all objects.
pub fn build(servers: &Servers<'_>) -> ServersResources {
    let mut secret = secret(servers);
    note_applied_hash(&mut secret);
    let mut service_account = ServiceAccount {
        metadata: metadata::shared(servers, managed::object_name(servers.collector)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    };
    note_applied_hash(&mut service_account);
    let mut headless = services::headless(servers);
    note_applied_hash(&mut headless);
    let mut query = services::query(servers);
    note_applied_hash(&mut query);
    let shards = (0..servers.count).map(|number| shard(servers, number)).collect();
    ServersResources { secret, service_account, headless, query, shards }
}

fn shard(servers: &Servers<'_>, number: u32) -> ShardResources {
    let mut config_map = ConfigMap {
        metadata: metadata::of_shard(servers, number),
        data: Some([(SERVER_KEY.to_owned(), server_xml::write(servers.managed, number))].into()),
        ..ConfigMap::default()
    };
    if let Some(image) = servers.ran.get(number as usize).copied().flatten() {
        config_map.annotations_mut().insert(IMAGE_ANNOTATION.to_owned(), image.to_owned());
    }
    note_applied_hash(&mut config_map);
    let mut stateful_set = stateful_set::build(servers, number);
    parts::note_template(&mut stateful_set);
    let selector = labels::selector(servers.collector, number);
    let mut disruption_budget = parts::disruption_budget(metadata::of_shard(servers, number), selector);
    note_applied_hash(&mut disruption_budget);
    ShardResources { shard: number, config_map, stateful_set, disruption_budget }
}

fn secret(servers: &Servers<'_>) -> Secret {
    let files = [
        (USERS_KEY, users_xml::write(servers.database, servers.managed, servers.logins)),
        (CLUSTER_KEY, cluster_xml::write(servers)),
    ];
    Secret {
        metadata: metadata::shared(servers, managed::server_secret(servers.collector)),
        type_: Some("Opaque".to_owned()),
        data: Some(files.map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))).into()),
        ..Secret::default()
    }
}
