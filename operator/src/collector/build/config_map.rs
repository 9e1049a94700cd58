//! The ConfigMap with a receiver's configuration. The whole of it is mounted, so that the kubelet brings
//! changes to a running receiver. Must not hold anything secret.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crds::Transport;
use crds::receiver::{ClickHouseTarget, ReceiverConfig};
use crds::receiver_of_dpi::{Notes, Place, SecretFiles, dpi_config};
use k8s_openapi::api::core::v1::ConfigMap;

use super::{
    BuildError, CA_KEY, CLICKHOUSE_CA_DIR, CLICKHOUSE_DIR, CLIENT_CA_DIR, CONFIG_KEY, DATA_DIR, PASSWORD_KEY,
    Receiver, TLS_DIR,
};

/// Of the journal's volume: the rest is for the file system itself, checkpoints and cursors.
const QUOTA_PERCENT: u64 = 90;

/// The receiver's configuration.
pub(super) fn config(receiver: &Receiver<'_>, notes: &mut Notes) -> Result<ReceiverConfig, BuildError> {
    let Receiver { collector, dpi, path, .. } = receiver;
    let http_port = receiver.http_port();
    for (index, stream) in dpi.streams.iter().enumerate() {
        if stream.transport == Transport::Tcp && stream.port.get() == http_port {
            let path = path.field("streams").index(index).field("port");
            return Err(BuildError::StatusPortTaken { path, port: http_port });
        }
    }
    let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let place = Place {
        listen: any,
        // A pod does not start before its Secrets are there.
        secrets: SecretFiles {
            tls: TLS_DIR.into(),
            client_ca: CLIENT_CA_DIR.into(),
            missing: BTreeMap::new(),
        },
        quota_percent: QUOTA_PERCENT,
    };
    let mut dpi = dpi_config(path, dpi, &collector.spec.elements, &place, notes);
    // A list with keys may come back in another order: that is no reason for a restart.
    dpi.streams.sort_by(|one, other| one.name.cmp(&other.name));
    let nodes = collector.spec.nodes.as_ref();
    let clickhouse = &collector.clickhouse;
    Ok(ReceiverConfig {
        collector: format!("{}/{}", collector.namespace, collector.name),
        version: collector.version.clone(),
        data_dir: DATA_DIR.into(),
        http: SocketAddr::new(any, http_port),
        clickhouse: ClickHouseTarget {
            url: clickhouse.url.clone(),
            user: clickhouse.user.clone(),
            password_file: Path::new(CLICKHOUSE_DIR).join(PASSWORD_KEY),
            database: clickhouse.database.clone(),
            ca_file: clickhouse.ca_secret.as_ref().map(|_| Path::new(CLICKHOUSE_CA_DIR).join(CA_KEY)),
            further_shards: clickhouse.further_shards.clone(),
            closed_shards: clickhouse.closed_shards.clone(),
        },
        dpis: vec![dpi],
        cpu_features: nodes.map(|nodes| nodes.cpu_features.clone()).unwrap_or_default(),
        cpu_policy: nodes.map(|nodes| nodes.policy).unwrap_or_default(),
        enrichment: (&collector.spec.enrichment).into(),
        aggregates: (&collector.spec.tables).into(),
    })
}

/// The file, for machines and people.
pub(super) fn json(config: &ReceiverConfig) -> Result<String, BuildError> {
    let json = serde_json::to_string_pretty(config);
    let dpi = config.dpis.first().map_or(0, |dpi| dpi.id);
    json.map(|json| json + "\n").map_err(|source| BuildError::Json { dpi, source })
}

pub(super) fn build(receiver: &Receiver<'_>, json: String) -> ConfigMap {
    ConfigMap {
        metadata: receiver.metadata(),
        data: Some([(CONFIG_KEY.to_owned(), json)].into()),
        ..ConfigMap::default()
    }
}
