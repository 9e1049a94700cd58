//! What one collector becomes on Kubernetes: for each DPI a StatefulSet of one receiver, a Service, a
//! ConfigMap, a ServiceAccount and a PodDisruptionBudget. One file per built resource.
//!
//! Pure: the same object, version and images always give the same bytes, whatever the cluster holds. The
//! pod template must not depend on what a receiver takes over while it runs; see `pod`.

mod affinity;
mod config_map;
mod error;
mod names;
mod pod;
mod service;
mod service_account;
mod stateful_set;

use crds::Dpi;
use crds::dpi::{ExposureType, ReceiverSpec};
use crds::receiver::hash_of;
use crds::receiver_of_dpi::{NotYet, Notes, note_collector};
use crds::validate::FieldPath;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use serde::Serialize;

pub use error::BuildError;
pub use names::*;
pub(super) use pod::resources;
pub use service::must_be_replaced;

use super::parts;
use super::validated::{Images, Validated};

/// Everything that a collector becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// One per DPI, in the order of the object.
    pub receivers: Vec<ReceiverResources>,
    /// What the object asks for and this version does not do, for people.
    pub notices: Vec<NotYet>,
}

/// What one DPI becomes. All objects have the same name.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiverResources {
    /// The DPI's id.
    pub dpi: u16,
    /// Name of each object.
    pub name: String,
    /// `sha256:` of the bytes of `receiver.json`; a receiver reports the hash of what it has loaded.
    pub config_hash: String,
    /// Hash of the part of the configuration that needs a restart.
    pub restart_hash: String,
    /// Holds `receiver.json`.
    pub config_map: ConfigMap,
    /// Has no rights: it keeps the namespace's default account out of the pod.
    pub service_account: ServiceAccount,
    /// The way in.
    pub service: Service,
    /// The receiver.
    pub stateful_set: StatefulSet,
    /// Lets drains of nodes go on.
    pub disruption_budget: PodDisruptionBudget,
}

/// Builds all objects of a collector.
///
/// # Errors
/// A receiver could not run as it is asked to; the object has to be changed.
pub fn build(collector: &Validated, images: &Images) -> Result<Built, BuildError> {
    let mut notes = Notes::default();
    let spec = FieldPath::root().field("spec");
    let mut receivers = Vec::new();
    for (index, dpi) in collector.spec.dpis.iter().enumerate() {
        let path = spec.field("dpis").index(index);
        receivers.push(one(&Receiver { collector, images, dpi, path }, &mut notes)?);
    }
    note_collector(&spec, &collector.spec, &mut notes);
    Ok(Built { receivers, notices: notes.0 })
}

fn one(receiver: &Receiver<'_>, notes: &mut Notes) -> Result<ReceiverResources, BuildError> {
    let config = config_map::config(receiver, notes)?;
    let json = config_map::json(&config)?;
    let config_hash = hash_of(json.as_bytes());
    let restart_hash = config.restart_hash();
    let mut config_map = config_map::build(receiver, json);
    let mut service_account = service_account::build(receiver);
    let mut service = service::build(receiver, notes);
    let mut stateful_set = stateful_set::build(receiver, &restart_hash);
    let selector = selector(&receiver.collector.name, receiver.dpi.id);
    let mut disruption_budget = parts::disruption_budget(receiver.metadata(), selector);
    note_applied_hash(&mut config_map);
    note_applied_hash(&mut service_account);
    note_applied_hash(&mut service);
    note_applied_hash(&mut stateful_set);
    note_applied_hash(&mut disruption_budget);
    Ok(ReceiverResources {
        dpi: receiver.dpi.id,
        name: receiver.name(),
        config_hash,
        restart_hash,
        config_map,
        service_account,
        service,
        stateful_set,
        disruption_budget,
    })
}

/// The collector as the owner of what is made for it.
pub fn owner_reference(collector: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: crds::API_VERSION.to_owned(),
        kind: crds::collector::KIND.to_owned(),
        name: collector.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The hash of an object as it is sent: `sha256:` of its JSON.
pub fn applied_hash(object: &impl Serialize) -> String {
    // Types of Kubernetes have only text as keys: they always serialize.
    hash_of(&serde_json::to_vec(object).unwrap_or_default())
}

/// Writes the hash of an object, without that hash, into its annotation. To be called again by whoever
/// changes a built object.
pub fn note_applied_hash<K: kube::Resource + Serialize>(object: &mut K) {
    object.annotations_mut().remove(APPLIED_HASH_ANNOTATION);
    let hash = applied_hash(object);
    object.annotations_mut().insert(APPLIED_HASH_ANNOTATION.to_owned(), hash);
}

/// What the files of this module work from.
struct Receiver<'a> {
    collector: &'a Validated,
    images: &'a Images,
    dpi: &'a Dpi,
    /// Where the DPI stands in the object.
    path: FieldPath,
}

impl<'a> Receiver<'a> {
    fn name(&self) -> String {
        object_name(&self.collector.name, self.dpi.id)
    }

    fn spec(&self) -> Option<&'a ReceiverSpec> {
        self.dpi.receiver.as_ref()
    }

    fn exposure(&self) -> ExposureType {
        let exposure = self.spec().and_then(|spec| spec.exposure.as_ref());
        exposure.map(|exposure| exposure.exposure_type).unwrap_or_default()
    }

    /// Port of `/metrics`, `/status` and the probes. In the node's network several receivers must find
    /// room side by side.
    fn http_port(&self) -> u16 {
        match self.exposure() {
            ExposureType::HostNetwork => HTTP_PORT + self.dpi.id % HOST_HTTP_PORTS,
            ExposureType::Service | ExposureType::HostPort => HTTP_PORT,
        }
    }

    /// Name, labels and owner that all objects have.
    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name()),
            namespace: Some(self.collector.namespace.clone()),
            labels: Some(labels(&self.collector.name, self.dpi.id)),
            owner_references: Some(vec![owner_reference(&self.collector.name, &self.collector.uid)]),
            ..ObjectMeta::default()
        }
    }
}
