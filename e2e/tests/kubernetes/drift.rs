//! Somebody edits or deletes what belongs to a collector, in the cluster or in the database: it comes back,
//! and a person is told.

use e2e::Simulator;
use e2e::cluster::{ClickHouse, Scenario, wait_until};
use serde_json::json;

use crate::support::{
    DEADLINE, address, collector, dpi, events, pod_lives, start_operator, wait_ready, wait_rows,
};

const NAME: &str = "main-dpi-0";

/// Each owned object deleted, then edited; a table and a column dropped.
pub fn what_was_changed_by_hand_comes_back(scenario: &Scenario) {
    let clickhouse = ClickHouse::start(scenario);
    let _operator = start_operator(scenario);
    scenario.apply(&collector(&clickhouse, json!([dpi(0, 1500, "TCP")])).to_string());
    wait_ready(scenario);

    let edits = [
        ("configmap", r#"{"data": {"receiver.json": "{}"}}"#),
        ("service", r#"{"spec": {"selector": {"somebody": "else"}}}"#),
        ("serviceaccount", r#"{"automountServiceAccountToken": true}"#),
        ("poddisruptionbudget", r#"{"spec": {"maxUnavailable": 0}}"#),
        ("statefulset", r#"{"spec": {"replicas": 3}}"#),
    ];
    for (kind, edit) in edits {
        let wanted = essence(scenario, kind);
        scenario.kubectl(&["patch", kind, NAME, "--type=merge", "-p", edit]).unwrap();
        wait_until(&format!("the edited {kind} to be repaired"), DEADLINE, || {
            let found = essence(scenario, kind);
            if found == wanted { Ok(()) } else { Err(found) }
        });
        wait_until(&format!("an event about the edited {kind}"), DEADLINE, || told_of(scenario, kind, 1));
        let uid = scenario.get(kind, NAME).unwrap()["metadata"]["uid"].clone();
        scenario.kubectl(&["delete", kind, NAME, "--wait=false"]).unwrap();
        wait_until(&format!("the deleted {kind} to come back"), DEADLINE, || {
            let object = scenario.get(kind, NAME)?;
            let back = object["metadata"]["uid"] != uid && essence(scenario, kind) == wanted;
            if back { Ok(()) } else { Err(object.to_string()) }
        });
        wait_until(&format!("an event about the deleted {kind}"), DEADLINE, || told_of(scenario, kind, 2));
    }
    wait_ready(scenario);

    // The StatefulSet had three pods for a moment, and then there was another in its place: its one pod is to be there.
    wait_until("one pod of the StatefulSet that is there now", DEADLINE, || {
        let owner = scenario.get("statefulset", NAME)?["metadata"]["uid"].clone();
        let pods = scenario.list("pods", "qoeplane.io/collector=main")?;
        let is_its_own = |pod: &serde_json::Value| {
            let metadata = &pod["metadata"];
            metadata["ownerReferences"][0]["uid"] == owner && metadata["deletionTimestamp"].is_null()
        };
        if pods.len() == 1 && pods.iter().all(is_its_own) { Ok(()) } else { Err(format!("{pods:?}")) }
    });
    wait_ready(scenario);
    let lives = pod_lives(scenario);
    clickhouse.query("DROP TABLE qoestor.natflow SYNC");
    clickhouse.query("ALTER TABLE qoestor.fullflow DROP COLUMN host");
    wait_until("the table and the column to come back", DEADLINE, || {
        let found = clickhouse.query(
            "SELECT count() FROM system.columns WHERE database = 'qoestor' AND (table = 'natflow' AND name = 'dpi_id' OR table = 'fullflow' AND name = 'host')",
        );
        if found.trim() == "2" { Ok(()) } else { Err(found) }
    });
    wait_until("an event about the schema", DEADLINE, || {
        let events = events(scenario);
        if events.contains("CreateTable natflow") && events.contains("AddColumn fullflow.host") {
            Ok(())
        } else {
            Err(events)
        }
    });
    wait_ready(scenario);
    let to = address(scenario, 0, 1500);
    let sent = Simulator::start(&["--to", &to, "--records", "20000"]).finish(DEADLINE);
    wait_rows(&clickhouse, "fullflow", 0, sent.records);
    assert_eq!(pod_lives(scenario), lives, "a receiver was restarted for a table");
}

/// What we want of an object: everything but what the cluster writes.
fn essence(scenario: &Scenario, kind: &str) -> String {
    let Ok(mut object) = scenario.get(kind, NAME) else { return String::from("not there") };
    let Some(fields) = object.as_object_mut() else { return String::new() };
    fields.remove("status");
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for written in ["resourceVersion", "uid", "creationTimestamp", "managedFields", "generation"] {
            metadata.remove(written);
        }
    }
    if let Some(spec) = object["spec"].as_object_mut() {
        for written in ["clusterIP", "clusterIPs"] {
            spec.remove(written);
        }
    }
    object.to_string()
}

/// Whether `DriftRepaired` was reported for a kind at least so many times.
fn told_of(scenario: &Scenario, kind: &str, times: usize) -> Result<(), String> {
    let all = scenario.list("events.v1.events.k8s.io", "")?;
    let mut count = 0;
    for event in &all {
        let note = event["note"].as_str().unwrap_or_default().to_lowercase();
        if event["reason"] == "DriftRepaired" && note.contains(&format!("{kind} {NAME}")) {
            count += event["series"]["count"].as_u64().unwrap_or(1);
        }
    }
    if count >= times as u64 { Ok(()) } else { Err(events(scenario)) }
}
