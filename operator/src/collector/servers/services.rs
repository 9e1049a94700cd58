//! The two Services: one without an address, which gives each server a name, also while it is not ready (receivers
//! and the operator have to find out), and one for queries.

use crds::managed::{HTTP_PORT, TCP_PORT, headless_name, object_name};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::resources::Servers;
use super::{labels, metadata};

pub(super) fn headless(servers: &Servers<'_>) -> Service {
    Service {
        metadata: metadata::shared(servers, headless_name(servers.collector)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(labels::shared(servers.collector)),
            ports: Some(ports()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Any server answers for all, but needs all of them for it: one is enough for clients, and the first has everything
/// from the beginning.
pub(super) fn query(servers: &Servers<'_>) -> Service {
    Service {
        metadata: metadata::shared(servers, object_name(servers.collector)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(labels::selector(servers.collector, 0)),
            ports: Some(ports()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn ports() -> Vec<ServicePort> {
    [("http", HTTP_PORT), ("native", TCP_PORT)]
        .map(|(name, port)| ServicePort {
            name: Some(name.to_owned()),
            port: port.into(),
            protocol: Some("TCP".to_owned()),
            target_port: Some(IntOrString::String(name.to_owned())),
            ..ServicePort::default()
        })
        .into()
}
