//! Where receivers run: on nodes that fit, on the better ones, or nowhere, with words that say why.

use e2e::cluster::{ClickHouse, FakeNode, Scenario, wait_until};
use serde_json::{Value, json};

use crate::support::{
    DEADLINE, collector, condition, dpi, main_collector, start_operator, wait_condition, wait_ready,
};

const CPU: &str = "feature.node.kubernetes.io/cpu-cpuid.AVX512F";
const SPEED: &str = "qoeplane.io/nic-speed-mbps";

/// Required, preferred, impossible, ignored.
pub fn receivers_find_their_nodes(scenario: &Scenario) {
    let nodes = [
        FakeNode::new("slow").label(SPEED, "1000").label(CPU, "true"),
        FakeNode::new("fast").label(SPEED, "25000").label(CPU, "true"),
        FakeNode::new("plain").label(SPEED, "10000"),
    ];
    for node in &nodes {
        scenario.cluster.add_fake_node(node).unwrap();
    }
    let clickhouse = ClickHouse::start(scenario);
    let _operator = start_operator(scenario);

    // Only one node has both.
    let mut object = collector(&clickhouse, json!([on_fake_nodes(dpi(0, 1500, "TCP"))]));
    object["spec"]["nodes"] =
        json!({"cpuFeatures": ["AVX512F"], "minNICSpeedMbps": 10000, "policy": "Require"});
    scenario.apply(&object.to_string());
    assert_eq!(node_of(scenario), "fast");

    // Nobody has so fast a card: the condition says what was missing, and who comes closest.
    object["spec"]["nodes"]["minNICSpeedMbps"] = json!(100_000);
    scenario.apply(&object.to_string());
    let message = wait_until("a condition about nodes", DEADLINE, || {
        bury(scenario);
        let (_, reason, message) = condition(&main_collector(scenario)?, "Ready")?;
        if reason == "NoMatchingNode" { Ok(message) } else { Err(format!("{reason}: {message}")) }
    });
    for words in ["fast", "100000", "25000", "slow", "1000"] {
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }
    wait_condition(scenario, "Stalled", "True");

    // Preferred: the better node if there is one, any other else.
    object["spec"]["nodes"] =
        json!({"cpuFeatures": ["AVX512F"], "minNICSpeedMbps": 20000, "policy": "Prefer"});
    scenario.apply(&object.to_string());
    assert_eq!(node_of(scenario), "fast");

    // On the real node, which has no labels at all: preferences do not stop it.
    object["spec"]["dpis"][0]["receiver"]["tolerations"] = json!([]);
    scenario.apply(&object.to_string());
    wait_until("the pod on the real node", DEADLINE, || {
        bury(scenario);
        let pod = scenario.get("pod", "main-dpi-0-0")?;
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        if node == e2e::cluster::NODE { Ok(()) } else { Err(node.to_string()) }
    });
    wait_ready(scenario);

    // The receiver looks for itself too: what the node lacks is said although it runs.
    object["spec"]["nodes"] = json!({"cpuFeatures": ["AMXFP16"], "policy": "Prefer"});
    scenario.apply(&object.to_string());
    wait_until("the receiver's own word about its CPU", DEADLINE, || {
        let receivers = main_collector(scenario)?["status"]["receivers"].to_string();
        if receivers.contains("AMXFP16") { Ok(()) } else { Err(receivers) }
    });

    object["spec"]["nodes"] =
        json!({"cpuFeatures": ["AMXFP16"], "minNICSpeedMbps": 400_000, "policy": "Ignore"});
    scenario.apply(&object.to_string());
    wait_ready(scenario);
}

fn on_fake_nodes(mut dpi: Value) -> Value {
    dpi["receiver"]["tolerations"] = json!([{"key": "qoeplane.io/no-machine", "operator": "Exists"}]);
    dpi["receiver"]["nodeSelector"] = json!({});
    dpi
}

/// A node without a machine never ends a pod: somebody has to.
fn bury(scenario: &Scenario) {
    let Ok(pod) = scenario.get("pod", "main-dpi-0-0") else { return };
    let there = pod["spec"]["nodeName"] != e2e::cluster::NODE;
    if there && pod["metadata"]["deletionTimestamp"].is_string() {
        let _ = scenario.kubectl(&["delete", "pod", "main-dpi-0-0", "--force", "--grace-period=0"]);
    }
}

/// Waits until the receiver's pod has a node.
fn node_of(scenario: &Scenario) -> String {
    wait_until("a node for the receiver", DEADLINE, || {
        bury(scenario);
        let pod = scenario.get("pod", "main-dpi-0-0")?;
        let node = pod["spec"]["nodeName"].as_str().map(str::to_string);
        node.ok_or_else(|| pod["status"]["conditions"].to_string())
    })
}
