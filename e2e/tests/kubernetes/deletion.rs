//! The end of a collector: what stays, what goes, and that nothing holds it for ever.

use e2e::Simulator;
use e2e::cluster::{ClickHouse, Scenario, wait_until};
use serde_json::{Value, json};

use crate::support::{
    DEADLINE, address, collector, dpi, events, start_operator, wait_gone, wait_ready, wait_rows,
};

/// Retain keeps journal and tables, and a new object of the same name adopts them; Delete takes both away.
pub fn retained_then_deleted(scenario: &Scenario) {
    let clickhouse = ClickHouse::start(scenario);
    let _operator = start_operator(scenario);
    let mut object = collector(&clickhouse, json!([dpi(0, 1500, "TCP")]));
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let to = address(scenario, 0, 1500);
    let sent = Simulator::start(&["--to", &to, "--records", "20000", "--seed", "1"]).finish(DEADLINE);
    wait_rows(&clickhouse, "fullflow", 0, sent.records);
    let claim = uid(scenario, "pvc", "journal-main-dpi-0-0");

    // Nothing of an operator is needed for Retain: there is no finalizer.
    let finalizers = scenario.get("qoecollector", "main").unwrap()["metadata"]["finalizers"].clone();
    assert_eq!(finalizers, Value::Null);
    delete(scenario);
    assert_eq!(uid(scenario, "pvc", "journal-main-dpi-0-0"), claim);
    wait_rows(&clickhouse, "fullflow", 0, sent.records);

    object["spec"]["deletionPolicy"] = json!("Delete");
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    assert_eq!(uid(scenario, "pvc", "journal-main-dpi-0-0"), claim, "the journal was not adopted");
    let to = address(scenario, 0, 1500);
    let more = Simulator::start(&["--to", &to, "--records", "20000", "--seed", "2"]).finish(DEADLINE);
    wait_rows(&clickhouse, "fullflow", 0, sent.records + more.records);

    // Somebody else's table in our database is not ours to drop.
    clickhouse.query("CREATE TABLE qoestor.of_somebody (x UInt8) ENGINE = MergeTree ORDER BY x");
    delete(scenario);
    wait_gone(scenario, "journal-main-dpi-0-0");
    let left = clickhouse.query("SELECT name FROM system.tables WHERE database = 'qoestor' ORDER BY name");
    assert_eq!(left.trim(), "of_somebody", "{}", events(scenario));
}

/// With ClickHouse gone, a deletion with the policy Delete ends all the same, and says what stays.
pub fn a_deletion_ends_without_clickhouse(scenario: &Scenario) {
    let clickhouse = ClickHouse::start(scenario);
    let _operator = start_operator(scenario);
    let mut object = collector(&clickhouse, json!([dpi(0, 1500, "TCP")]));
    object["spec"]["deletionPolicy"] = json!("Delete");
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    clickhouse.halt();
    delete(scenario);
    wait_until("an event that says what stays", DEADLINE, || {
        let events = events(scenario);
        if events.contains("DeletionIncomplete") { Ok(()) } else { Err(events) }
    });
    wait_gone(scenario, "journal-main-dpi-0-0");
}

/// The CRD goes first: collectors go with it, receivers too, and a new CRD finds the operator ready.
pub fn the_crd_is_deleted_first(scenario: &Scenario) {
    let clickhouse = ClickHouse::start(scenario);
    let mut operator = start_operator(scenario);
    let object = collector(&clickhouse, json!([dpi(0, 1500, "TCP")]));
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let crd = "qoecollectors.qoeplane.io";
    scenario.cluster.kubectl(&["delete", "crd", crd, "--timeout=180s"]).unwrap();
    wait_for_no_receivers(scenario);
    assert!(operator.is_running(), "{}", operator.log());
    scenario.cluster.apply(crate::COLLECTORS).unwrap();
    wait_until("the object to be accepted again", DEADLINE, || scenario.try_apply(&object.to_string()));
    wait_ready(scenario);
}

fn uid(scenario: &Scenario, kind: &str, name: &str) -> Value {
    scenario.get(kind, name).unwrap()["metadata"]["uid"].clone()
}

/// Deletes the collector and waits until it and its receivers are gone.
fn delete(scenario: &Scenario) {
    scenario.kubectl(&["delete", "qoecollector", "main", "--timeout=300s"]).unwrap();
    wait_for_no_receivers(scenario);
}

fn wait_for_no_receivers(scenario: &Scenario) {
    wait_until("the receivers to be gone", DEADLINE, || {
        let left = scenario.list("pods,statefulset,service,configmap,pdb", "qoeplane.io/collector=main")?;
        if left.is_empty() { Ok(()) } else { Err(format!("{} objects are left", left.len())) }
    });
}
