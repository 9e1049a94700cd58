//! The StatefulSet of one receiver. Exactly one replica: the journal is its identity.
//!
//! Everything but the pod template, the replicas and the update strategy is immutable in Kubernetes: what
//! is written here for a volume claim or a selector must stay so in all versions.

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::{JOURNAL_VOLUME, Receiver, labels, pod, selector};

/// Size of a journal's volume unless told otherwise.
const DEFAULT_SIZE: &str = "10Gi";

/// Earlier templates that are kept for `kubectl rollout undo`, which we would repair anyway.
const REVISIONS: i32 = 2;

pub(super) fn build(receiver: &Receiver<'_>, restart_hash: &str) -> StatefulSet {
    let retain = || Some("Retain".to_owned());
    StatefulSet {
        metadata: receiver.metadata(),
        spec: Some(StatefulSetSpec {
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: retain(),
                when_scaled: retain(),
            }),
            // Ordered, a broken pod would keep its own repair from being rolled out.
            pod_management_policy: Some("Parallel".to_owned()),
            replicas: Some(1),
            revision_history_limit: Some(REVISIONS),
            selector: LabelSelector {
                match_labels: Some(selector(&receiver.collector.name, receiver.dpi.id)),
                ..LabelSelector::default()
            },
            service_name: Some(receiver.name()),
            template: pod::template(receiver, restart_hash),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            volume_claim_templates: Some(vec![claim(receiver)]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn claim(receiver: &Receiver<'_>) -> PersistentVolumeClaim {
    let journal = receiver.spec().and_then(|spec| spec.journal.as_ref());
    let size = journal.and_then(|journal| journal.size.as_ref()).map_or(DEFAULT_SIZE, |size| size.as_str());
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(JOURNAL_VOLUME.to_owned()),
            labels: Some(labels(&receiver.collector.name, receiver.dpi.id)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size.to_owned()))].into()),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: journal.and_then(|journal| journal.storage_class_name.clone()),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
