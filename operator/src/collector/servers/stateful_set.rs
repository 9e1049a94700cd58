//! The StatefulSet of one server: one replica, its volumes are its identity.

use crds::managed::{COLD, HOT, headless_name};
use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::resources::Servers;
use super::{labels, metadata, pod};

pub(super) fn build(servers: &Servers<'_>, shard: u32) -> StatefulSet {
    let retain = || Some("Retain".to_owned());
    let mut claims = vec![claim(servers, shard, HOT, servers.managed.hot())];
    claims.extend(servers.managed.cold().map(|cold| claim(servers, shard, COLD, cold)));
    StatefulSet {
        metadata: metadata::of_shard(servers, shard),
        spec: Some(StatefulSetSpec {
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: retain(),
                when_scaled: retain(),
            }),
            // Ordered, a broken pod would keep its own repair from being rolled out.
            pod_management_policy: Some("Parallel".to_owned()),
            replicas: Some(1),
            revision_history_limit: Some(2),
            selector: LabelSelector {
                match_labels: Some(labels::selector(servers.collector, shard)),
                ..LabelSelector::default()
            },
            service_name: Some(headless_name(servers.collector)),
            template: pod::template(servers, shard),
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

fn claim(
    servers: &Servers<'_>,
    shard: u32,
    name: &str,
    (size, class): (&str, Option<&str>),
) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels::of_shard(servers.collector, shard)),
            ..ObjectMeta::default()
        },
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
