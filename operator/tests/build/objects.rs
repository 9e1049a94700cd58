//! What holds for every object that is built.

use crds::receiver::ReceiverConfig;
use crds::{Port, Transport};
use k8s_openapi::api::core::v1::Service;
use operator::collector::build::{
    APPLIED_HASH_ANNOTATION, BuildError, Built, RESTART_HASH_ANNOTATION, applied_hash, build, claim_name,
    must_be_replaced, note_applied_hash, object_name, pod_name, port_name,
};
use serde_json::Value;

use crate::{built, images, input};

const INPUTS: [&str; 3] = ["contract", "exposures", "minimal"];

fn objects(built: &Built) -> Vec<Value> {
    let mut objects = Vec::new();
    for one in &built.receivers {
        objects.push(serde_json::to_value(&one.config_map).unwrap());
        objects.push(serde_json::to_value(&one.service_account).unwrap());
        objects.push(serde_json::to_value(&one.service).unwrap());
        objects.push(serde_json::to_value(&one.stateful_set).unwrap());
        objects.push(serde_json::to_value(&one.disruption_budget).unwrap());
    }
    objects
}

#[test]
fn every_object_belongs_to_its_collector_and_carries_its_hash() {
    for name in INPUTS {
        let collector = input(name, "0.2.0");
        let built = built(&collector);
        assert_eq!(built, super::built(&collector), "the same input gives the same output");
        for mut object in objects(&built) {
            let metadata = &object["metadata"];
            let owner = &metadata["ownerReferences"][0];
            assert_eq!(owner["uid"], collector.uid.as_str());
            assert_eq!(owner["kind"], "QoeCollector");
            assert_eq!(
                (owner["controller"].as_bool(), owner["blockOwnerDeletion"].as_bool()),
                (Some(true), Some(true))
            );
            assert_eq!(metadata["namespace"], "qoe");
            let dpi: u16 = metadata["labels"]["qoeplane.io/dpi"].as_str().unwrap().parse().unwrap();
            assert_eq!(metadata["name"], object_name(&collector.name, dpi).as_str());
            assert_eq!(metadata["labels"]["qoeplane.io/collector"], collector.name.as_str());
            assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "qoeplane");
            assert_eq!(metadata["labels"]["app.kubernetes.io/name"], "qoe-receiver");
            let hash = metadata["annotations"][APPLIED_HASH_ANNOTATION].as_str().unwrap().to_owned();
            assert!(hash.starts_with("sha256:") && hash.len() == 71, "{hash}");
            object["metadata"]["annotations"][APPLIED_HASH_ANNOTATION] = "x".into();
            assert_ne!(applied_hash(&object), hash);
        }
    }
}

#[test]
fn the_hash_of_an_object_is_of_everything_but_itself() {
    let mut service = built(&input("minimal", "0.2.0")).receivers.swap_remove(0).service;
    let first = service.clone();
    note_applied_hash(&mut service);
    assert_eq!(service, first);
    service.spec.as_mut().unwrap().ports.as_mut().unwrap().pop();
    note_applied_hash(&mut service);
    assert_ne!(service.metadata.annotations, first.metadata.annotations);
}

#[test]
fn the_configuration_is_what_a_receiver_reads() {
    for name in INPUTS {
        let collector = input(name, "0.2.0");
        for one in built(&collector).receivers {
            let json = &one.config_map.data.as_ref().unwrap()["receiver.json"];
            assert_eq!(crds::receiver::hash_of(json.as_bytes()), one.config_hash);
            let config: ReceiverConfig = serde_json::from_str(json).unwrap();
            assert_eq!(config.restart_hash(), one.restart_hash);
            let template = &one.stateful_set.spec.as_ref().unwrap().template;
            let annotations = template.metadata.as_ref().unwrap().annotations.as_ref().unwrap();
            assert_eq!(annotations[RESTART_HASH_ANNOTATION], one.restart_hash);
            assert_eq!(config.dpis.len(), 1);
            assert_eq!(config.dpis[0].id, one.dpi);
            assert_eq!(config.version, "0.2.0");
        }
    }
}

