//! The pod template of a server. Any difference in it restarts the server: it depends on the object and the image
//! alone, and what can change while a server runs stands in files that are mounted.

use crds::managed::{COLD, HOT, HTTP_PORT, TCP_PORT, object_name, server_name, server_secret};
use k8s_openapi::api::core::v1::{
    Affinity, ConfigMapProjection, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, KeyToPath,
    LocalObjectReference, PodAffinityTerm, PodAntiAffinity, PodSpec, PodTemplateSpec, Probe,
    ProjectedVolumeSource, SecretProjection, SecretVolumeSource, Volume, VolumeMount, VolumeProjection,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::super::build::{COMPONENT_LABEL, resources};
use super::super::parts;
use super::labels;
use super::resources::{CLUSTER_KEY, SERVER_KEY, Servers, USERS_KEY};
use super::server_xml::{COLD_DIR, HOT_DIR};

/// User and group of ClickHouse in its own image.
const ID: i64 = 101;
/// How long a server may take to end: inserts are waited for, then everything is written.
const GRACE_SECONDS: i64 = 120;
/// Readable by the pod's group only.
const SECRET_MODE: i32 = 0o440;
/// Directories of files that are merged into the image's configuration.
const CONFIG_DIR: &str = "/etc/clickhouse-server/config.d";
const USERS_DIR: &str = "/etc/clickhouse-server/users.d";
const LOG_DIR: &str = "/var/log/clickhouse-server";

pub(super) fn template(servers: &Servers<'_>, shard: u32) -> PodTemplateSpec {
    let mut labels = labels::of_shard(servers.collector, shard);
    labels.insert(COMPONENT_LABEL.to_owned(), "clickhouse".to_owned());
    let pull_secrets: Vec<LocalObjectReference> =
        servers.images.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            affinity: Some(apart(servers)),
            automount_service_account_token: Some(false),
            containers: vec![container(servers)],
            enable_service_links: Some(false),
            image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
            security_context: Some(parts::pod_security(ID)),
            service_account_name: Some(object_name(servers.collector)),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            volumes: Some(volumes(servers, shard)),
            ..PodSpec::default()
        }),
    }
}

/// Servers of a collector share no node if that can be had.
fn apart(servers: &Servers<'_>) -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: PodAffinityTerm {
                    topology_key: "kubernetes.io/hostname".to_owned(),
                    label_selector: Some(LabelSelector {
                        match_labels: Some(labels::shared(servers.collector)),
                        ..LabelSelector::default()
                    }),
                    ..PodAffinityTerm::default()
                },
            }]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

fn container(servers: &Servers<'_>) -> Container {
    let images = servers.images;
    let port = |name: &str, port: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: port.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: "clickhouse".to_owned(),
        image: Some(servers.image.to_owned()),
        image_pull_policy: Some(images.pull_policy.clone()),
        // The image's start would write a user of its own into a directory that is ours.
        env: Some(vec![EnvVar {
            name: "CLICKHOUSE_SKIP_USER_SETUP".to_owned(),
            value: Some("1".to_owned()),
            value_from: None,
        }]),
        ports: Some(vec![port("http", HTTP_PORT), port("native", TCP_PORT)]),
        resources: resources(&servers.managed.resources()),
        security_context: Some(parts::container_security()),
        // Loads what there is of every part first.
        startup_probe: Some(ping(2, 900)),
        liveness_probe: Some(ping(20, 9)),
        readiness_probe: Some(ping(5, 2)),
        // The end of its log says why it does not start; that is shown in the collector's status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts(servers)),
        ..Container::default()
    }
}

fn ping(period_seconds: i32, failure_threshold: i32) -> Probe {
    parts::probe("http", "/ping", period_seconds, failure_threshold)
}

fn mounts(servers: &Servers<'_>) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount(HOT, HOT_DIR, false)];
    mounts.extend(servers.managed.cold().map(|_| mount(COLD, COLD_DIR, false)));
    mounts.extend([
        mount("config", CONFIG_DIR, true),
        mount("users", USERS_DIR, true),
        mount("tmp", "/tmp", false),
        mount("log", LOG_DIR, false),
    ]);
    mounts
}

fn volumes(servers: &Servers<'_>, shard: u32) -> Vec<Volume> {
    let item = |key: &str| KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None };
    let secret = server_secret(servers.collector);
    let empty = |name: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let config = ProjectedVolumeSource {
        default_mode: Some(SECRET_MODE),
        sources: Some(vec![
            VolumeProjection {
                config_map: Some(ConfigMapProjection {
                    name: server_name(servers.collector, shard),
                    items: Some(vec![item(SERVER_KEY)]),
                    optional: None,
                }),
                ..VolumeProjection::default()
            },
            VolumeProjection {
                secret: Some(SecretProjection {
                    name: secret.clone(),
                    items: Some(vec![item(CLUSTER_KEY)]),
                    optional: None,
                }),
                ..VolumeProjection::default()
            },
        ]),
    };
    let users = SecretVolumeSource {
        secret_name: Some(secret),
        items: Some(vec![item(USERS_KEY)]),
        default_mode: Some(SECRET_MODE),
        ..SecretVolumeSource::default()
    };
    vec![
        Volume { name: "config".to_owned(), projected: Some(config), ..Volume::default() },
        Volume { name: "users".to_owned(), secret: Some(users), ..Volume::default() },
        empty("tmp"),
        empty("log"),
    ]
}
