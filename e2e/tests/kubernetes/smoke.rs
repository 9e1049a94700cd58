//! The cluster itself: our image runs, ClickHouse serves and survives, the API server comes back.

use std::io::Write;
use std::process::{Command, Stdio};

use e2e::cluster::{ClickHouse, ClickHouseOptions, FakeNode, IMAGE, NODE, Scenario, wait_until};
use serde_json::json;

use crate::support::DEADLINE;

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
    wait_until("the pod to end well", DEADLINE, || {
        let status = scenario.get("pod", "version")?["status"].clone();
        if status["phase"] == "Succeeded" { Ok(()) } else { Err(status.to_string()) }
    });
    assert_eq!(scenario.pod_log("version").unwrap().trim(), format!("qoe {}", env!("CARGO_PKG_VERSION")));
}

/// ClickHouse answers through its Service, also by HTTPS, and keeps a row over `kill -9` and a stop.
pub fn clickhouse_keeps_its_rows(scenario: &Scenario) {
    let clickhouse = ClickHouse::start_with(scenario, ClickHouseOptions { tls: true, ..Default::default() });
    assert_eq!(https_ping(scenario, &clickhouse), "Ok.");
    clickhouse.query("CREATE DATABASE kept");
    clickhouse.query("CREATE TABLE kept.row (number UInt64) ENGINE = MergeTree ORDER BY number");
    clickhouse.query("INSERT INTO kept.row VALUES (42)");
    let begun = clickhouse.query("SELECT now() - uptime()");
    clickhouse.kill();
    wait_until("a server that was started anew", DEADLINE, || {
        let answer = clickhouse.try_query("SELECT now() - uptime()")?;
        let pod = clickhouse.pod()?;
        let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
        if restarts >= Some(1) {
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

/// The answer to `/ping` by HTTPS, with the authority of the Secret and no other.
fn https_ping(scenario: &Scenario, clickhouse: &ClickHouse) -> String {
    let template = r#"go-template={{index .data "ca.crt" | base64decode}}"#;
    let authority = clickhouse.authority_secret();
    let authority = scenario.kubectl(&["get", "secret", &authority, "-o", template]).unwrap();
    let file = scenario.cluster.directory().join(format!("{}.crt", scenario.namespace));
    std::fs::write(&file, authority).unwrap();
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-no-CApath", "-no-CAstore", "-CAfile"])
        .arg(&file)
        .args(["-verify_ip", clickhouse.address(), "-connect"])
        .arg(format!("{}:8443", clickhouse.address()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    client.stdin.as_mut().unwrap().write_all(b"GET /ping HTTP/1.0\r\n\r\n").unwrap();
    let output = client.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    answer.lines().last().map(str::to_string).unwrap_or(errors)
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

/// The scheduler binds a pod to a node that is made up, by label and capacity, and says why it cannot.
pub fn nodes_are_made_up(scenario: &Scenario) {
    let node = FakeNode::new("smoke-large").label("smoke.test/size", "large").capacity("64", "256Gi");
    scenario.cluster.add_fake_node(&node).unwrap();
    let pod = |name: &str, cpu: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "nodeSelector": {"smoke.test/size": "large"},
                "tolerations": [FakeNode::toleration()],
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [{
                    "name": "qoe",
                    "image": IMAGE,
                    "resources": {"requests": {"cpu": cpu}},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        })
        .to_string()
    };
    scenario.apply(&pod("fits", "48"));
    scenario.apply(&pod("too-large", "100"));
    wait_until("the pod to be bound", DEADLINE, || {
        let pod = scenario.get("pod", "fits")?;
        if pod["spec"]["nodeName"] == "smoke-large" { Ok(()) } else { Err(pod["status"].to_string()) }
    });
    wait_until("the scheduler's reason", DEADLINE, || {
        let status = scenario.get("pod", "too-large")?["status"].to_string();
        if status.contains("Insufficient cpu") { Ok(()) } else { Err(status) }
    });
    let bound = scenario.get("pod", "fits").unwrap()["spec"]["nodeName"].clone();
    assert_ne!(bound, NODE);
    scenario.cluster.remove_fake_node("smoke-large").unwrap();
}
