//! The smallest object on an empty cluster, with the operator as users install it: a running system, and SQL.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::Simulator;
use e2e::cluster::{IMAGE, Managed, Scenario, clickhouse_image, wait_until};
use serde_json::{Value, json};

use super::{wait_count, wait_rows};
use crate::main_job::operator_in_a_pod;
use crate::support::{DEADLINE, address, condition, main_collector, wait_condition, wait_ready};

const MINIMAL: &str = include_str!("../../../../examples/minimal.yaml");

/// Two DPIs' streams, exact; `kubectl qoe` answers.
pub fn one_object_is_enough(scenario: &Scenario) {
    let operator = operator_in_a_pod(scenario).replace(
        "- --receiver-image=localhost/qoe",
        &format!("- --receiver-image=localhost/qoe\n            - --clickhouse-image={}", clickhouse_image()),
    );
    assert!(operator.contains(IMAGE) && operator.contains("--clickhouse-image"), "{operator}");
    scenario.apply(&operator);
    scenario.apply(&MINIMAL.replace("namespace: qoe", &format!("namespace: {}", scenario.namespace)));
    wait_ready(scenario);
    let servers = Managed::of(scenario);

    let (flows, clicks) = (address(scenario, 0, 1500), address(scenario, 0, 1501));
    let flows = Simulator::start(&["--to", &flows, "--records", "200000", "--seed", "1"]);
    let clicks =
        Simulator::start(&["--to", &clicks, "--stream", "clickstream", "--records", "50000", "--seed", "2"]);
    let (flows, clicks) = (flows.finish(DEADLINE), clicks.finish(DEADLINE));
    wait_rows(&servers, flows.records);
    wait_count(&servers, 0, "SELECT sum(octet_delta_count) FROM qoestor.fullflow", flows.octets);
    wait_count(&servers, 0, "SELECT count() FROM qoestor.clickstream", clicks.records);
    wait_condition(scenario, "NothingLost", "True");
    wait_condition(scenario, "ClickHouseReady", "True");

    let object = wait_until("what is known of the volumes", DEADLINE, || {
        let object = main_collector(scenario)?;
        let volumes = &object["status"]["shards"][0]["volumes"];
        if volumes.is_array() { Ok(object) } else { Err(object["status"].to_string()) }
    });
    let shard = &object["status"]["shards"][0];
    assert_eq!((&shard["inUse"], &shard["pod"]), (&true.into(), &"main-clickhouse-0-0".into()), "{shard}");
    let names: Vec<_> =
        shard["volumes"].as_array().unwrap().iter().map(|volume| volume["name"].clone()).collect();
    assert_eq!(names, ["hot", "cold"], "{shard}");
    let (_, _, message) = condition(&object, "Ready").unwrap();
    assert!(message.contains("1 of 1 servers are ready"), "{message}");

    // As a person asks, with the rights that the page lists and no others.
    let person = kubeconfig_of_a_person(scenario);
    let plugin = |scenario: &Scenario, arguments: &[&str]| plugin_as(&person, scenario, arguments);
    // The API server may take a moment to know of the rights.
    let count = wait_until("an answer", DEADLINE, || {
        plugin(scenario, &["query", "--format", "TSV", "SELECT count() FROM fullflow"])
    });
    assert_eq!(count.trim(), flows.records.to_string());
    let elsewhere = ["query", "--database", "system", "--format", "TSV", "SELECT currentDatabase()"];
    assert_eq!(plugin(scenario, &elsewhere).unwrap(), "system\n");
    let refused = plugin(scenario, &["query", "DROP TABLE qoestor.fullflow"]).unwrap_err();
    assert!(refused.contains("ACCESS_DENIED") || refused.contains("READONLY"), "{refused}");
    let status = plugin(scenario, &["status"]).unwrap();
    assert!(status.contains("main-clickhouse-0-0") && status.contains("main-dpi-0-0"), "{status}");
    let ledger = plugin(scenario, &["ledger"]).unwrap();
    assert!(
        ledger.contains(&format!("{} records decoded = {0} stored in fullflow", flows.records)),
        "{ledger}"
    );
    let plan = plugin(scenario, &["plan"]).unwrap();
    assert!(!plan.contains("sha256:"), "{plan}");
    plugin(scenario, &["pause"]).unwrap();
    wait_until("a paused collector", DEADLINE, || {
        let (_, reason, _) = condition(&main_collector(scenario)?, "Ready")?;
        if reason == "Paused" { Ok(()) } else { Err(reason) }
    });
    plugin(scenario, &["pause", "--resume"]).unwrap();
    wait_ready(scenario);
    let shard = &main_collector(scenario).unwrap()["status"]["shards"][0];
    assert_eq!(shard["inUse"], true, "forgotten while nobody looked: {shard}");
}

/// A kubeconfig of somebody who may do in this namespace what docs/kubernetes.md lists for the plugin.
fn kubeconfig_of_a_person(scenario: &Scenario) -> PathBuf {
    let rule = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "person"},
        "rules": [
            rule("qoeplane.io", "qoecollectors", &["list", "patch"]),
            rule("", "pods", &["list", "get"]),
            rule("", "pods/portforward", &["get", "create"]),
            rule("", "secrets", &["get"]),
        ],
    });
    scenario.apply(&role.to_string());
    scenario.kubectl(&["create", "serviceaccount", "person"]).unwrap();
    let account = format!("--serviceaccount={}:person", scenario.namespace);
    scenario.kubectl(&["create", "rolebinding", "person", "--role=person", &account]).unwrap();
    let token = scenario.kubectl(&["create", "token", "person"]).unwrap();
    let config = scenario.kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"]).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    let path = scenario.cluster.directory().join(format!("person-of-{}", scenario.namespace));
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// `kubectl qoe`, as the program itself.
fn plugin_as(kubeconfig: &Path, scenario: &Scenario, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(e2e::qoe_binary())
        .arg("kubectl")
        .args(arguments)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["--namespace", &scenario.namespace])
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
