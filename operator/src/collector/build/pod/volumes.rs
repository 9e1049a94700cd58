//! The files of a receiver's pod: its configuration, ClickHouse's credentials, certificates. The journal's
//! volume is the StatefulSet's. Whole directories are mounted, so that what changes arrives without a
//! restart; the names of Secrets are part of the template.

use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, KeyToPath, SecretVolumeSource, Volume, VolumeMount};

use super::super::{
    CA_KEY, CLICKHOUSE_CA_DIR, CLICKHOUSE_DIR, CLIENT_CA_DIR, CONFIG_DIR, DATA_DIR, JOURNAL_VOLUME,
    PASSWORD_KEY, Receiver, TLS_DIR,
};

/// Readable by the pod's group only.
const SECRET_MODE: i32 = 0o440;

/// One Secret as a directory.
struct Directory<'a> {
    volume: String,
    secret: &'a str,
    keys: &'static [&'static str],
    path: String,
}

/// In an order that does not depend on the object's.
fn directories<'a>(receiver: &Receiver<'a>) -> Vec<Directory<'a>> {
    let clickhouse = &receiver.collector.clickhouse;
    let mut directories = vec![Directory {
        volume: "clickhouse".to_owned(),
        secret: &clickhouse.credentials_secret,
        keys: &[PASSWORD_KEY],
        path: CLICKHOUSE_DIR.to_owned(),
    }];
    if let Some(secret) = &clickhouse.ca_secret {
        directories.push(Directory {
            volume: "clickhouse-ca".to_owned(),
            secret,
            keys: &[CA_KEY],
            path: CLICKHOUSE_CA_DIR.to_owned(),
        });
    }
    let mut streams: Vec<_> = receiver.dpi.streams.iter().collect();
    streams.sort_by_key(|stream| stream.name());
    for stream in streams {
        let Some(tls) = &stream.tls else { continue };
        // A stream's name may be as long as a volume's: the port is short and as unique.
        let port = stream.port;
        directories.push(Directory {
            volume: format!("tls-{port}"),
            secret: &tls.certificate_secret_ref.name,
            keys: &["tls.crt", "tls.key"],
            path: format!("{TLS_DIR}/{}", stream.name()),
        });
        if let Some(ca) = &tls.client_ca_secret_ref {
            directories.push(Directory {
                volume: format!("client-ca-{port}"),
                secret: &ca.name,
                keys: &[CA_KEY],
                path: format!("{CLIENT_CA_DIR}/{}", stream.name()),
            });
        }
    }
    directories
}

pub(super) fn volumes(receiver: &Receiver<'_>) -> Vec<Volume> {
    let mut volumes = vec![Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: receiver.name(), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    }];
    for directory in directories(receiver) {
        let item = |key: &&str| KeyToPath { key: (*key).to_owned(), path: (*key).to_owned(), mode: None };
        volumes.push(Volume {
            name: directory.volume,
            secret: Some(SecretVolumeSource {
                secret_name: Some(directory.secret.to_owned()),
                items: Some(directory.keys.iter().map(item).collect()),
                default_mode: Some(SECRET_MODE),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        });
    }
    volumes
}

pub(super) fn mounts(receiver: &Receiver<'_>) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount(JOURNAL_VOLUME, DATA_DIR, false), mount("config", CONFIG_DIR, true)];
    for directory in directories(receiver) {
        mounts.push(mount(&directory.volume, &directory.path, true));
    }
    mounts
}
