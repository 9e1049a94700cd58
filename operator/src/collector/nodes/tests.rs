use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use super::{NO_MATCHING_NODE, UNSCHEDULABLE, missing};

const SSE42: &str = "feature.node.kubernetes.io/cpu-cpuid.SSE42";
const AVX512F: &str = "feature.node.kubernetes.io/cpu-cpuid.AVX512F";
const SPEED: &str = "qoeplane.io/nic-speed-mbps";

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "main-dpi-0-0"}, "spec": spec})).unwrap()
}

/// Wants two CPU features and 10 Gbit/s.
fn demanding() -> Pod {
    pod(json!({"containers": [], "affinity": {"nodeAffinity": {
    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": SSE42, "operator": "In", "values": ["true"]},
        {"key": AVX512F, "operator": "In", "values": ["true"]},
        {"key": SPEED, "operator": "Gt", "values": ["9999"]},
    ]}]}}}}))
}

fn node(name: &str, labels: Value, spec: Value) -> Node {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "spec": spec})).unwrap()
}

fn explain(pod: &Pod, nodes: &[Node], scheduler: &str) -> String {
    let (reason, words) = super::explain(pod, nodes, scheduler);
    assert_eq!(reason == NO_MATCHING_NODE, words.starts_with("no node fits: "), "{words}");
    assert!(reason == NO_MATCHING_NODE || reason == UNSCHEDULABLE);
    words
}

fn lacks(pod: &Pod, node: &Node) -> String {
    missing(pod.spec.as_ref().unwrap(), node).join("; ")
}

#[test]
fn says_what_each_node_lacks() {
    let nodes = [
        node("worker-2", json!({SSE42: "true", AVX512F: "true"}), json!({})),
        node("worker-1", json!({SSE42: "true", SPEED: "1000"}), json!({})),
        node("worker-0", json!({}), json!({})),
    ];
    assert_eq!(
        explain(&demanding(), &nodes, "0/3 nodes are available"),
        "no node fits: \
         worker-2 lacks label qoeplane.io/nic-speed-mbps (a network card of 10000 Mbit/s is wanted); \
         worker-1 lacks cpu feature AVX512F and has a 1000 Mbit/s network card (10000 wanted); \
         worker-0 lacks cpu feature SSE42, lacks cpu feature AVX512F and lacks label \
         qoeplane.io/nic-speed-mbps (a network card of 10000 Mbit/s is wanted)"
    );
}

#[test]
fn names_the_closest_and_counts_the_rest() {
    let full = json!({SSE42: "true", AVX512F: "true", SPEED: "1000"});
    let mut nodes = Vec::new();
    for number in 0..6 {
        nodes.push(node(&format!("far-{number}"), json!({}), json!({})));
    }
    for name in ["near-c", "near-a", "near-b"] {
        nodes.push(node(name, full.clone(), json!({})));
    }
    let words = explain(&demanding(), &nodes, "");
    let near = "has a 1000 Mbit/s network card (10000 wanted)";
    assert_eq!(
        words,
        format!("no node fits: near-a {near}; near-b {near}; near-c {near}; 6 more nodes do not fit either")
    );
    let words = explain(&demanding(), &nodes[5..], "");
    assert!(words.ends_with("; 1 more node does not fit either"), "{words}");
}

#[test]
fn a_node_that_fits_passes_the_schedulers_words_on() {
    let fitting = node("worker-1", json!({SSE42: "true", AVX512F: "true", SPEED: "10000"}), json!({}));
    assert_eq!(lacks(&demanding(), &fitting), "");
    assert_eq!(
        explain(&demanding(), &[fitting, node("small", json!({}), json!({}))], "Insufficient cpu"),
        "worker-1 would fit, but the scheduler says: Insufficient cpu"
    );
    assert_eq!(explain(&demanding(), &[], "Insufficient cpu"), "Insufficient cpu");
}

#[test]
fn taints_and_cordons_keep_pods_away() {
    let plain = pod(json!({"containers": []}));
    let tolerant = pod(json!({"containers": [], "tolerations": [
        {"key": "dedicated", "operator": "Equal", "value": "qoe", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"},
    ]}));
    let tainted = |taints: Value| node("n", json!({}), json!({"taints": taints}));
    let dedicated = tainted(json!([{"key": "dedicated", "value": "qoe", "effect": "NoSchedule"}]));
    assert_eq!(lacks(&plain, &dedicated), "has the taint dedicated=qoe:NoSchedule");
    assert_eq!(lacks(&tolerant, &dedicated), "");
    let other = tainted(json!([{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]));
    assert_eq!(lacks(&tolerant, &other), "has the taint dedicated=db:NoSchedule");
    let mild = tainted(json!([{"key": "dedicated", "effect": "PreferNoSchedule"}]));
    assert_eq!(lacks(&plain, &mild), "");
    let gone = tainted(json!([
        {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"},
    ]));
    assert_eq!(lacks(&plain, &gone), "is unreachable");
    let cordoned = node(
        "n",
        json!({}),
        json!({"unschedulable": true,
               "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}),
    );
    assert_eq!(lacks(&plain, &cordoned), "is cordoned");
    assert_eq!(lacks(&tolerant, &cordoned), "");
}

#[test]
fn labels_are_compared_as_the_scheduler_does() {
    let selecting = pod(json!({"containers": [], "nodeSelector": {"site": "north"}}));
    assert_eq!(lacks(&selecting, &node("n", json!({"site": "north"}), json!({}))), "");
    assert_eq!(
        lacks(&selecting, &node("n", json!({"site": "south"}), json!({}))),
        "has label site=south (north wanted)"
    );
    assert_eq!(lacks(&selecting, &node("n", json!({}), json!({}))), "lacks label site=north");

    let term = |operator: &str, values: Value| {
        pod(json!({"containers": [], "affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "x", "operator": operator, "values": values}]}]}}}}))
    };
    for (operator, values, label, met) in [
        ("In", json!(["1", "2"]), Some("2"), true),
        ("In", json!(["1", "2"]), None, false),
        ("NotIn", json!(["1"]), None, true),
        ("NotIn", json!(["1"]), Some("1"), false),
        ("Exists", json!([]), Some(""), true),
        ("Exists", json!([]), None, false),
        ("DoesNotExist", json!([]), None, true),
        ("DoesNotExist", json!([]), Some(""), false),
        ("Gt", json!(["9"]), Some("10"), true),
        ("Gt", json!(["9"]), Some("9"), false),
        ("Gt", json!(["9"]), Some("fast"), false),
        ("Lt", json!(["9"]), Some("8"), true),
        ("Lt", json!(["9"]), None, false),
    ] {
        let labels = label.map_or(json!({}), |label| json!({"x": label}));
        let lacks = lacks(&term(operator, values), &node("n", labels, json!({})));
        assert_eq!(lacks.is_empty(), met, "{operator} {label:?}: {lacks}");
    }
}

#[test]
fn the_closest_of_several_terms_counts() {
    let either = pod(json!({"containers": [], "affinity": {"nodeAffinity": {
    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["special"]}]},
    ]}}}}));
    assert_eq!(lacks(&either, &node("special", json!({}), json!({}))), "");
    assert_eq!(lacks(&either, &node("n", json!({"a": "", "b": ""}), json!({}))), "");
    assert_eq!(
        lacks(&either, &node("n", json!({}), json!({}))),
        "has label metadata.name=n (special wanted)"
    );
}
