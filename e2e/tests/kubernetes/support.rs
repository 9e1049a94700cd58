//! What scenarios share: collectors as YAML, their status as numbers, senders. No scenario's own checks.

use std::net::TcpStream;
use std::time::Duration;

use e2e::cluster::{ClickHouse, Operator, Scenario, wait_until};
use serde_json::{Value, json};

/// The usual deadline: ten times what a quiet machine needs, also of what is said once a minute.
pub const DEADLINE: Duration = Duration::from_secs(360);

/// A collector named `main` with an external ClickHouse; change it before it is applied.
pub fn collector(clickhouse: &ClickHouse<'_>, dpis: Value) -> Value {
    json!({
        "apiVersion": "qoeplane.io/v1alpha1",
        "kind": "QoeCollector",
        "metadata": {"name": "main"},
        "spec": {
            "dpis": dpis,
            "clickhouse": {
                "external": {
                    "endpoints": [clickhouse.url()],
                    "credentialsSecretRef": {"name": clickhouse.secret()},
                },
            },
        },
    })
}

/// A DPI with one stream of flow records, and a journal that fits a test's volume.
pub fn dpi(id: u16, port: u16, transport: &str) -> Value {
    json!({
        "id": id,
        "streams": [{"type": "Fullflow", "port": port, "transport": transport}],
        "receiver": {"journal": {"size": "256Mi"}, "tuning": {"maxDelay": "1s"}},
    })
}

/// An operator for this scenario alone, with the images of the test node.
pub fn start_operator(scenario: &Scenario) -> Operator {
    start_operator_with(scenario, &[])
}

/// [`start_operator`] with more options.
pub fn start_operator_with(scenario: &Scenario, more: &[&str]) -> Operator {
    let mut options = vec![
        "--receiver-image",
        "localhost/qoe",
        "--image-pull-policy",
        "Never",
        "--lease-namespace",
        &scenario.namespace,
    ];
    if !more.contains(&"--listen") {
        options.extend(["--listen", "127.0.0.1:0"]);
    }
    options.extend(more);
    scenario.start_operator(&options)
}

/// The collector `main`.
pub fn main_collector(scenario: &Scenario) -> Result<Value, String> {
    scenario.get("qoecollector", "main")
}

/// A condition of an object: status, reason, message.
pub fn condition(object: &Value, name: &str) -> Result<(String, String, String), String> {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == name);
    let Some(found) = found else { return Err(format!("no condition {name}: {}", object["status"])) };
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_string();
    Ok((text("status"), text("reason"), text("message")))
}

/// What the status of a collector says of one stream of a DPI.
pub fn stream_of(object: &Value, dpi: u64, name: &str) -> Result<Value, String> {
    let receivers = object["status"]["receivers"].as_array().cloned().unwrap_or_default();
    let receiver = receivers.iter().find(|receiver| receiver["dpi"] == dpi).ok_or("no such receiver")?;
    let streams = receiver["streams"].as_array().cloned().unwrap_or_default();
    let stream = streams.into_iter().find(|stream| stream["name"] == name);
    stream.ok_or_else(|| format!("no stream {name}: {receiver}"))
}

/// Waits until a condition of `main` has a status, for the object's newest generation.
pub fn wait_condition(scenario: &Scenario, name: &str, status: &str) -> (String, String) {
    wait_until(&format!("{name} to be {status}"), DEADLINE, || {
        let object = main_collector(scenario)?;
        let generation = &object["metadata"]["generation"];
        if object["status"]["observedGeneration"] != *generation {
            return Err(format!("generation {generation} is not observed yet: {}", object["status"]));
        }
        let (found, reason, message) = condition(&object, name)?;
        if found == status { Ok((reason, message)) } else { Err(object["status"].to_string()) }
    })
}

/// Waits until `main` is ready in its newest generation.
pub fn wait_ready(scenario: &Scenario) {
    wait_condition(scenario, "Ready", "True");
}

/// Waits until a condition of `main` has this reason.
pub fn wait_reason(scenario: &Scenario, name: &str, reason: &str) -> String {
    wait_until(&format!("{name} to have the reason {reason}"), DEADLINE, || {
        let object = main_collector(scenario)?;
        let (_, found, message) = condition(&object, name)?;
        if found == reason { Ok(message) } else { Err(object["status"].to_string()) }
    })
}

/// Waits until a table holds so many rows of a DPI.
pub fn wait_rows(clickhouse: &ClickHouse<'_>, table: &str, dpi: u16, rows: u64) {
    let sql = format!("SELECT count() FROM qoestor.{table} WHERE dpi_id = {dpi}");
    wait_until(&format!("{rows} rows of DPI {dpi} in {table}"), DEADLINE, || {
        let found = clickhouse.try_query(&sql)?;
        if found.trim() == rows.to_string() { Ok(()) } else { Err(found) }
    });
}

/// `host:port` of a receiver's Service.
pub fn address(scenario: &Scenario, dpi: u16, port: u16) -> String {
    format!("{}:{port}", scenario.service_address(&format!("main-dpi-{dpi}")))
}

/// A connection to a Service. Until the node knows of the pod behind it, it is refused, or not answered at all.
pub fn connect(to: &str) -> TcpStream {
    let address = to.parse().unwrap();
    wait_until(&format!("a connection to {to}"), DEADLINE, || {
        TcpStream::connect_timeout(&address, Duration::from_secs(5))
    })
}

/// Waits until there is no such claim: it goes when its pod is gone, a moment later.
pub fn wait_gone(scenario: &Scenario, claim: &str) {
    wait_until(&format!("the end of {claim}"), DEADLINE, || match scenario.get("pvc", claim) {
        Ok(found) => Err(found["metadata"].to_string()),
        Err(_) => Ok(()),
    });
}

/// What tells whether a pod was restarted or replaced: uid and restarts of each, by name.
pub fn pod_lives(scenario: &Scenario) -> Vec<String> {
    let pods = scenario.list("pods", "qoeplane.io/collector=main").unwrap();
    let mut lives: Vec<String> = pods
        .iter()
        .map(|pod| {
            format!(
                "{} {} {}",
                pod["metadata"]["name"],
                pod["metadata"]["uid"],
                pod["status"]["containerStatuses"][0]["restartCount"]
            )
        })
        .collect();
    lives.sort();
    lives
}

/// Everything that the collector owns, each without what its controller writes of its state.
pub fn owned(scenario: &Scenario) -> Vec<String> {
    let mut owned = Vec::new();
    for kind in ["statefulset", "service", "configmap", "serviceaccount", "poddisruptionbudget"] {
        for mut object in scenario.list(kind, "qoeplane.io/collector=main").unwrap() {
            object.as_object_mut().unwrap().remove("status");
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.remove("resourceVersion");
            owned.push(format!("{kind} {object}"));
        }
    }
    owned.sort();
    owned
}

/// All events of the namespace: reason and note, a line each.
pub fn events(scenario: &Scenario) -> String {
    let all = scenario.list("events.v1.events.k8s.io", "").unwrap_or_default();
    let line = |event: &Value| {
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_string();
        format!("{} {} {}\n", text("type"), text("reason"), text("note"))
    };
    all.iter().map(line).collect()
}
