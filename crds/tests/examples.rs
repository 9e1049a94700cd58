//! Every example reads as it stands, and survives being written and read again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;

use crds::receiver::{ClickHouseTarget, ReceiverConfig, Status};
use crds::receiver_of_dpi::SecretFiles;
use crds::standalone::StandaloneOptions;
use crds::{Documents, QoeCollector, Transport, load};

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn example(name: &str) -> Documents {
    let text = std::fs::read_to_string(examples().join(name)).unwrap();
    load::documents(&text, name).unwrap_or_else(|errors| panic!("{errors}"))
}

fn options() -> StandaloneOptions {
    let clickhouse = ClickHouseTarget {
        url: "http://127.0.0.1:8123".to_owned(),
        user: "default".to_owned(),
        password_file: "password".into(),
        database: "qoestor".to_owned(),
        ca_file: None,
        further_shards: Vec::new(),
        closed_shards: Vec::new(),
    };
    StandaloneOptions::new("data".into(), "0.1.0".to_owned(), clickhouse)
}

#[test]
fn every_example_is_read_and_written_back() {
    let mut files = 0;
    for entry in std::fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        files += 1;
        let documents = example(path.file_name().unwrap().to_str().unwrap());
        assert_eq!(documents.collectors.len(), 1);
        for collector in &documents.collectors {
            let json = serde_json::to_string(collector).unwrap();
            assert_eq!(&serde_json::from_str::<QoeCollector>(&json).unwrap(), collector);
        }
    }
    assert_eq!(files, 3);
}

#[test]
fn dictionary_files_of_the_standalone_example_exist() {
    let documents = example("standalone.yaml");
    assert_eq!(documents.dictionaries.len(), 5);
    for dictionary in &documents.dictionaries {
        let file = dictionary.spec.source.file.as_deref().unwrap();
        assert!(examples().join(file).is_file(), "{file}");
    }
}

#[test]
fn standalone_receives_every_stream() {
    let documents = example("standalone.yaml");
    let (config, not_yet) = ReceiverConfig::from_collector(&documents.collectors[0], &options());
    let mut listeners = Vec::new();
    for dpi in &config.dpis {
        for stream in &dpi.streams {
            listeners.push((dpi.id, stream.name.clone(), stream.listen.to_string(), stream.transport));
        }
    }
    assert_eq!(
        listeners,
        [
            (0, "fullflow".to_owned(), "127.0.0.1:1500".to_owned(), Transport::Tcp),
            (0, "clickstream".to_owned(), "127.0.0.1:1501".to_owned(), Transport::Tcp),
            (0, "gtpflow".to_owned(), "127.0.0.1:1502".to_owned(), Transport::Tcp),
            (0, "natflow".to_owned(), "127.0.0.1:1503".to_owned(), Transport::Tcp),
            (1, "fullflow".to_owned(), "127.0.0.1:1510".to_owned(), Transport::Udp),
            (1, "clickstream".to_owned(), "127.0.0.1:1511".to_owned(), Transport::Udp),
        ]
    );
    assert_eq!(not_yet, []);
    assert_eq!((config.dpis[0].max_delay_ms, config.dpis[0].inserters), (1_000, 2));
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ReceiverConfig>(&json).unwrap(), config);
}

#[test]
fn the_full_example_is_understood_on_one_machine() {
    let documents = example("kubernetes.yaml");
    let missing = SecretFiles {
        missing: [("fullflow".to_owned(), "Secret receiver-tls is not in this file".to_owned())].into(),
        ..SecretFiles::default()
    };
    let options = StandaloneOptions { secrets: [(0, missing)].into(), ..options() };
    let (config, not_yet) = ReceiverConfig::from_collector(&documents.collectors[0], &options);
    // The TLS stream is left out: it must not be received in the clear.
    let names: Vec<&str> = config.dpis[0].streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["clickstream", "fullflow-v6"]);
    assert_eq!(config.dpis[0].journal.quota_bytes, 50 << 30);
    assert_eq!(config.dpis[0].inserters, 4);
    let fullflow = config.aggregates.fullflow.as_ref().unwrap();
    assert_eq!((fullflow.interval.minutes(), fullflow.keys.as_ref().unwrap().len()), (15, 9));
    assert_eq!(config.aggregates.natflow.as_ref().unwrap().keys.as_ref().unwrap()[2], "SourceIPv4");
    assert_eq!((config.aggregates.gtpflow, config.aggregates.dnsflow), (None, None));
    let lines: Vec<String> = not_yet.iter().map(ToString::to_string).collect();
    for expected in [
        "spec.dpis[0].streams[0].tls: Secret receiver-tls is not in this file: without TLS, Fullflow on TCP port 1500 is not \
         received",
        "spec.dpis[0].receiver.exposure: has no meaning on one machine, ignored",
        "spec.clickhouse.managed: read as embedded, with hot and cold directories",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:#?}");
    }
}

#[test]
fn listens_where_it_is_told() {
    let documents = example("standalone.yaml");
    let options = StandaloneOptions { listen: "::".parse().unwrap(), ..options() };
    let (config, _) = ReceiverConfig::from_collector(&documents.collectors[0], &options);
    assert_eq!(config.dpis[0].streams[0].listen.to_string(), "[::]:1500");
}

#[test]
fn a_status_is_written_and_read() {
    let status = Status { collector: "main".to_owned(), ..Status::default() };
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
}
