//! Finds everything that a collector names or owns. The only step that reads; it judges nothing. A
//! Secret's content stays in here and in the ClickHouse client.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};

use crds::QoeCollectorSpec;
use crds::clickhouse::ClickHouseKind;
use crds::managed;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::build::{self, COLLECTOR_LABEL, DPI_LABEL, MANAGED_BY_SELECTOR, NAME_LABEL};
use super::servers::passwords::{self, Passwords};
use super::servers::{self, Login, SHARD_LABEL};
use crate::context::Context;

/// Everything that was found.
pub struct Found {
    /// What receivers consist of, by name.
    pub owned: Owned,
    /// Pods of its receivers.
    pub pods: Vec<Pod>,
    /// Journals, also those of DPIs that are not wanted any more.
    pub claims: Vec<PersistentVolumeClaim>,
    /// What ClickHouse servers consist of that we run, by name.
    pub servers: Owned,
    /// Pods of these servers.
    pub server_pods: Vec<Pod>,
    /// Their volumes, also those of servers that are not wanted any more.
    pub server_claims: Vec<PersistentVolumeClaim>,
    /// Their users and cluster.
    pub server_secret: Option<Secret>,
    /// Who may log in to them.
    pub passwords: Option<Passwords>,
    /// How we log in to ClickHouse.
    pub clickhouse: Option<Credentials>,
    /// References that lead nowhere.
    pub missing: Vec<Missing>,
}

/// Owned objects by name.
#[derive(Default)]
pub struct Owned {
    /// Receivers.
    pub stateful_sets: BTreeMap<String, StatefulSet>,
    /// Ways to them.
    pub services: BTreeMap<String, Service>,
    /// Their configurations.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// Who they are.
    pub service_accounts: BTreeMap<String, ServiceAccount>,
    /// What a drain may do to them.
    pub budgets: BTreeMap<String, PodDisruptionBudget>,
}

/// A login.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name.
    pub user: String,
    /// Password.
    pub password: String,
    /// PEM of the authority that is trusted instead of the system's.
    pub ca: Option<Vec<u8>>,
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A reference that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The field that names it.
    pub path: String,
    /// What is missing, in words.
    pub message: String,
}

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read or made: {source}")]
pub struct ReadError {
    what: String,
    source: Box<kube::Error>,
}

impl ReadError {
    /// What failed, in words, and the API server's answer.
    pub fn new(what: String, source: kube::Error) -> ReadError {
        ReadError { what, source: Box::new(source) }
    }
}

/// Reads everything.
///
/// # Errors
/// The API server does not answer. What does not exist is no error.
pub async fn dereference(
    context: &Context,
    namespace: &str,
    name: &str,
    spec: &QoeCollectorSpec,
) -> Result<Found, ReadError> {
    // The StatefulSet controller labels claims by its selector only.
    let (receivers, receiver_claims) =
        (of(name, build::NAME), format!("{COLLECTOR_LABEL}={name},{DPI_LABEL}"));
    let (servers, of_servers) = (of(name, servers::NAME), format!("{COLLECTOR_LABEL}={name},{SHARD_LABEL}"));
    let (owned, pods, claims, servers, server_pods, server_claims) = futures::try_join!(
        owned(context, namespace, &receivers),
        list::<Pod>(context, namespace, &receivers),
        list::<PersistentVolumeClaim>(context, namespace, &receiver_claims),
        owned(context, namespace, &servers),
        list::<Pod>(context, namespace, &servers),
        list::<PersistentVolumeClaim>(context, namespace, &of_servers),
    )?;
    let mut missing = Vec::new();
    let (mut passwords, mut server_secret) = (None, None);
    let clickhouse = match spec.clickhouse.kind() {
        Some(ClickHouseKind::Managed(managed)) => {
            passwords = passwords::read(context, namespace, name, managed, &mut missing).await?;
            server_secret = optional_secret(context, namespace, &managed::server_secret(name)).await?;
            passwords.as_ref().and_then(Passwords::admin).map(of_admin)
        }
        _ => credentials(context, namespace, name, spec, &mut missing).await?,
    };
    find_listeners_secrets(context, namespace, spec, &mut missing).await?;
    Ok(Found {
        owned,
        pods,
        claims,
        servers,
        server_pods,
        server_claims,
        server_secret,
        passwords,
        clickhouse,
        missing,
    })
}

/// Selects what we have made of this kind for a collector.
fn of(collector: &str, what: &str) -> String {
    format!("{MANAGED_BY_SELECTOR},{COLLECTOR_LABEL}={collector},{NAME_LABEL}={what}")
}

