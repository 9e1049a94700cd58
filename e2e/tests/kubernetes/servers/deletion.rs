//! The end of a collector with servers of its own: what stays, what goes.

use e2e::Simulator;
use e2e::cluster::{FIXED_STORAGE_CLASS, Managed, Scenario, wait_until};
use serde_json::json;

use super::{POD, collector, start_operator, uid, wait_rows};
use crate::support::{DEADLINE, address, wait_gone, wait_ready, wait_reason};

const CLAIMS: [&str; 3] = ["hot-main-clickhouse-0-0", "cold-main-clickhouse-0-0", "journal-main-dpi-0-0"];

/// Retain keeps the volumes, and a new object of the same name adopts them; Delete takes them away.
pub fn volumes_are_retained_then_deleted(scenario: &Scenario) {
    let _operator = start_operator(scenario);
    let mut object = collector();
    object["spec"]["clickhouse"]["managed"]["storage"]["hot"]["storageClassName"] =
        json!(FIXED_STORAGE_CLASS);
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let servers = Managed::of(scenario);
    let to = address(scenario, 0, 1500);
    let first = Simulator::start(&["--to", &to, "--records", "20000", "--seed", "1"]).finish(DEADLINE);
    wait_rows(&servers, first.records);
    let claims = || CLAIMS.map(|claim| uid(scenario, "pvc", claim));
    let before = claims();

    // A size that cannot be had: said, the rest of the object is done, and a new object takes it back.
    let as_it_was = object.clone();
    object["spec"]["clickhouse"]["managed"]["storage"]["hot"]["size"] = json!("3Gi");
    object["spec"]["clickhouse"]["managed"]["resources"]["requests"]["memory"] = json!("1200Mi");
    scenario.apply(&object.to_string());
    wait_until("the server with more memory", DEADLINE, || {
        let memory =
            scenario.get("pod", POD)?["spec"]["containers"][0]["resources"]["requests"]["memory"].clone();
        if memory == "1200Mi" { Ok(()) } else { Err(memory.to_string()) }
    });
    let message = wait_reason(scenario, "Ready", "ApplyFailed");
    assert!(message.contains("hot-main-clickhouse-0-0"), "{message}");
    object = as_it_was;
    let refused = scenario.try_apply(&object.to_string()).unwrap_err();
    assert!(refused.contains("shrink"), "{refused}");
    delete(scenario);
    assert_eq!(claims(), before);

    object["spec"]["deletionPolicy"] = json!("Delete");
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    assert_eq!(claims(), before, "volumes were not adopted");
    wait_rows(&servers, first.records);
    let to = address(scenario, 0, 1500);
    let second = Simulator::start(&["--to", &to, "--records", "20000", "--seed", "2"]).finish(DEADLINE);
    wait_rows(&servers, first.records + second.records);
    delete(scenario);
    for claim in CLAIMS {
        wait_gone(scenario, claim);
    }
}

/// Deletes the collector and waits until no pod is left.
fn delete(scenario: &Scenario) {
    scenario.kubectl(&["delete", "qoecollector", "main", "--timeout=180s"]).unwrap();
    wait_until("the end of all pods", DEADLINE, || {
        let pods = scenario.list("pods", "qoeplane.io/collector=main")?;
        if pods.is_empty() { Ok(()) } else { Err(format!("{} pods", pods.len())) }
    });
}
