//! The configuration file and those that it names, read and checked as a whole: either everything in them can
//! be used, or nothing is. Changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crds::Network;
use crds::receiver::{ClickHouseTarget, ReceiverConfig, StreamConfig};
use serde_json::Value;

use crate::cpu;
use crate::insert::Access;
use crate::listen::TlsError;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file.
    #[error("{what} {path} cannot be read: {source}")]
    Read {
        /// Which.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The configuration file's content.
    #[error("{path} is not a receiver's configuration: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        source: serde_json::Error,
    },
    /// The way to ClickHouse.
    #[error("clickhouse: {0}")]
    ClickHouse(#[from] schema::ConnectError),
    /// A listener.
    #[error("dpi {dpi} {stream}: {problem}")]
    Stream {
        /// The DPI.
        dpi: u16,
        /// The stream.
        stream: String,
        /// What is wrong.
        problem: String,
    },
    /// A listener's TLS.
    #[error("dpi {dpi} {stream}: {source}")]
    Tls {
        /// The DPI.
        dpi: u16,
        /// The stream.
        stream: String,
        /// What is wrong.
        source: TlsError,
    },
    /// A CPU feature.
    #[error(transparent)]
    Cpu(#[from] cpu::UnknownFeature),
}

/// The configuration in a file's bytes, and the names of what was not understood: a newer program may say
/// more than we know.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<(ReceiverConfig, Vec<String>), ConfigError> {
    let mut unknown = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_ignored::deserialize(&mut reader, |field| unknown.push(field.to_string()))
        .and_then(|config| reader.end().map(|()| config));
    let config = parsed.map_err(|source| ConfigError::Json { path: path.to_path_buf(), source })?;
    Ok((config, unknown))
}

/// The bytes of the configuration file.
pub fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let error = |source| ConfigError::Read { what: "the configuration", path: path.to_path_buf(), source };
    fs::read(path).map_err(error)
}

/// How each server is reached, in the order of their numbers: what the configuration says, and the files it
/// names.
pub fn accesses(clickhouse: &ClickHouseTarget) -> Result<Vec<Access>, ConfigError> {
    let ClickHouseTarget { user, password_file, ca_file, .. } = clickhouse;
    let password = fs::read_to_string(password_file).map_err(|source| ConfigError::Read {
        what: "the password file",
        path: password_file.clone(),
        source,
    })?;
    let ca = match ca_file {
        None => None,
        Some(path) => Some(fs::read(path).map_err(|source| ConfigError::Read {
            what: "the CA file of ClickHouse",
            path: path.clone(),
            source,
        })?),
    };
    let access = |url: &str| Access {
        url: url.to_string(),
        user: user.clone(),
        password: password.trim().to_string(),
        ca: ca.clone(),
    };
    Ok(clickhouse.shards().map(access).collect())
}

/// The networks of every listener, by DPI and stream.
pub fn networks(config: &ReceiverConfig) -> Result<BTreeMap<(u16, String), Vec<Network>>, ConfigError> {
    let mut found = BTreeMap::new();
    for dpi in &config.dpis {
        for stream in &dpi.streams {
            found.insert((dpi.id, stream.name.clone()), networks_of(dpi.id, stream)?);
        }
    }
    Ok(found)
}

fn networks_of(dpi: u16, stream: &StreamConfig) -> Result<Vec<Network>, ConfigError> {
    let parse = |text: &String| {
        text.parse::<Network>().map_err(|error| ConfigError::Stream {
            dpi,
            stream: stream.name.clone(),
            problem: format!("allowFrom: {error}"),
        })
    };
    stream.allow_from.iter().map(parse).collect()
}

/// Where the parts of two configurations differ that take a restart, as `dpis[0].streams[0].listen`.
pub fn restart_differences(running: &ReceiverConfig, wanted: &ReceiverConfig) -> Vec<String> {
    let [running, wanted] =
        [running, wanted].map(|config| serde_json::to_value(config.restart_part()).unwrap_or_default());
    let mut found = Vec::new();
    differences("", &running, &wanted, &mut found);
    found
}

fn differences(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let [one, other] = [one, other].map(|fields| fields.get(name).unwrap_or(&Value::Null));
                differences(&path, one, other, found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differences(&format!("{path}[{index}]"), one, other, found);
            }
        }
        _ if one == other => {}
        _ => found.push(path.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
        "collector": "main", "version": "0.2.0", "data_dir": "/data", "http": "[::]:9400", "newer": {"a": 1},
        "clickhouse": {"url": "http://127.0.0.1:8123", "user": "qoe", "password_file": "/p", "database": "d"},
        "dpis": [{
            "id": 3, "max_delay_ms": 1000, "inserters": 2,
            "journal": {"quota_bytes": 1, "segment_bytes": 2, "fsync": "Interval", "fsync_interval_ms": 3,
                        "keep_after_commit_ms": 4},
            "streams": [{"name": "fullflow", "stream": "Fullflow", "listen": "[::]:1500", "transport": "TCP",
                         "allow_from": ["198.18.0.0/15"], "newest": true}]
        }]
    }"#;

    fn parsed() -> (ReceiverConfig, Vec<String>) {
        parse(Path::new("receiver.json"), TEXT.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let (config, unknown) = parsed();
        assert_eq!(unknown, ["newer", "dpis.0.streams.0.newest"]);
        assert_eq!(config.dpis[0].streams[0].allow_from, ["198.18.0.0/15"]);
        for wrong in ["", "{}", "{\"collector\": 1}", &format!("{TEXT} x"), &TEXT.replace("TCP", "SCTP")] {
            let error = parse(Path::new("receiver.json"), wrong.as_bytes()).unwrap_err();
            assert!(
                error.to_string().starts_with("receiver.json is not a receiver's configuration"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_takes_a_restart_is_named() {
        let (running, _) = parsed();
        let mut wanted = running.clone();
        wanted.dpis[0].max_delay_ms = 5;
        wanted.dpis[0].streams[0].allow_from.clear();
        assert!(restart_differences(&running, &wanted).is_empty());
        wanted.dpis[0].streams[0].listen.set_port(1);
        wanted.dpis[0].inserters = 7;
        assert_eq!(
            restart_differences(&running, &wanted),
            ["dpis[0].inserters", "dpis[0].streams[0].listen"]
        );
        wanted.dpis.clear();
        assert_eq!(restart_differences(&running, &wanted), ["dpis"]);
    }

    #[test]
    fn networks_must_be_ones() {
        let (mut config, _) = parsed();
        assert_eq!(networks(&config).unwrap().len(), 1);
        config.dpis[0].streams[0].allow_from.push("198.18.0.1".to_string());
        let error = networks(&config).unwrap_err().to_string();
        assert!(error.starts_with("dpi 3 fullflow: allowFrom: "), "{error}");
    }
}
