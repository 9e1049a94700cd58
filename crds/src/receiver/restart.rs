//! Which part of a configuration a running receiver cannot change. Whoever runs receivers restarts them
//! when the hash of this part changes, and a receiver compares with it what it finds in its file. Both
//! ask here, so that they cannot disagree; must stay a pure function of the configuration.

use std::path::PathBuf;

use super::{
    ClickHouseTarget, DpiConfig, EnrichmentConfig, JournalConfig, ReceiverConfig, StreamConfig, TlsConfig,
    hash_of,
};
use crate::collector::NodePolicy;
use crate::dpi::Fsync;

impl ReceiverConfig {
    /// A copy in which everything is blank that can be changed without a restart. Not a configuration
    /// that a receiver could run with.
    pub fn restart_part(&self) -> ReceiverConfig {
        // Every field is named: whoever adds one has to decide here.
        let ReceiverConfig {
            collector,
            version: _,
            data_dir,
            http,
            clickhouse,
            dpis,
            cpu_features: _,
            cpu_policy: _,
            enrichment,
            aggregates,
        } = self;
        let ClickHouseTarget {
            url: _,
            user: _,
            password_file: _,
            database,
            ca_file: _,
            further_shards: _,
            closed_shards: _,
        } = clickhouse;
        ReceiverConfig {
            collector: collector.clone(),
            // A receiver of another version is another process anyway.
            version: String::new(),
            data_dir: data_dir.clone(),
            http: *http,
            clickhouse: ClickHouseTarget {
                url: String::new(),
                user: String::new(),
                password_file: PathBuf::new(),
                database: database.clone(),
                ca_file: None,
                further_shards: Vec::new(),
                closed_shards: Vec::new(),
            },
            dpis: dpis.iter().map(dpi).collect(),
            cpu_features: Vec::new(),
            cpu_policy: NodePolicy::default(),
            // Another reader of the journals; everything else about enrichment changes on the way.
            enrichment: EnrichmentConfig {
                nat_from_fullflow: enrichment.nat_from_fullflow,
                ..EnrichmentConfig::default()
            },
            // Groups that are half gathered by one set of keys cannot go on by another.
            aggregates: aggregates.clone(),
        }
    }

    /// `sha256:` and the hash of [`ReceiverConfig::restart_part`] as JSON.
    pub fn restart_hash(&self) -> String {
        // Fails only for paths that are not UTF-8, which no JSON file can have brought.
        hash_of(&serde_json::to_vec(&self.restart_part()).unwrap_or_default())
    }
}

fn dpi(config: &DpiConfig) -> DpiConfig {
    let DpiConfig { id, name: _, streams, journal, max_delay_ms: _, inserters, flush_interval_ms: _ } =
        config;
    let JournalConfig {
        quota_bytes: _,
        segment_bytes,
        fsync: _,
        fsync_interval_ms: _,
        keep_after_commit_ms: _,
    } = *journal;
    DpiConfig {
        id: *id,
        name: None,
        streams: streams.iter().map(stream).collect(),
        journal: JournalConfig {
            quota_bytes: 0,
            segment_bytes,
            fsync: Fsync::default(),
            fsync_interval_ms: 0,
            keep_after_commit_ms: 0,
        },
        max_delay_ms: 0,
        inserters: *inserters,
        flush_interval_ms: None,
    }
}

