//! Servers that are somebody else's: from one endpoint to two while a sender sends, as with servers of one's own.

use e2e::cluster::Scenario;
use e2e::{Sending, Sent, Simulator};
use serde_json::json;

use super::{start_operator, wait_at_least, wait_count};
use crate::smoke_servers;
use crate::support::{DEADLINE, dpi, wait_ready, wait_reason};

const LOCAL: &str = "SELECT count() FROM qoestor.fullflow_local";

/// Exact through `fullflow` on both; endpoints that change places are not taken for one another.
pub fn a_second_endpoint_shares_the_rows(scenario: &Scenario) {
    let servers = smoke_servers::start_servers(scenario, 2);
    let _operator = start_operator(scenario);
    let endpoints = [0, 1].map(|shard| smoke_servers::address(scenario, shard));
    let mut object = json!({
        "apiVersion": "qoeplane.io/v1alpha1",
        "kind": "QoeCollector",
        "metadata": {"name": "main"},
        "spec": {
            "dpis": [dpi(0, 1500, "TCP")],
            "clickhouse": {"external": {
                "endpoints": [endpoints[0]],
                "credentialsSecretRef": {"name": "main-clickhouse-admin"},
                "cluster": "qoeplane",
                "storagePolicy": {"name": "tiered", "hotVolume": "hot", "coldVolume": "cold"},
            }},
        },
    });
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let to = crate::support::address(scenario, 0, 1500);
    let sending = Sending::start(&to, 3_000, 1);
    wait_at_least(&servers, 0, "SELECT count() FROM qoestor.fullflow", 5_000);

    object["spec"]["clickhouse"]["external"]["endpoints"] = json!(endpoints);
    scenario.apply(&object.to_string());
    wait_at_least(&servers, 1, LOCAL, 1);
    let sent = Sent::sum(&sending.finish());
    for shard in 0..2 {
        wait_count(&servers, shard, "SELECT count() FROM qoestor.fullflow", sent.records);
    }
    wait_ready(scenario);

    object["spec"]["clickhouse"]["external"]["endpoints"] = json!([endpoints[1], endpoints[0]]);
    scenario.apply(&object.to_string());
    let message = wait_reason(scenario, "Stalled", "DatabaseShared");
    assert!(message.contains("shard 0") && message.contains("#1"), "{message}");
    // Receivers stay where they were: what is bound to one server must not be sent to the other.
    let more = Simulator::start(&["--to", &to, "--records", "5000", "--seed", "9"]).finish(DEADLINE);
    let rows = sent.records + more.records;
    wait_count(&servers, 0, "SELECT count() FROM qoestor.fullflow", rows);
    let config = scenario.get("configmap", "main-dpi-0").unwrap().to_string();
    let places = endpoints.each_ref().map(|endpoint| config.find(endpoint.as_str()).unwrap());
    assert!(places[0] < places[1], "{config}");
    object["spec"]["clickhouse"]["external"]["endpoints"] = json!(endpoints);
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    assert_eq!(servers.number(0, "SELECT count() FROM qoestor.fullflow"), rows);
}
