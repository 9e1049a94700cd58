//! What a collector becomes, without a cluster: golden files, and which change restarts a receiver.
//!
//! `golden/{version}/` holds the specs of StatefulSets for receivers of that version. They are never changed
//! once the version is released: a difference would restart every receiver when the operator is upgraded,
//! or could not be applied at all. A new version gets a folder of its own. `golden/all/` holds everything
//! else, which may change with the operator; `golden/servers/` is explained in `build/servers.rs`. `INSTA_UPDATE=always cargo test -p operator --test build`
//! writes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "build/golden.rs"]
mod golden;
#[path = "build/objects.rs"]
mod objects;
#[path = "build/restarts.rs"]
mod restarts;
#[path = "build/servers.rs"]
mod servers;

use std::path::PathBuf;

use crds::ClickHouseKind;
use crds::QoeCollector;
use operator::collector::build::{Built, build};
use operator::collector::validated::{ClickHouseEndpoint, Images, Validated};

fn golden_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// An object of `golden/input/`, checked as the operator would have checked it.
fn input(name: &str, version: &str) -> Validated {
    let file = format!("{name}.yaml");
    let text = std::fs::read_to_string(golden_dir().join("input").join(&file)).unwrap();
    let documents = crds::load::documents(&text, &file).unwrap_or_else(|errors| panic!("{errors}"));
    validated(&documents.collectors[0], version)
}

fn validated(collector: &QoeCollector, version: &str) -> Validated {
    let Some(ClickHouseKind::External(external)) = collector.spec.clickhouse.kind() else {
        panic!("golden files need an external ClickHouse");
    };
    let ca = external.tls.as_ref().and_then(|tls| tls.ca_secret_ref.as_ref());
    Validated {
        name: collector.metadata.name.clone(),
        namespace: collector.metadata.namespace.clone().unwrap(),
        uid: "00000000-0000-4000-8000-000000000001".to_owned(),
        version: version.to_owned(),
        clickhouse: ClickHouseEndpoint {
            url: external.endpoints[0].clone(),
            further_shards: Vec::new(),
            closed_shards: Vec::new(),
            user: "qoe".to_owned(),
            database: collector.spec.clickhouse.database.clone(),
            credentials_secret: external.credentials_secret_ref.name.clone(),
            ca_secret: ca.map(|secret| secret.name.clone()),
        },
        spec: collector.spec.clone(),
    }
}

fn images() -> Images {
    Images {
        receiver_repository: "registry.example.org/qoeplane/qoe".to_owned(),
        clickhouse: "clickhouse/clickhouse-server:26.7".to_owned(),
        pull_policy: "IfNotPresent".to_owned(),
        pull_secrets: vec!["registry".to_owned(), "mirror".to_owned()],
    }
}

fn built(collector: &Validated) -> Built {
    build(collector, &images()).unwrap_or_else(|error| panic!("{error}"))
}
