//! A collector's life in Git: applied again, edited, extended, cut back; aggregates switched on while records flow. What
//! need not restart does not.

use e2e::Simulator;
use e2e::cluster::{ClickHouse, Scenario, wait_until};
use serde_json::{Value, json};

use crate::support::{
    DEADLINE, address, collector, dpi, main_collector, owned, pod_lives, start_operator_with, wait_condition,
    wait_ready, wait_reason, wait_rows,
};

const METRICS: &str = "127.0.0.1:19401";

/// From the first apply to a changed port.
pub fn a_life_in_git(scenario: &Scenario) {
    let clickhouse = ClickHouse::start(scenario);
    let _operator = start_operator_with(scenario, &["--listen", METRICS]);
    let mut object = collector(&clickhouse, json!([dpi(0, 1500, "TCP")]));
    object["spec"]["clickhouse"]["external"]["storagePolicy"] =
        json!({"name": "tiered", "hotVolume": "hot", "coldVolume": "cold"});
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let lives = pod_lives(scenario);

    nothing_changes_when_applied_again(scenario, &object);
    retention_changes_in_place(scenario, &clickhouse, &mut object);
    assert_eq!(pod_lives(scenario), lives, "a receiver was restarted for its tables' retention");
    aggregates_are_switched_on(scenario, &clickhouse, &mut object);
    let lives = pod_lives(scenario);
    aggregates_change_in_place(scenario, &clickhouse, &mut object);
    assert_eq!(pod_lives(scenario), lives, "a receiver was restarted for its aggregates' retention");
    a_dpi_comes_and_goes(scenario, &clickhouse, &mut object);
    assert!(pod_lives(scenario).contains(&lives[0]), "DPI 0 was restarted for another DPI");
    a_port_changes(scenario, &clickhouse, &mut object);
}

fn nothing_changes_when_applied_again(scenario: &Scenario, object: &Value) {
    let lives = pod_lives(scenario);
    let written = owned(scenario);
    assert_eq!(written.len(), 5, "{written:?}");
    let before = reconciles();
    scenario.apply(&object.to_string());
    // An annotation makes a reconcile happen and changes nothing that is wanted.
    scenario.kubectl(&["annotate", "qoec", "main", "looked-at=now"]).unwrap();
    wait_until("another reconcile", DEADLINE, || {
        let now = reconciles();
        if now > before { Ok(()) } else { Err(format!("{now} reconciles, {before} before")) }
    });
    assert_eq!(owned(scenario), written, "owned objects were written again");
    assert_eq!(pod_lives(scenario), lives);
}

