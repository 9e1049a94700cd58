//! A collector's life in Git: applied again, edited, extended, cut back. What need not restart does not.

use e2e::Simulator;
use e2e::cluster::{ClickHouse, Scenario, wait_until};
use serde_json::{Value, json};

use crate::support::{
    DEADLINE, address, collector, dpi, main_collector, owned_versions, pod_lives, start_operator_with,
    wait_condition, wait_ready, wait_reason, wait_rows,
};

const METRICS: &str = "127.0.0.1:19401";

/// From the first apply to a changed port.
pub fn a_life_in_git(scenario: &Scenario) {
    let clickhouse = ClickHouse::start(scenario);
    let _operator = start_operator_with(scenario, &["--listen", METRICS]);
    let mut object = collector(&clickhouse, json!([dpi(0, 1500, "TCP")]));
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let lives = pod_lives(scenario);

    nothing_changes_when_applied_again(scenario, &object);
    retention_changes_in_place(scenario, &clickhouse, &mut object);
    assert_eq!(pod_lives(scenario), lives, "a receiver was restarted for its tables' retention");
    a_dpi_comes_and_goes(scenario, &clickhouse, &mut object);
    assert!(pod_lives(scenario).contains(&lives[0]), "DPI 0 was restarted for another DPI");
    a_port_changes(scenario, &clickhouse, &mut object);
}

fn nothing_changes_when_applied_again(scenario: &Scenario, object: &Value) {
    let lives = pod_lives(scenario);
    let versions = owned_versions(scenario);
    assert_eq!(versions.len(), 5, "{versions:?}");
    let before = reconciles();
    scenario.apply(&object.to_string());
    // An annotation makes a reconcile happen and changes nothing that is wanted.
    scenario.kubectl(&["annotate", "qoec", "main", "looked-at=now"]).unwrap();
    wait_until("another reconcile", DEADLINE, || {
        let now = reconciles();
        if now > before { Ok(()) } else { Err(format!("{now} reconciles, {before} before")) }
    });
    assert_eq!(owned_versions(scenario), versions, "owned objects were written again");
    assert_eq!(pod_lives(scenario), lives);
}

fn retention_changes_in_place(scenario: &Scenario, clickhouse: &ClickHouse<'_>, object: &mut Value) {
    let ttl = || {
        clickhouse.query(
            "SELECT extract(engine_full, 'TTL (.*?)(?: SETTINGS|$)') FROM system.tables WHERE database = 'qoestor' AND name = 'fullflow'",
        )
    };
    object["spec"]["tables"] = json!({"fullflow": {"keepFor": "48h"}});
    scenario.apply(&object.to_string());
    wait_until("the longer TTL", DEADLINE, || {
        let found = ttl();
        if found.contains("(172800)") { Ok(()) } else { Err(found) }
    });
    wait_ready(scenario);

    // Shorter: rows would be deleted, so it waits for an approval.
    object["spec"]["tables"] = json!({"fullflow": {"keepFor": "2h"}});
    scenario.apply(&object.to_string());
    let message = wait_reason(scenario, "Stalled", "ApprovalNeeded");
    assert!(ttl().contains("(172800)"), "the TTL was shortened without an approval");
    let status = main_collector(scenario).unwrap()["status"].clone();
    let hash = status["schema"]["planHash"].as_str().unwrap().to_string();
    assert!(message.contains(&hash) && message.contains("fullflow"), "{message}");
    assert_eq!(status["schema"]["pendingCount"], 1, "{status}");
    object["spec"]["approvals"] = json!([hash]);
    scenario.apply(&object.to_string());
    wait_until("the shorter TTL", DEADLINE, || {
        let found = ttl();
        if found.contains("(7200)") { Ok(()) } else { Err(found) }
    });
    wait_ready(scenario);
}

fn a_dpi_comes_and_goes(scenario: &Scenario, clickhouse: &ClickHouse<'_>, object: &mut Value) {
    object["spec"]["dpis"] = json!([dpi(0, 1500, "TCP"), dpi(7, 1507, "TCP")]);
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let to = address(scenario, 7, 1507);
    let sent = Simulator::start(&["--to", &to, "--records", "20000", "--seed", "7"]).finish(DEADLINE);
    wait_rows(clickhouse, "fullflow", 7, sent.records);
    let claim = scenario.get("pvc", "journal-main-dpi-7-0").unwrap()["metadata"]["uid"].clone();
    let identity = "SELECT DISTINCT journal_id FROM qoestor.fullflow WHERE dpi_id = 7";
    let journal = clickhouse.query(identity);

    object["spec"]["dpis"] = json!([dpi(0, 1500, "TCP")]);
    scenario.apply(&object.to_string());
    wait_until("the receiver to be gone", DEADLINE, || {
        let left =
            scenario.list("pods,statefulset,service,configmap,serviceaccount,pdb", "qoeplane.io/dpi=7")?;
        if left.is_empty() { Ok(()) } else { Err(format!("{} objects are left", left.len())) }
    });
    wait_ready(scenario);
    assert_eq!(scenario.get("pvc", "journal-main-dpi-7-0").unwrap()["metadata"]["uid"], claim);
    wait_rows(clickhouse, "fullflow", 7, sent.records);

    object["spec"]["dpis"] = json!([dpi(0, 1500, "TCP"), dpi(7, 1507, "TCP")]);
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    assert_eq!(scenario.get("pvc", "journal-main-dpi-7-0").unwrap()["metadata"]["uid"], claim, "not adopted");
    let to = address(scenario, 7, 1507);
    let again = Simulator::start(&["--to", &to, "--records", "20000", "--seed", "8"]).finish(DEADLINE);
    wait_rows(clickhouse, "fullflow", 7, sent.records + again.records);
    assert_eq!(clickhouse.query(identity), journal, "the journal is another one");
}

fn a_port_changes(scenario: &Scenario, clickhouse: &ClickHouse<'_>, object: &mut Value) {
    object["spec"]["dpis"][1] = dpi(7, 1517, "TCP");
    scenario.apply(&object.to_string());
    wait_until("the new port in the Service", DEADLINE, || {
        let ports = scenario.get("service", "main-dpi-7")?["spec"]["ports"].clone();
        if ports[0]["port"] == 1517 { Ok(()) } else { Err(ports.to_string()) }
    });
    wait_ready(scenario);
    wait_condition(scenario, "ReceiversReady", "True");
    let to = address(scenario, 7, 1517);
    let sent = Simulator::start(&["--to", &to, "--records", "20000", "--seed", "9"]).finish(DEADLINE);
    wait_rows(clickhouse, "fullflow", 7, 40_000 + sent.records);
}

/// Reconciles of collectors that have ended, by the operator's own count.
fn reconciles() -> u64 {
    let mut answer = ureq::get(format!("http://{METRICS}/metrics")).call().unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let line =
        text.lines().find(|line| line.starts_with("qoe_operator_reconciles_total{kind=\"QoeCollector\"}"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}
