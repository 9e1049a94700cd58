//! The pod template of a receiver. Any difference in it restarts the receiver, so it must depend on
//! nothing that a receiver can take over while it runs: that stands in the ConfigMap, and only the hash
//! of its other part stands here.
//!
//! The same object and the same version of receivers give the same bytes from every version of the
//! operator: `tests/golden/` holds the templates of each version. A template that has to look different
//! looks different only for receivers from the version on that needs it (compare `collector.version`);
//! a file of an earlier version is never changed.

mod volumes;

use crds::dpi::{ExposureType, ReceiverSpec};
use crds::pod::{Resources, TaintEffect, Toleration, TolerationOperator};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, LocalObjectReference, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    Toleration as KubernetesToleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::parts;
use super::{
    COMPONENT, COMPONENT_LABEL, CONFIG_DIR, CONFIG_KEY, CONTAINER, HTTP_PORT_NAME, RESTART_HASH_ANNOTATION,
    Receiver, affinity, labels, port_name,
};

/// User and group of the process; the image knows neither by name.
const ID: i64 = 10_001;

/// How long a receiver may take to end: DPIs that honour the end of a connection are waited for, then the
/// journal is forced to disk.
const GRACE_SECONDS: i64 = 60;

pub(super) fn template(receiver: &Receiver<'_>, restart_hash: &str) -> PodTemplateSpec {
    let mut labels = labels(&receiver.collector.name, receiver.dpi.id);
    labels.insert(COMPONENT_LABEL.to_owned(), COMPONENT.to_owned());
    let annotation = (RESTART_HASH_ANNOTATION.to_owned(), restart_hash.to_owned());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            annotations: Some([annotation].into()),
            labels: Some(labels),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(receiver)),
    }
}

fn pod(receiver: &Receiver<'_>) -> PodSpec {
    let spec = receiver.spec();
    let host_network = receiver.exposure() == ExposureType::HostNetwork;
    let node_selector = spec.map(|spec| spec.node_selector.clone()).unwrap_or_default();
    let tolerations = spec.map(|spec| spec.tolerations.as_slice()).unwrap_or_default();
    let priority = spec.and_then(|spec| spec.priority_class_name.clone());
    PodSpec {
        affinity: Some(affinity::build(receiver)),
        automount_service_account_token: Some(false),
        containers: vec![container(receiver)],
        dns_policy: host_network.then(|| "ClusterFirstWithHostNet".to_owned()),
        enable_service_links: Some(false),
        host_network: host_network.then_some(true),
        image_pull_secrets: pull_secrets(receiver),
        node_selector: (!node_selector.is_empty()).then(|| node_selector.into_iter().collect()),
        priority_class_name: priority.filter(|name| !name.is_empty()),
        security_context: Some(parts::pod_security(ID)),
        service_account_name: Some(receiver.name()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        tolerations: (!tolerations.is_empty()).then(|| tolerations.iter().map(toleration).collect()),
        volumes: Some(volumes::volumes(receiver)),
        ..PodSpec::default()
    }
}

fn container(receiver: &Receiver<'_>) -> Container {
    let images = receiver.images;
    // For the image's entry point, which is the program.
    let arguments = ["receiver", "--config", &format!("{CONFIG_DIR}/{CONFIG_KEY}")].map(str::to_owned);
    Container {
        name: CONTAINER.to_owned(),
        image: Some(format!("{}:{}", images.receiver_repository, receiver.collector.version)),
        image_pull_policy: Some(images.pull_policy.clone()),
        args: Some(arguments.into()),
        ports: Some(ports(receiver)),
        resources: receiver.spec().and_then(|spec| spec.resources.as_ref()).and_then(resources),
        security_context: Some(parts::container_security()),
        // Reads the journal's end first, which takes its time after a crash.
        startup_probe: Some(probe("/livez", 2, 300)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        readiness_probe: Some(probe("/readyz", 5, 2)),
        // The end of its log says why it does not start; that is shown in the collector's status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(volumes::mounts(receiver)),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    parts::probe(HTTP_PORT_NAME, path, period_seconds, failure_threshold)
}

fn ports(receiver: &Receiver<'_>) -> Vec<ContainerPort> {
    let mut ports = Vec::new();
    for stream in &receiver.dpi.streams {
        let port = i32::from(stream.port.get());
        ports.push(ContainerPort {
            name: Some(port_name(stream.port.get(), stream.transport)),
            container_port: port,
            host_port: (receiver.exposure() == ExposureType::HostPort).then_some(port),
            protocol: Some(stream.transport.as_str().to_owned()),
            ..ContainerPort::default()
        });
    }
    ports.sort_by(|one, other| {
        (one.container_port, &one.protocol).cmp(&(other.container_port, &other.protocol))
    });
    ports.push(ContainerPort {
        name: Some(HTTP_PORT_NAME.to_owned()),
        container_port: i32::from(receiver.http_port()),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    });
    ports
}

/// A container's resources in Kubernetes' words.
pub(in crate::collector) fn resources(wanted: &Resources) -> Option<ResourceRequirements> {
    let amounts = |amounts: &std::collections::BTreeMap<String, crds::Quantity>| {
        let amounts = amounts.iter();
        amounts.map(|(name, amount)| (name.clone(), Quantity(amount.as_str().to_owned()))).collect()
    };
    let Resources { requests, limits } = wanted;
    if requests.is_empty() && limits.is_empty() {
        return None;
    }
    Some(ResourceRequirements {
        requests: (!requests.is_empty()).then(|| amounts(requests)),
        limits: (!limits.is_empty()).then(|| amounts(limits)),
        ..ResourceRequirements::default()
    })
}

/// The DPI's own, then those of all pods, each once.
fn pull_secrets(receiver: &Receiver<'_>) -> Option<Vec<LocalObjectReference>> {
    let own = receiver.spec().map(|ReceiverSpec { image_pull_secrets, .. }| image_pull_secrets.as_slice());
    let own = own.unwrap_or_default().iter().map(|secret| &secret.name);
    let mut secrets: Vec<LocalObjectReference> = Vec::new();
    for name in own.chain(&receiver.images.pull_secrets) {
        if !secrets.iter().any(|secret| secret.name == *name) {
            secrets.push(LocalObjectReference { name: name.clone() });
        }
    }
    (!secrets.is_empty()).then_some(secrets)
}

fn toleration(wanted: &Toleration) -> KubernetesToleration {
    let Toleration { key, operator, value, effect, toleration_seconds } = wanted;
    let operator = operator.map(|operator| match operator {
        TolerationOperator::Exists => "Exists",
        TolerationOperator::Equal => "Equal",
    });
    let effect = effect.map(|effect| match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    });
    KubernetesToleration {
        key: key.clone(),
        operator: operator.map(str::to_owned),
        value: value.clone(),
        effect: effect.map(str::to_owned),
        toleration_seconds: *toleration_seconds,
    }
}
