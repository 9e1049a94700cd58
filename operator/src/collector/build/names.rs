//! Names of objects, labels, annotations, ports and files. All of them are part of what an upgrade must
//! not change: volumes and selectors are found by them.

use std::collections::BTreeMap;

use crds::Transport;

/// Label: the collector's name.
pub const COLLECTOR_LABEL: &str = "qoeplane.io/collector";
/// Label: the DPI's id.
pub const DPI_LABEL: &str = "qoeplane.io/dpi";
/// Label: what runs.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// Value of [`NAME_LABEL`].
pub const NAME: &str = "qoe-receiver";
/// Label: who made it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "qoeplane";
/// Selects everything that was made by an operator, of whatever collector.
pub const MANAGED_BY_SELECTOR: &str = "app.kubernetes.io/managed-by=qoeplane";
/// Label of pods.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Value of [`COMPONENT_LABEL`].
pub const COMPONENT: &str = "receiver";

/// Annotation of each object: hash of what was sent.
pub const APPLIED_HASH_ANNOTATION: &str = "qoeplane.io/applied-hash";
/// Annotation of the pod template: hash of the configuration's part that needs a restart.
pub const RESTART_HASH_ANNOTATION: &str = "qoeplane.io/restart-hash";

/// Labels of nodes by node-feature-discovery, followed by the name of the CPU feature; the value is
/// `true`.
pub const CPU_FEATURE_LABEL_PREFIX: &str = "feature.node.kubernetes.io/cpu-cpuid.";
/// Label of nodes: speed of the fastest network card in Mbit/s.
pub const NIC_SPEED_LABEL: &str = "qoeplane.io/nic-speed-mbps";

/// Name of the container.
pub const CONTAINER: &str = "receiver";
/// Name of the port of metrics, status and probes.
pub const HTTP_PORT_NAME: &str = "http";
/// That port, except in the node's network.
pub const HTTP_PORT: u16 = 9_400;
/// In the node's network, the port is one of this many from [`HTTP_PORT`] on, by the DPI's id.
pub const HOST_HTTP_PORTS: u16 = 400;

/// Key of the configuration in its ConfigMap, and name of the file.
pub const CONFIG_KEY: &str = "receiver.json";
/// Directory of the configuration.
pub const CONFIG_DIR: &str = "/etc/qoeplane/receiver";
/// Directory of ClickHouse's credentials.
pub const CLICKHOUSE_DIR: &str = "/etc/qoeplane/clickhouse";
/// Key of the password in its Secret, and name of the file.
pub const PASSWORD_KEY: &str = "password";
/// Directory of the authority that signed ClickHouse's certificate.
pub const CLICKHOUSE_CA_DIR: &str = "/etc/qoeplane/clickhouse-ca";
/// Key of an authority in its Secret, and name of the file.
pub const CA_KEY: &str = "ca.crt";
/// Directory of listeners' certificates, one directory per stream.
pub const TLS_DIR: &str = "/etc/qoeplane/tls";
/// Directory of the authorities that sign DPIs' certificates, one directory per stream.
pub const CLIENT_CA_DIR: &str = "/etc/qoeplane/client-ca";
/// Where the journal's volume is mounted.
pub const DATA_DIR: &str = "/var/lib/qoeplane";
/// Name of the volume claim template, with which the names of claims begin.
pub const JOURNAL_VOLUME: &str = "journal";

/// Name of all objects of one DPI.
pub fn object_name(collector: &str, dpi: u16) -> String {
    format!("{collector}-dpi-{dpi}")
}

/// Name of the claim of the only pod of the StatefulSet `object_name`.
pub fn claim_name(object_name: &str) -> String {
    format!("{JOURNAL_VOLUME}-{object_name}-0")
}

/// Name of the only pod of the StatefulSet `object_name`.
pub fn pod_name(object_name: &str) -> String {
    format!("{object_name}-0")
}

/// Name of a port, at most 15 characters.
pub fn port_name(port: u16, transport: Transport) -> String {
    match transport {
        Transport::Tcp => format!("p{port}-tcp"),
        Transport::Udp => format!("p{port}-udp"),
    }
}

/// Labels of everything that belongs to one DPI.
pub fn labels(collector: &str, dpi: u16) -> BTreeMap<String, String> {
    let mut labels = selector(collector, dpi);
    labels.insert(NAME_LABEL.to_owned(), NAME.to_owned());
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
    labels
}

/// Labels that select the pod of one DPI.
pub fn selector(collector: &str, dpi: u16) -> BTreeMap<String, String> {
    BTreeMap::from([
        (COLLECTOR_LABEL.to_owned(), collector.to_owned()),
        (DPI_LABEL.to_owned(), dpi.to_string()),
    ])
}
