//! Which changes of an object restart receivers: all that a receiver takes over while it runs leave the
//! StatefulSet as it is, byte by byte, in every combination.

use crds::collector::{DeletionPolicy, UpgradePolicy};
use crds::dpi::{Fsync, Journal, OnVolumeLost, ReceiverSpec, ServiceType, Tuning};
use crds::enrichment::RttUnit;
use crds::{CustomElement, ElementType, Port, StreamType, Transport};
use operator::collector::validated::Validated;

use crate::{built, input};

type Change = (&'static str, fn(&mut Validated));

fn receiver(collector: &mut Validated) -> &mut ReceiverSpec {
    collector.spec.dpis[0].receiver.as_mut().unwrap()
}

fn journal(collector: &mut Validated) -> &mut Journal {
    receiver(collector).journal.as_mut().unwrap()
}

fn tuning(collector: &mut Validated) -> &mut Tuning {
    receiver(collector).tuning.as_mut().unwrap()
}

const HOT: [Change; 13] = [
    ("tables", |c| c.spec.tables.fullflow.get_or_insert_default().keep_for = Some("48h".parse().unwrap())),
    ("enrichment", |c| c.spec.enrichment.rtt_unit = RttUnit::Microseconds),
    ("policies", |c| {
        c.spec.upgrade_policy = UpgradePolicy::Manual;
        c.spec.deletion_policy = DeletionPolicy::Delete;
        c.spec.approvals.push("sha256:00".to_owned());
        c.spec.time_zone = None;
        journal(c).on_volume_lost = OnVolumeLost::Recreate;
    }),
    ("clickhouse.external.endpoints", |c| c.clickhouse.url = "https://other:8443".to_owned()),
    ("the user in the Secret", |c| c.clickhouse.user = "other".to_owned()),
    ("dpis.name", |c| c.spec.dpis[0].name = Some("renamed".to_owned())),
    ("streams.allowFrom", |c| c.spec.dpis[0].streams[0].allow_from.clear()),
    ("the order of streams", |c| c.spec.dpis[0].streams.reverse()),
    ("journal.fsync", |c| {
        journal(c).fsync = Fsync::Always;
        journal(c).fsync_interval = Some("5s".parse().unwrap());
    }),
    ("journal.keepAfterCommit", |c| journal(c).keep_after_commit = None),
    ("tuning.maxDelay", |c| tuning(c).max_delay = Some("3s".parse().unwrap())),
    ("exposure.service", |c| {
        let service = receiver(c).exposure.as_mut().unwrap().service.as_mut().unwrap();
        service.service_type = ServiceType::NodePort;
        service.annotations.insert("example.org/pool".to_owned(), "south".to_owned());
    }),
    ("another DPI", |c| c.spec.dpis.truncate(1)),
];

const COLD: [Change; 22] = [
    ("version", |c| c.version = "0.2.1".to_owned()),
    ("streams.name", |c| c.spec.dpis[0].streams[1].name = Some("clicks".to_owned())),
    ("streams.type", |c| c.spec.dpis[0].streams[1].stream_type = StreamType::DnsFlow),
    ("streams.port", |c| c.spec.dpis[0].streams[1].port = Port::new(1502).unwrap()),
    ("streams.transport", |c| c.spec.dpis[0].streams[2].transport = Transport::Tcp),
    ("streams.tls", |c| c.spec.dpis[0].streams[0].tls = None),
    ("streams.tls.clientCASecretRef", |c| {
        c.spec.dpis[0].streams[0].tls.as_mut().unwrap().client_ca_secret_ref = None;
    }),
    ("streams.domains", |c| c.spec.dpis[0].streams[0].domains.clear()),
    ("a stream less", |c| drop(c.spec.dpis[0].streams.remove(1))),
    ("clickhouse.database", |c| c.clickhouse.database = "other".to_owned()),
    ("clickhouse.external.credentialsSecretRef", |c| {
        c.clickhouse.credentials_secret = "other".to_owned();
    }),
    ("clickhouse.external.tls", |c| c.clickhouse.ca_secret = None),
    ("tuning.inserters", |c| tuning(c).inserters = Some(1)),
    ("resources", |c| receiver(c).resources = None),
    ("nodeSelector", |c| receiver(c).node_selector.clear()),
    ("tolerations", |c| receiver(c).tolerations.clear()),
    ("priorityClassName", |c| receiver(c).priority_class_name = Some("high".to_owned())),
    ("imagePullSecrets", |c| receiver(c).image_pull_secrets[0].name = "third".to_owned()),
    ("nodes", |c| c.spec.nodes = None),
    ("exposure.type", |c| {
        receiver(c).exposure.as_mut().unwrap().exposure_type = crds::dpi::ExposureType::HostPort;
    }),
    ("a small journal has smaller segments", |c| journal(c).size = Some("64Mi".parse().unwrap())),
    ("elements", |c| {
        c.spec.elements.push(CustomElement {
            stream: StreamType::Clickstream,
            id: 1,
            pen: 2,
            name: "own".to_owned(),
            element_type: ElementType::String,
            column: "own".to_owned(),
        });
    }),
];

/// The StatefulSet's spec of the first DPI, as it is sent.
fn spec(collector: &Validated) -> String {
    serde_json::to_string(&built(collector).receivers[0].stateful_set.spec).unwrap()
}

fn template(collector: &Validated) -> String {
    let spec = built(collector).receivers.swap_remove(0).stateful_set.spec.unwrap();
    serde_json::to_string(&spec.template).unwrap()
}

#[test]
fn what_a_receiver_takes_over_restarts_none() {
    let original = input("contract", "0.2.0");
    let wanted = spec(&original);
    for combination in 1_u32..1 << HOT.len() {
        let mut changed = original.clone();
        let mut names = Vec::new();
        for (number, (name, change)) in HOT.iter().enumerate() {
            if combination & 1 << number != 0 {
                change(&mut changed);
                names.push(name);
            }
        }
        assert_ne!(changed, original, "{names:?} changes nothing");
        assert_eq!(spec(&changed), wanted, "{names:?}");
    }
}

#[test]
fn what_a_receiver_cannot_take_over_restarts_it() {
    let original = input("contract", "0.2.0");
    for (name, change) in COLD {
        let mut changed = original.clone();
        change(&mut changed);
        assert_ne!(template(&changed), template(&original), "{name}");
    }
}

/// A larger journal is another claim, and the same pod.
#[test]
fn a_larger_journal_restarts_none() {
    let original = input("contract", "0.2.0");
    let mut changed = original.clone();
    journal(&mut changed).size = Some("100Gi".parse().unwrap());
    assert_eq!(template(&changed), template(&original));
    assert_ne!(spec(&changed), spec(&original));
    assert_ne!(built(&changed).receivers[0].config_hash, built(&original).receivers[0].config_hash);
}

#[test]
fn other_dpis_stay_as_they_are() {
    let original = input("contract", "0.2.0");
    for (name, change) in COLD {
        if ["version", "nodes"].contains(&name) || name.starts_with("clickhouse") {
            continue;
        }
        let mut changed = original.clone();
        change(&mut changed);
        assert_eq!(built(&changed).receivers[1], built(&original).receivers[1], "{name}");
    }
}
