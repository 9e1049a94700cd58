//! The cluster itself: our image runs, ClickHouse serves and survives, the API server comes back.

use std::time::Duration;

use e2e::cluster::{ClickHouse, IMAGE, Scenario, wait_until};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

/// A pod that is as restricted as a receiver's prints the version.
pub fn our_image_runs(scenario: &Scenario) {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "version"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "qoe",
                "image": IMAGE,
                "imagePullPolicy": "Never",
                "args": ["--version"],
                "resources": {"limits": {"memory": "64Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    });
    scenario.apply(&pod.to_string());
    wait_until("the pod to end well", MINUTE, || {
        let status = scenario.get("pod", "version")?["status"].clone();
        if status["phase"] == "Succeeded" { Ok(()) } else { Err(status.to_string()) }
    });
    assert_eq!(scenario.pod_log("version").unwrap().trim(), format!("qoe {}", env!("CARGO_PKG_VERSION")));
}

/// ClickHouse answers through its Service, refuses a wrong password, and keeps a row over `kill -9`.
pub fn clickhouse_keeps_its_rows(scenario: &Scenario) {
    let clickhouse = ClickHouse::start(scenario);
    clickhouse.query("CREATE DATABASE kept");
    clickhouse.query("CREATE TABLE kept.row (number UInt64) ENGINE = MergeTree ORDER BY number");
    clickhouse.query("INSERT INTO kept.row VALUES (42)");
    let begun = clickhouse.query("SELECT now() - uptime()");
    clickhouse.kill();
    wait_until("a server that was started anew", 3 * MINUTE, || {
        let answer = clickhouse.try_query("SELECT now() - uptime()")?;
        let pod = clickhouse.pod()?;
        let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
        if restarts == Some(1) {
            Ok(())
        } else {
            Err(format!("{restarts:?} restarts, begun {begun}, {answer}"))
        }
    });
    assert_eq!(clickhouse.number("SELECT number FROM kept.row"), 42);
    clickhouse.halt();
    clickhouse.resume();
    assert_eq!(clickhouse.number("SELECT number FROM kept.row"), 42);
}

/// The API server keeps its objects over a restart, and answers again after it was frozen.
pub fn the_api_server_comes_back(scenario: &Scenario) {
    scenario.apply(r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}"#);
    let version = scenario.get("configmap", "kept").unwrap()["metadata"]["resourceVersion"].clone();
    scenario.cluster.restart_api_server();
    assert_eq!(scenario.get("configmap", "kept").unwrap()["metadata"]["resourceVersion"], version);
    scenario.cluster.freeze_api_server();
    let frozen = scenario.kubectl(&["get", "configmap", "kept", "--request-timeout=2s"]);
    scenario.cluster.thaw_api_server();
    assert!(frozen.is_err(), "a frozen API server has answered: {frozen:?}");
    assert_eq!(scenario.get("configmap", "kept").unwrap()["metadata"]["resourceVersion"], version);
}