fn retention_changes_in_place(scenario: &Scenario, clickhouse: &ClickHouse<'_>, object: &mut Value) {
    let ttl = || ttl(clickhouse, "fullflow");
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

fn ttl(clickhouse: &ClickHouse<'_>, table: &str) -> String {
    clickhouse.query(&format!(
        "SELECT extract(engine_full, 'TTL (.*?)(?: SETTINGS|$)') FROM system.tables WHERE database = 'qoestor' AND name = '{table}'"
    ))
}

/// The receiver is restarted for it, in the middle of what a DPI sends.
fn aggregates_are_switched_on(scenario: &Scenario, clickhouse: &ClickHouse<'_>, object: &mut Value) {
    let lives = pod_lives(scenario);
    let to = address(scenario, 0, 1500);
    let run = [
        "--to",
        &to,
        "--records",
        "60000",
        "--rate",
        "6000",
        "--seed",
        "3",
        "--patience",
        "300",
        "--announce-end",
    ];
    let sender = Simulator::start(&run);
    wait_until("the first rows", DEADLINE, || {
        let rows = clickhouse.number("SELECT count() FROM qoestor.fullflow");
        if rows > 0 { Ok(()) } else { Err("none".to_owned()) }
    });
    object["spec"]["tables"]["fullflow_agg"] =
        json!({"interval": "1m", "keys": ["Login", "Protocol"], "keepFor": "100d"});
    object["spec"]["dpis"][0]["receiver"]["tuning"]["flushInterval"] = json!("1s");
    scenario.apply(&object.to_string());
    wait_until("a receiver that gathers aggregates", DEADLINE, || {
        let now = pod_lives(scenario);
        if now.len() == 1 && now != lives { Ok(()) } else { Err(now.join(", ")) }
    });
    wait_ready(scenario);
    let sent = sender.finish(DEADLINE);
    wait_rows(clickhouse, "fullflow", 0, sent.records);
    wait_aggregated(clickhouse);
    wait_condition(scenario, "NothingLost", "True");

    let differing = clickhouse.query(
        "SELECT * FROM (SELECT toStartOfMinute(toDateTime(flow_start_millisecond)) AS time, toString(login) AS login, \
         protocol_code, count() AS records, sum(octet_delta_count) AS octets FROM qoestor.fullflow GROUP BY ALL) AS r \
         FULL JOIN (SELECT time, toString(login) AS login, protocol_code, sum(records) AS records, sum(octets_from + \
         octets_to) AS octets FROM qoestor.fullflow_agg GROUP BY ALL) AS a USING (time, login, protocol_code) \
         WHERE r.records != a.records OR r.octets != a.octets LIMIT 3",
    );
    assert_eq!(differing, "", "raw rows and aggregates");
    let off = "SELECT countIf(host != '' OR subscriber_ipv4 != toIPv4('0.0.0.0') OR host_as != 0) FROM qoestor.fullflow_agg";
    assert_eq!(clickhouse.number(off), 0, "keys that are not listed");
}

fn aggregates_change_in_place(scenario: &Scenario, clickhouse: &ClickHouse<'_>, object: &mut Value) {
    let made = "SELECT groupArray((name, uuid)) FROM (SELECT * FROM system.tables WHERE database = 'qoestor' AND \
                name LIKE 'fullflow%' ORDER BY name)";
    let tables = clickhouse.query(made);
    assert_eq!(tables.matches("fullflow_").count(), 7, "{tables}");
    let both = ["fullflow_agg", "fullflow_by_protocol"];

    // Longer, and cold: at once.
    object["spec"]["tables"]["fullflow_agg"]["keepFor"] = json!("200d");
    object["spec"]["tables"]["fullflow_agg"]["moveToColdAfter"] = json!("60d");
    scenario.apply(&object.to_string());
    wait_until("the longer TTLs", DEADLINE, || {
        let found = both.map(|table| ttl(clickhouse, table));
        let is_there = |ttl: &String| ttl.contains("(17280000)") && ttl.contains("(5184000) TO VOLUME");
        if found.iter().all(is_there) { Ok(()) } else { Err(found.concat()) }
    });
    wait_ready(scenario);

    // Merged sooner: by its word.
    object["spec"]["tables"]["fullflow_agg"]["rollups"] = json!([{"interval": "1h", "after": "2d"}]);
    scenario.apply(&object.to_string());
    let message = wait_reason(scenario, "Stalled", "ApprovalNeeded");
    let status = main_collector(scenario).unwrap()["status"].clone();
    let hash = status["schema"]["planHash"].as_str().unwrap().to_string();
    assert!(message.contains(&hash) && message.contains("fullflow"), "{message}");
    assert!(!ttl(clickhouse, both[0]).contains("(172800)"), "merged without an approval");
    object["spec"]["approvals"] = json!([hash]);
    scenario.apply(&object.to_string());
    wait_until("the sooner rollups", DEADLINE, || {
        let found = both.map(|table| ttl(clickhouse, table));
        if found.iter().all(|ttl| ttl.contains("(172800) GROUP BY")) { Ok(()) } else { Err(found.concat()) }
    });
    wait_ready(scenario);
    assert_eq!(clickhouse.query(made), tables, "tables were made anew");

    let to = address(scenario, 0, 1500);
    let before = clickhouse.number("SELECT count() FROM qoestor.fullflow");
    let sent = Simulator::start(&["--to", &to, "--records", "20000", "--seed", "4"]).finish(DEADLINE);
    wait_rows(clickhouse, "fullflow", 0, before + sent.records);
    wait_aggregated(clickhouse);
}

/// Waits until aggregates, wide and narrow, hold what the raw table holds.
fn wait_aggregated(clickhouse: &ClickHouse<'_>) {
    let raw = clickhouse.query("SELECT count(), sum(octet_delta_count) FROM qoestor.fullflow");
    for table in ["fullflow_agg", "fullflow_by_protocol", "fullflow_totals"] {
        wait_until(&format!("all records in {table}"), DEADLINE, || {
            let sums = format!("SELECT sum(records), sum(octets_from) + sum(octets_to) FROM qoestor.{table}");
            let found = clickhouse.try_query(&sums)?;
            if found == raw { Ok(()) } else { Err(format!("{found}, and {raw}")) }
        });
    }
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
