//! Faults around the operator: killed, without its Lease, with an API server that restarts or freezes, without
//! ClickHouse. It converges; receivers and their records are not touched.

use std::time::Duration;

use e2e::cluster::{ClickHouse, Operator, Scenario, wait_until};
use e2e::{Sending, Sent};
use serde_json::{Value, json};

use crate::support::{
    DEADLINE, address, collector, dpi, pod_lives, start_operator, start_operator_with, wait_condition,
    wait_ready, wait_reason, wait_rows,
};

/// Every fault in turn on one collector while a DPI sends.
pub fn faults_around_the_operator(scenario: &Scenario) {
    let mut clickhouse = ClickHouse::start(scenario);
    let mut operator = start_operator(scenario);
    let mut object = collector(&clickhouse, json!([dpi(0, 1500, "TCP")]));
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let lives = pod_lives(scenario);
    let to = address(scenario, 0, 1500);
    let sending = Sending::start(&to, 5_000, 1);

    // Killed: the next one takes the Lease when it runs out.
    operator.kill();
    change(scenario, &mut object, "30h");
    let mut operator = start_operator(scenario);
    wait_ttl(&clickhouse, 30);

    // SIGTERM ends it soon, and the next one need not wait for the Lease.
    assert!(operator.stop(Duration::from_secs(60)).success(), "{}", operator.log());
    change(scenario, &mut object, "31h");
    let mut operator = start_operator(scenario);
    wait_ttl(&clickhouse, 31);

    the_lease_is_taken_away(scenario, &mut operator);
    let mut operator = start_operator(scenario);

    // The API server restarts. If it is away for longer than the Lease, the operator ends and is started again.
    scenario.cluster.restart_api_server();
    change(scenario, &mut object, "32h");
    if !operator.is_running() {
        operator = start_operator(scenario);
    }
    wait_ttl(&clickhouse, 32);

    // It freezes for a minute: the operator cannot show that it still holds the Lease and ends; whoever
    // starts it again finds everything as it was.
    scenario.cluster.freeze_api_server();
    std::thread::sleep(Duration::from_secs(60));
    wait_until("the operator to end without its Lease", DEADLINE, || {
        if operator.is_running() { Err("it runs") } else { Ok(()) }
    });
    scenario.cluster.thaw_api_server();
    let mut operator = start_operator(scenario);
    change(scenario, &mut object, "33h");
    wait_ttl(&clickhouse, 33);

    // Frozen again, for a SIGTERM.
    scenario.cluster.freeze_api_server();
    let status = operator.stop(Duration::from_secs(100));
    scenario.cluster.thaw_api_server();
    assert!(status.success(), "{}", operator.log());

    // No way to ClickHouse: said in a condition; the receiver goes on taking records.
    let _operator = start_operator(scenario);
    clickhouse.cut();
    wait_reason(scenario, "SchemaReady", "ClickHouseUnreachable");
    wait_condition(scenario, "ReceiversReady", "True");
    clickhouse.heal();
    wait_ready(scenario);

    assert_eq!(pod_lives(scenario), lives, "a receiver was restarted");
    let sent = Sent::sum(&sending.finish());
    wait_rows(&clickhouse, "fullflow", 0, sent.records);
}

/// Somebody else holds the Lease: two operators never work at the same time.
fn the_lease_is_taken_away(scenario: &Scenario, operator: &mut Operator) {
    let mut second = start_operator_with(scenario, &["--identity", "second"]);
    let holder = "{.spec.holderIdentity}";
    let lease = |what: &str| {
        scenario.kubectl(&["get", "lease", "qoeplane-operator", "-o", &format!("jsonpath={what}")])
    };
    assert_ne!(lease(holder).unwrap(), "second");
    let patch = r#"{"spec": {"holderIdentity": "somebody-else"}}"#;
    scenario.kubectl(&["patch", "lease", "qoeplane-operator", "--type=merge", "-p", patch]).unwrap();
    wait_until("the first operator to end", DEADLINE, || {
        if operator.is_running() { Err(operator.log()) } else { Ok(()) }
    });
    wait_until("the second operator to hold the Lease", DEADLINE, || {
        let found = lease(holder)?;
        if found == "second" { Ok(()) } else { Err(found) }
    });
    assert!(second.stop(Duration::from_secs(60)).success());
}

fn change(scenario: &Scenario, object: &mut Value, keep_for: &str) {
    object["spec"]["tables"] = json!({"fullflow": {"keepFor": keep_for}});
    wait_until("the change to be accepted", DEADLINE, || scenario.try_apply(&object.to_string()));
}

fn wait_ttl(clickhouse: &ClickHouse<'_>, hours: u64) {
    let seconds = format!("({})", hours * 3_600);
    wait_until(&format!("a TTL of {hours} hours"), DEADLINE, || {
        let sql = "SELECT engine_full FROM system.tables WHERE database = 'qoestor' AND name = 'fullflow'";
        let found = clickhouse.try_query(sql)?;
        if found.contains(&seconds) { Ok(()) } else { Err(found) }
    });
}