#[test]
fn every_file_that_the_configuration_names_is_mounted() {
    for name in INPUTS {
        for one in built(&input(name, "0.2.0")).receivers {
            let config: ReceiverConfig =
                serde_json::from_str(&one.config_map.data.as_ref().unwrap()["receiver.json"]).unwrap();
            let pod = one.stateful_set.spec.unwrap().template.spec.unwrap();
            let mut files = vec![config.clickhouse.password_file];
            files.extend(config.clickhouse.ca_file);
            for stream in &config.dpis[0].streams {
                let Some(tls) = &stream.tls else { continue };
                files.extend([tls.certificate.clone(), tls.key.clone()]);
                files.extend(tls.client_ca.clone());
            }
            for file in files {
                let mounts = pod.containers[0].volume_mounts.as_deref().unwrap();
                let mount = mounts
                    .iter()
                    .find(|mount| file.parent() == Some(std::path::Path::new(&mount.mount_path)))
                    .unwrap_or_else(|| panic!("{} is not mounted", file.display()));
                let volume = pod.volumes.iter().flatten().find(|volume| volume.name == mount.name).unwrap();
                let items = volume.secret.as_ref().unwrap().items.as_deref().unwrap();
                assert!(items.iter().any(|item| file.ends_with(&item.path)), "{}", file.display());
            }
        }
    }
}

#[test]
fn names_stay_within_kubernetes_limits() {
    let mut collector = input("contract", "0.2.0");
    collector.name = "c".repeat(40);
    collector.spec.dpis[0].id = u16::MAX;
    collector.spec.dpis[0].streams[0].name = Some("s".repeat(63));
    collector.spec.dpis[0].streams[0].port = Port::new(65_535).unwrap();
    let one = &built(&collector).receivers[0];
    // The controller adds a hash of 10 characters to the name in a pod's label.
    assert!(one.name.len() + 11 <= 63);
    assert!(claim_name(&one.name).len() <= 63 && pod_name(&one.name).len() <= 63);
    assert!(port_name(u16::MAX, Transport::Tcp).len() <= 15);
    let pod = one.stateful_set.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let mut names = std::collections::HashSet::new();
    for volume in pod.volumes.iter().flatten() {
        assert!(volume.name.len() <= 63 && names.insert(&volume.name), "{}", volume.name);
    }
}

#[test]
fn the_status_port_is_not_for_streams_and_not_in_the_service() {
    let mut collector = input("minimal", "0.2.0");
    let ports = |service: &Service| -> Vec<i32> {
        service.spec.as_ref().unwrap().ports.iter().flatten().map(|port| port.port).collect()
    };
    assert_eq!(ports(&built(&collector).receivers[0].service), [1_500, 1_501]);
    collector.spec.dpis[0].streams[1].port = Port::new(9_400).unwrap();
    let error = build(&collector, &images()).unwrap_err();
    assert!(matches!(error, BuildError::StatusPortTaken { port: 9_400, .. }));
    assert_eq!(
        error.to_string(),
        "spec.dpis[0].streams[1].port: TCP port 9400 is the receiver's own, for its status and metrics; choose another"
    );
    collector.spec.dpis[0].streams[1].transport = Transport::Udp;
    assert!(build(&collector, &images()).is_ok());
}

#[test]
fn a_service_that_loses_or_gains_its_address_is_made_anew() {
    let service = built(&input("minimal", "0.2.0")).receivers.swap_remove(0).service;
    let headless = built(&input("exposures", "0.2.0")).receivers.swap_remove(0).service;
    let mut live = service.clone();
    live.spec.as_mut().unwrap().cluster_ip = Some("198.19.0.7".to_owned());
    assert!(!must_be_replaced(&live, &service));
    assert!(must_be_replaced(&live, &headless));
    assert!(must_be_replaced(&headless, &service));
    assert!(!must_be_replaced(&headless, &headless));
}

#[test]
fn what_is_not_done_yet_is_said() {
    let said: Vec<String> =
        built(&input("contract", "0.2.0")).notices.iter().map(ToString::to_string).collect();
    let export =
        "spec.dpis[0].streams[0].export: not yet: Fullflow on TCP port 1500 is stored but not sent on";
    assert!(said.contains(&export.to_owned()), "{said:#?}");
    assert!(!said.iter().any(|notice| notice.contains("tls")), "{said:#?}");
    assert!(built(&input("minimal", "0.2.0")).notices.is_empty());
}