fn stream(config: &StreamConfig) -> StreamConfig {
    let StreamConfig { name, stream, listen, transport, allow_from: _, tls, domains, elements } = config;
    StreamConfig {
        name: name.clone(),
        stream: *stream,
        listen: *listen,
        transport: *transport,
        allow_from: Vec::new(),
        // The paths; what the files hold is looked at all the time.
        tls: tls.as_ref().map(|TlsConfig { certificate, key, client_ca }| TlsConfig {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: client_ca.clone(),
        }),
        domains: domains.clone(),
        elements: elements.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrichment::{CustomElement, ElementType};
    use crate::receiver::{AggregatesConfig, Aggregation};
    use crate::stream::{Domain, StreamType, Transport};

    fn config() -> ReceiverConfig {
        ReceiverConfig {
            collector: "main".to_owned(),
            version: "0.2.0".to_owned(),
            data_dir: "/data".into(),
            http: "[::]:9400".parse().unwrap(),
            clickhouse: ClickHouseTarget {
                url: "https://clickhouse:8443".to_owned(),
                user: "qoe".to_owned(),
                password_file: "/password".into(),
                database: "qoestor".to_owned(),
                ca_file: Some("/ca.crt".into()),
                further_shards: vec!["https://clickhouse-1:8443".to_owned()],
                closed_shards: vec![1],
            },
            dpis: vec![DpiConfig {
                id: 3,
                name: Some("north".to_owned()),
                streams: vec![StreamConfig {
                    name: "fullflow".to_owned(),
                    stream: StreamType::Fullflow,
                    listen: "[::]:1500".parse().unwrap(),
                    transport: Transport::Tcp,
                    allow_from: vec!["198.18.0.0/15".to_owned()],
                    tls: Some(TlsConfig {
                        certificate: "/tls.crt".into(),
                        key: "/tls.key".into(),
                        client_ca: Some("/client.crt".into()),
                    }),
                    domains: vec![Domain { id: 7, dpi: 4 }],
                    elements: Vec::new(),
                }],
                journal: JournalConfig::default(),
                max_delay_ms: 1_000,
                inserters: 2,
                flush_interval_ms: None,
            }],
            cpu_features: vec!["SSE42".to_owned()],
            cpu_policy: NodePolicy::Require,
            enrichment: EnrichmentConfig::default(),
            aggregates: AggregatesConfig::default(),
        }
    }

    type Change = (&'static str, fn(&mut ReceiverConfig));

    #[test]
    fn what_is_taken_over_leaves_the_hash_alone() {
        let changes: [Change; 18] = [
            ("version", |c| c.version.clear()),
            ("url", |c| c.clickhouse.url.clear()),
            ("user", |c| c.clickhouse.user.clear()),
            ("password_file", |c| c.clickhouse.password_file.push("other")),
            ("ca_file", |c| c.clickhouse.ca_file = None),
            ("further_shards", |c| c.clickhouse.further_shards.clear()),
            ("closed_shards", |c| c.clickhouse.closed_shards.clear()),
            ("name", |c| c.dpis[0].name = None),
            ("max_delay_ms", |c| c.dpis[0].max_delay_ms = 5),
            ("flush_interval_ms", |c| c.dpis[0].flush_interval_ms = Some(5)),
            ("quota_bytes", |c| c.dpis[0].journal.quota_bytes = 5),
            ("fsync", |c| c.dpis[0].journal.fsync = Fsync::Always),
            ("fsync_interval_ms", |c| c.dpis[0].journal.fsync_interval_ms = 5),
            ("keep_after_commit_ms", |c| c.dpis[0].journal.keep_after_commit_ms = 5),
            ("allow_from", |c| c.dpis[0].streams[0].allow_from.clear()),
            ("all of allow_from", |c| c.dpis[0].streams[0].allow_from.push("::/0".to_owned())),
            ("cpu_features", |c| c.cpu_features.clear()),
            ("cpu_policy", |c| c.cpu_policy = NodePolicy::Ignore),
        ];
        for (name, change) in changes {
            let mut changed = config();
            change(&mut changed);
            assert_ne!(changed, config(), "{name}");
            assert_eq!(changed.restart_hash(), config().restart_hash(), "{name}");
        }
    }

    #[test]
    fn what_takes_a_restart_changes_the_hash() {
        let changes: [Change; 18] = [
            ("collector", |c| c.collector.clear()),
            ("aggregates", |c| c.aggregates.natflow = Some(Aggregation::default())),
            ("data_dir", |c| c.data_dir.push("other")),
            ("http", |c| c.http.set_port(1)),
            ("database", |c| c.clickhouse.database.clear()),
            ("dpis", |c| c.dpis.clear()),
            ("id", |c| c.dpis[0].id = 4),
            ("inserters", |c| c.dpis[0].inserters = 4),
            ("segment_bytes", |c| c.dpis[0].journal.segment_bytes = 5),
            ("streams", |c| c.dpis[0].streams.clear()),
            ("stream's name", |c| c.dpis[0].streams[0].name.clear()),
            ("stream", |c| c.dpis[0].streams[0].stream = StreamType::NatFlow),
            ("listen", |c| c.dpis[0].streams[0].listen.set_port(1)),
            ("transport", |c| c.dpis[0].streams[0].transport = Transport::Udp),
            ("tls", |c| c.dpis[0].streams[0].tls = None),
            ("client_ca", |c| c.dpis[0].streams[0].tls.as_mut().unwrap().client_ca = None),
            ("domains", |c| c.dpis[0].streams[0].domains.clear()),
            ("elements", |c| {
                c.dpis[0].streams[0].elements.push(CustomElement {
                    stream: StreamType::Fullflow,
                    id: 1,
                    pen: 2,
                    name: "own".to_owned(),
                    element_type: ElementType::String,
                    column: "own".to_owned(),
                });
            }),
        ];
        for (name, change) in changes {
            let mut changed = config();
            change(&mut changed);
            assert_ne!(changed.restart_hash(), config().restart_hash(), "{name}");
        }
    }

    #[test]
    fn fields_of_a_newer_program_are_ignored() {
        let mut json = serde_json::to_value(config()).unwrap();
        for place in
            ["", "/clickhouse", "/dpis/0", "/dpis/0/journal", "/dpis/0/streams/0", "/dpis/0/streams/0/tls"]
        {
            json.pointer_mut(place).unwrap()["of_a_newer_version"] = 1.into();
        }
        assert_eq!(serde_json::from_value::<ReceiverConfig>(json).unwrap(), config());
    }

    #[test]
    fn new_fields_are_left_out_when_they_have_their_default() {
        let mut config = config();
        config.clickhouse.ca_file = None;
        config.clickhouse.further_shards.clear();
        config.clickhouse.closed_shards.clear();
        config.cpu_features.clear();
        config.cpu_policy = NodePolicy::default();
        let json = serde_json::to_string(&config).unwrap();
        for name in ["ca_file", "further_shards", "closed_shards", "cpu_features", "cpu_policy"] {
            assert!(!json.contains(name), "{json}");
        }
        assert_eq!(serde_json::from_str::<ReceiverConfig>(&json).unwrap(), config);
    }

    #[test]
    fn the_hash_is_the_same_in_every_version() {
        // From `printf abc | sha256sum`.
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_of(b"abc"), abc);
    }
}
