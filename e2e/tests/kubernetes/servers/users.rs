//! Who may do what on servers: passwords that are changed while records flow, and a reader's limits.

use e2e::Simulator;
use e2e::cluster::{Managed, Scenario, wait_until};
use serde_json::json;

use super::{collector, start_operator, wait_rows};
use crate::support::{DEADLINE, address, wait_condition, wait_ready, wait_reason};

/// Rotation of all passwords, and everything that a reader may not do.
pub fn users_have_their_rights_and_no_more(scenario: &Scenario) {
    let _operator = start_operator(scenario);
    let mut object = collector();
    object["spec"]["clickhouse"]["managed"]["users"] = json!([
        {"name": "grafana", "passwordSecretRef": {"name": "grafana", "key": "password"}},
        {"name": "reports", "access": "ReadWrite", "passwordSecretRef": {"name": "reports", "key": "secret"}},
    ]);
    object["spec"]["clickhouse"]["managed"]["resources"]["requests"]["memory"] = json!("2Gi");
    scenario.apply(&object.to_string());
    let message = wait_reason(scenario, "Stalled", "ReferenceNotFound");
    assert!(message.contains("spec.clickhouse.managed.users[0].passwordSecretRef"), "{message}");
    scenario.apply(&secret("grafana", "password", "first").to_string());
    scenario.apply(&secret("reports", "secret", "other").to_string());
    wait_ready(scenario);
    let servers = Managed::of(scenario);
    let to = address(scenario, 0, 1500);
    let first = Simulator::start(&["--to", &to, "--records", "20000", "--seed", "1"]).finish(DEADLINE);
    wait_rows(&servers, first.records);

    let reader = |sql: &str| servers.try_query_as(0, "grafana", "first", sql);
    assert_eq!(reader("SELECT count() FROM qoestor.fullflow").unwrap().trim(), first.records.to_string());
    servers.query(0, "CREATE DATABASE private");
    servers.query(0, "CREATE TABLE private.t (x UInt8) ENGINE = MergeTree ORDER BY x");
    for (sql, error) in [
        ("INSERT INTO qoestor.ledger (dpi_id) VALUES (1)", "Code: 497"),
        ("DROP TABLE qoestor.fullflow", "Code: 497"),
        ("CREATE TABLE qoestor.mine (x UInt8) ENGINE = MergeTree ORDER BY x", "Code: 497"),
        ("SELECT count() FROM private.t", "Code: 497"),
        ("SELECT * FROM url('http://127.0.0.1:8123/', 'CSV', 'x String')", "Code: 497"),
        ("SELECT count() FROM qoestor.fullflow SETTINGS max_execution_time = 100000", "Code: 452"),
    ] {
        let refused = reader(sql).unwrap_err();
        assert!(refused.contains(error), "{sql}: {refused}");
    }
    assert!(servers.try_query_as(0, "default", "", "SELECT 1").is_err(), "anybody may log in");
    let writer = |sql: &str| servers.try_query_as(0, "reports", "other", sql);
    writer("CREATE TABLE qoestor.mine (x UInt8) ENGINE = MergeTree ORDER BY x").unwrap();
    writer("INSERT INTO qoestor.mine VALUES (1)").unwrap();
    assert!(writer("SELECT count() FROM private.t").unwrap_err().contains("Code: 497"));

    // Within an hour a reader may ask ten thousand times.
    let url = servers.url(0).unwrap();
    let asking: Vec<_> = (0..3).map(|_| ask_until_refused(url.clone())).collect();
    for asked in asking {
        let refused = asked.join().unwrap();
        assert!(refused.contains("Code: 201"), "{refused}");
    }
    assert!(servers.number(0, "SELECT count() FROM qoestor.fullflow") > 0, "others are not stopped by it");

    passwords_change(scenario, &servers);
}

/// More than a reader may ask; the last answer.
fn ask_until_refused(url: String) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        for _ in 0..12_000 {
            let asked = agent
                .post(&url)
                .header("X-ClickHouse-User", "grafana")
                .header("X-ClickHouse-Key", "first")
                // `SELECT 1` is not counted.
                .send("SELECT count() FROM qoestor.natflow");
            let mut answer = asked.unwrap();
            let text = answer.body_mut().read_to_string().unwrap();
            // So many questions at once may take all memory for a moment.
            if answer.status() != 200 && !text.contains("Code: 241") {
                return text;
            }
        }
        "it goes on".to_owned()
    })
}

fn passwords_change(scenario: &Scenario, servers: &Managed<'_>) {
    let to = address(scenario, 0, 1500);
    let run = ["--to", &to, "--records", "150000", "--rate", "3000", "--seed", "2", "--announce-end"];
    let before = servers.number(0, "SELECT count() FROM qoestor.fullflow");
    let sender = Simulator::start(&run);
    scenario.apply(&secret("grafana", "password", "second").to_string());
    for name in ["admin", "writer", "reader"] {
        let secret = format!("main-clickhouse-{name}");
        let patch = json!({"stringData": {"password": format!("changed-{name}")}}).to_string();
        scenario.kubectl(&["patch", "secret", &secret, "--patch", &patch]).unwrap();
    }
    // The operator looks at Secrets once a minute.
    wait_until("the new passwords", DEADLINE, || {
        servers.try_query_as(0, "qoe_admin", "changed-admin", "SELECT 1")?;
        servers.try_query_as(0, "qoe_reader", "changed-reader", "SELECT 1")
    });
    let old = servers.try_query_as(0, "grafana", "first", "SELECT 1").unwrap_err();
    assert!(old.contains("Code: 516"), "{old}");
    let sent = sender.finish(DEADLINE);
    wait_rows(servers, before + sent.records);
    wait_condition(scenario, "NothingLost", "True");
    wait_ready(scenario);
    for name in ["admin", "writer", "reader"] {
        let kept = servers.password(&format!("main-clickhouse-{name}")).unwrap();
        assert_eq!(kept, format!("changed-{name}"), "a password was overwritten");
    }
}

fn secret(name: &str, key: &str, value: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}})
}