async fn owned(context: &Context, namespace: &str, selector: &str) -> Result<Owned, ReadError> {
    let (stateful_sets, services, config_maps, service_accounts, budgets) = futures::try_join!(
        list::<StatefulSet>(context, namespace, selector),
        list::<Service>(context, namespace, selector),
        list::<ConfigMap>(context, namespace, selector),
        list::<ServiceAccount>(context, namespace, selector),
        list::<PodDisruptionBudget>(context, namespace, selector),
    )?;
    Ok(Owned {
        stateful_sets: by_name(stateful_sets),
        services: by_name(services),
        config_maps: by_name(config_maps),
        service_accounts: by_name(service_accounts),
        budgets: by_name(budgets),
    })
}

fn of_admin(login: &Login) -> Credentials {
    Credentials { user: login.name.clone(), password: login.password.clone(), ca: None }
}

/// Our login, and the authority of an external ClickHouse; `None` with an entry in `missing` if a Secret or a key of
/// it is not there.
///
/// # Errors
/// The API server does not answer.
pub async fn credentials(
    context: &Context,
    namespace: &str,
    name: &str,
    spec: &QoeCollectorSpec,
    missing: &mut Vec<Missing>,
) -> Result<Option<Credentials>, ReadError> {
    let external = match spec.clickhouse.kind() {
        Some(ClickHouseKind::External(external)) => external,
        Some(ClickHouseKind::Managed(_)) => {
            let admin = passwords::read_admin(context, namespace, name, missing).await?;
            return Ok(admin.as_ref().map(of_admin));
        }
        Some(ClickHouseKind::Embedded(_)) | None => return Ok(None),
    };
    let before = missing.len();
    let path = "spec.clickhouse.external.credentialsSecretRef";
    let name = &external.credentials_secret_ref.name;
    let login = secret(context, namespace, name, path, &["username", "password"], missing).await?;
    let mut ca = None;
    if let Some(reference) = external.tls.as_ref().and_then(|tls| tls.ca_secret_ref.as_ref()) {
        let path = "spec.clickhouse.external.tls.caSecretRef";
        let found = secret(context, namespace, &reference.name, path, &["ca.crt"], missing).await?;
        ca = found.and_then(|mut found| found.remove("ca.crt"));
    }
    let Some(mut login) = login.filter(|_| missing.len() == before) else { return Ok(None) };
    let mut text = |key: &str| {
        let bytes = login.remove(key).unwrap_or_default();
        String::from_utf8(bytes).map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    Ok(Some(Credentials { user: text("username"), password: text("password"), ca }))
}

/// A pod whose Secret is not there hangs without saying why: looked for before.
async fn find_listeners_secrets(
    context: &Context,
    namespace: &str,
    spec: &QoeCollectorSpec,
    missing: &mut Vec<Missing>,
) -> Result<(), ReadError> {
    for (dpi_index, dpi) in spec.dpis.iter().enumerate() {
        for (index, stream) in dpi.streams.iter().enumerate() {
            let Some(tls) = &stream.tls else { continue };
            let path = format!("spec.dpis[{dpi_index}].streams[{index}].tls");
            let certificate = format!("{path}.certificateSecretRef");
            let keys = ["tls.crt", "tls.key"];
            secret(context, namespace, &tls.certificate_secret_ref.name, &certificate, &keys, missing)
                .await?;
            if let Some(client_ca) = &tls.client_ca_secret_ref {
                let path = format!("{path}.clientCASecretRef");
                secret(context, namespace, &client_ca.name, &path, &["ca.crt"], missing).await?;
            }
        }
    }
    Ok(())
}

/// A Secret by name, with the keys that it must have; never listed or watched.
///
/// # Errors
/// The API server does not answer. What is not there is noted in `missing`.
pub async fn secret(
    context: &Context,
    namespace: &str,
    name: &str,
    path: &str,
    keys: &[&str],
    missing: &mut Vec<Missing>,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, ReadError> {
    let Some(found) = optional_secret(context, namespace, name).await? else {
        let message = format!("Secret {name} does not exist in namespace {namespace}");
        missing.push(Missing { path: path.to_owned(), message });
        return Ok(None);
    };
    let data: BTreeMap<String, Vec<u8>> =
        found.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    for key in keys {
        if data.get(*key).is_none_or(Vec::is_empty) {
            let message = format!("Secret {name} has no key {key}, or an empty one");
            missing.push(Missing { path: path.to_owned(), message });
        }
    }
    Ok(Some(data))
}

async fn optional_secret(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<Secret>, ReadError> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    api.get_opt(name).await.map_err(|source| ReadError::new(format!("Secret {name}"), source))
}

/// Objects of one namespace by labels.
///
/// # Errors
/// The API server does not answer.
pub async fn list<K>(context: &Context, namespace: &str, selector: &str) -> Result<Vec<K>, ReadError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    let found = api.list(&ListParams::default().labels(selector)).await;
    match found {
        Ok(found) => Ok(found.items),
        Err(source) => Err(ReadError::new(K::plural(&()).into_owned(), source)),
    }
}

fn by_name<K: ResourceExt>(objects: Vec<K>) -> BTreeMap<String, K> {
    objects.into_iter().map(|object| (object.name_any(), object)).collect()
}
