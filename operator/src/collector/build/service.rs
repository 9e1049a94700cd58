//! The Service in front of a receiver: one port per stream, and never the port of metrics and status,
//! which is not for the DPIs' network. Without a cluster address where the DPI reaches the node itself.

use std::collections::BTreeMap;

use crds::dpi::{ExposureType, ServiceSpec, ServiceType};
use crds::receiver_of_dpi::Notes;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec as KubernetesServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Receiver, port_name, selector};

/// The value of `clusterIP` of a Service without an address.
const HEADLESS: &str = "None";

pub(super) fn build(receiver: &Receiver<'_>, notes: &mut Notes) -> Service {
    let mut metadata = receiver.metadata();
    let mut spec = KubernetesServiceSpec {
        ports: Some(ports(receiver)),
        selector: Some(selector(&receiver.collector.name, receiver.dpi.id)),
        ..KubernetesServiceSpec::default()
    };
    let wanted = receiver.spec().and_then(|spec| spec.exposure.as_ref()?.service.as_ref());
    match receiver.exposure() {
        ExposureType::Service => {
            let wanted = wanted.cloned().unwrap_or_default();
            metadata.annotations = annotations(&wanted);
            expose(receiver, &wanted, &mut spec, notes);
        }
        ExposureType::HostPort | ExposureType::HostNetwork => {
            spec.type_ = Some("ClusterIP".to_owned());
            spec.cluster_ip = Some(HEADLESS.to_owned());
            if wanted.is_some() {
                let path = receiver.path.field("receiver").field("exposure").field("service");
                notes.add(path, "has a meaning only for exposure.type Service, ignored");
            }
        }
    }
    Service { metadata, spec: Some(spec), ..Service::default() }
}

/// Whether the live Service has to be deleted before `wanted` can be applied: a cluster address cannot be
/// given or taken away later.
pub fn must_be_replaced(live: &Service, wanted: &Service) -> bool {
    let headless = |service: &Service| {
        let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
        address == Some(HEADLESS)
    };
    headless(live) != headless(wanted)
}

fn annotations(wanted: &ServiceSpec) -> Option<BTreeMap<String, String>> {
    (!wanted.annotations.is_empty()).then(|| wanted.annotations.clone())
}

fn expose(
    receiver: &Receiver<'_>,
    wanted: &ServiceSpec,
    spec: &mut KubernetesServiceSpec,
    notes: &mut Notes,
) {
    let (name, from_outside) = match wanted.service_type {
        ServiceType::ClusterIP => ("ClusterIP", false),
        ServiceType::NodePort => ("NodePort", true),
        ServiceType::LoadBalancer => ("LoadBalancer", true),
    };
    spec.type_ = Some(name.to_owned());
    if from_outside {
        // Keeps the DPI's address, by which sessions are told apart.
        spec.external_traffic_policy = Some("Local".to_owned());
    }
    if wanted.service_type == ServiceType::LoadBalancer {
        spec.load_balancer_class = wanted.load_balancer_class.clone();
    } else if wanted.load_balancer_class.is_some() {
        let path = receiver.path.field("receiver").field("exposure").field("service");
        let message = format!("has no meaning for type {name}, ignored");
        notes.add(path.field("loadBalancerClass"), message);
    }
}

fn ports(receiver: &Receiver<'_>) -> Vec<ServicePort> {
    let mut ports = Vec::new();
    for stream in &receiver.dpi.streams {
        let port = i32::from(stream.port.get());
        ports.push(ServicePort {
            name: Some(port_name(stream.port.get(), stream.transport)),
            port,
            protocol: Some(stream.transport.as_str().to_owned()),
            target_port: Some(IntOrString::Int(port)),
            ..ServicePort::default()
        });
    }
    ports.sort_by(|one, other| (one.port, &one.protocol).cmp(&(other.port, &other.protocol)));
    ports
}
