//! Parts of objects that receivers and servers have in common: each runs as one restricted pod with volumes that are
//! its identity. What is written here stands in pod templates: a difference restarts everything.

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    Capabilities, HTTPGetAction, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSecurityContext,
    PodTemplateSpec, Probe, SeccompProfile, SecurityContext, VolumeResourceRequirements,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::build::{applied_hash, note_applied_hash};
use super::facts::TEMPLATE_HASH_ANNOTATION;

/// Labels.
type Labels = std::collections::BTreeMap<String, String>;

/// Earlier templates that are kept for `kubectl rollout undo`, which we would repair anyway.
const REVISIONS: i32 = 2;

/// A StatefulSet of one pod, whose claims outlive it.
pub fn stateful_set(
    metadata: ObjectMeta,
    selector: Labels,
    service: String,
    template: PodTemplateSpec,
    claims: Vec<PersistentVolumeClaim>,
) -> StatefulSet {
    let retain = || Some("Retain".to_owned());
    StatefulSet {
        metadata,
        spec: Some(StatefulSetSpec {
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: retain(),
                when_scaled: retain(),
            }),
            // Ordered, a broken pod would keep its own repair from being rolled out.
            pod_management_policy: Some("Parallel".to_owned()),
            replicas: Some(1),
            revision_history_limit: Some(REVISIONS),
            selector: selected(selector),
            service_name: Some(service),
            template,
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            volume_claim_templates: Some(claims),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

/// Notes on a StatefulSet which pod template it has: the API server's defaults hide that from a comparison.
pub fn note_template(stateful_set: &mut StatefulSet) {
    let hash = stateful_set.spec.as_ref().map(|spec| applied_hash(&spec.template));
    if let Some(hash) = hash {
        stateful_set.annotations_mut().insert(TEMPLATE_HASH_ANNOTATION.to_owned(), hash);
        note_applied_hash(stateful_set);
    }
}

/// A volume of a StatefulSet, for its one pod; `size` as Kubernetes writes it.
pub fn claim(name: &str, labels: Labels, size: &str, class: Option<&str>) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size.to_owned()))].into()),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: class.map(str::to_owned),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// There is one pod, and draining its node must be possible, also when the pod is broken.
pub fn disruption_budget(metadata: ObjectMeta, selector: Labels) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(selected(selector)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

fn selected(labels: Labels) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

/// The pod runs as this user and group, which its volumes belong to.
pub fn pod_security(id: i64) -> PodSecurityContext {
    PodSecurityContext {
        fs_group: Some(id),
        // Else every start walks the whole volume.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        run_as_group: Some(id),
        run_as_non_root: Some(true),
        run_as_user: Some(id),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// As the profile `restricted` of Kubernetes' pod security standards wants it, and a root that cannot be written.
pub fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// Asks a named port by HTTP; pauses in seconds.
pub fn probe(port: &str, path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}
