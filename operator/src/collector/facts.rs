//! What is known of each receiver, put together from its objects, its pod and its own answer. Pure.

use std::collections::BTreeMap;

use crds::Dpi;
use crds::dpi::ExposureType;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, Service};
use kube::ResourceExt;

use super::build::{self, ReceiverResources};
use super::dereference::Found;
use super::receivers::Seen;
use super::roll::Receiver;
use super::status::ReceiverFacts;

/// Annotation of a StatefulSet: which pod template was sent.
pub const TEMPLATE_HASH_ANNOTATION: &str = "qoeplane.io/template-hash";

/// One receiver for `roll`.
pub fn for_roll(wanted: &ReceiverResources, live: Option<&StatefulSet>) -> Receiver {
    let current = live.is_some_and(|live| has_template(live, &wanted.stateful_set));
    Receiver {
        dpi: wanted.dpi,
        exists: live.is_some(),
        current,
        ready: live.is_some_and(is_settled),
        other_version: live.is_some_and(|live| image(live) != image(&wanted.stateful_set)),
    }
}

/// Whether the live one was sent with the wanted pod template.
pub fn has_template(live: &StatefulSet, wanted: &StatefulSet) -> bool {
    template_hash(live) == template_hash(wanted)
}

fn template_hash(stateful_set: &StatefulSet) -> Option<&String> {
    stateful_set.annotations().get(TEMPLATE_HASH_ANNOTATION)
}

/// The image of its one container.
pub fn image(stateful_set: &StatefulSet) -> Option<&String> {
    let pod = stateful_set.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.first()?.image.as_ref()
}

/// Its one pod is ready and made from the live template.
pub fn is_settled(live: &StatefulSet) -> bool {
    let Some(status) = &live.status else { return false };
    status.observed_generation == live.metadata.generation
        && status.ready_replicas == Some(1)
        && status.updated_replicas == Some(1)
}

/// What is reported of the receiver of `dpi`; `wanted` is absent when nothing is built.
pub fn of_dpi(
    collector: &str,
    dpi: &Dpi,
    wanted: Option<&ReceiverResources>,
    found: &Found,
    seen: &BTreeMap<u16, Seen>,
) -> ReceiverFacts {
    let name = build::object_name(collector, dpi.id);
    let live = found.owned.stateful_sets.get(&name);
    let seen = seen.get(&dpi.id);
    let pod = seen.and_then(|seen| seen.pod.as_ref());
    let serving = pod.is_some_and(is_ready);
    let current = match (wanted, live) {
        (Some(wanted), Some(live)) => for_roll(wanted, Some(live)).current,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    ReceiverFacts {
        dpi: dpi.id,
        name: dpi.name.clone(),
        pod: pod.map(ResourceExt::name_any),
        node: pod.and_then(|pod| pod.spec.as_ref()?.node_name.clone()),
        ready: current && serving && live.is_some_and(is_settled),
        serving,
        unscheduled: None,
        journal_lost: None,
        trouble: pod.and_then(trouble),
        addresses: addresses(dpi, found.owned.services.get(&name), pod),
        status: seen.and_then(|seen| seen.status.clone()),
    }
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The scheduler's words if the pod has no node.
pub fn unschedulable(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    (scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable"))
        .then(|| scheduled.message.clone().unwrap_or_default())
}

/// Why the container does not run: what the kubelet says of it.
pub fn trouble(pod: &Pod) -> Option<String> {
    let statuses: &[ContainerStatus] = pod.status.as_ref()?.container_statuses.as_deref()?;
    for status in statuses {
        let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let Some(waiting) = status.state.as_ref().and_then(|state| state.waiting.as_ref()) else { continue };
        let reason = waiting.reason.as_deref().unwrap_or("Waiting");
        if reason == "ContainerCreating" || reason == "PodInitializing" {
            continue;
        }
        let mut words = format!("pod {}: {reason}", pod.name_any());
        if let Some(message) = &waiting.message {
            words.push_str(&format!(": {message}"));
        }
        if let Some(message) = ended.and_then(|ended| ended.message.as_deref()) {
            words.push_str(&format!("; it said: {}", message.trim()));
        }
        return Some(words);
    }
    None
}

/// Where the DPI sends each stream.
fn addresses(dpi: &Dpi, service: Option<&Service>, pod: Option<&Pod>) -> Vec<(String, String)> {
    let exposure = dpi.receiver.as_ref().and_then(|receiver| receiver.exposure.as_ref());
    let host = match exposure.map(|exposure| exposure.exposure_type).unwrap_or_default() {
        ExposureType::Service => service.and_then(service_host),
        ExposureType::HostPort | ExposureType::HostNetwork => {
            pod.and_then(|pod| pod.status.as_ref()?.host_ip.clone())
        }
    };
    let Some(host) = host else { return Vec::new() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    dpi.streams
        .iter()
        .map(|stream| {
            (stream.name().to_owned(), format!("{host}:{}/{}", stream.port.get(), stream.transport.as_str()))
        })
        .collect()
}

fn service_host(service: &Service) -> Option<String> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()?.first());
    if let Some(host) = ingress.and_then(|ingress| ingress.ip.clone().or_else(|| ingress.hostname.clone())) {
        return Some(host);
    }
    let address = service.spec.as_ref()?.cluster_ip.clone()?;
    (!address.is_empty() && address != "None").then_some(address)
}
