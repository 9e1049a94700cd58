//! Why a pod has no node, in words: which nodes come closest and what each of them lacks. Pure.
//!
//! Looks at what the object can ask for (labels, CPU features, network card) and at what keeps pods away
//! (taints, cordons). Everything else is the scheduler's to say, whose own words are passed on.

mod requirement;

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, Pod, PodSpec, Taint, Toleration};
use kube::ResourceExt;

/// Nodes that are named.
const NAMED: usize = 3;

/// The taint of a cordoned node.
const CORDONED: &str = "node.kubernetes.io/unschedulable";

/// Reason of the condition: no node has what the object asks for.
pub const NO_MATCHING_NODE: &str = "NoMatchingNode";
/// Reason of the condition: nodes have what the object asks for, and something else is in the way.
pub const UNSCHEDULABLE: &str = "Unschedulable";

/// Why `pod` has no node: a condition's reason and message. `nodes` are all nodes, or none if they cannot
/// be listed; `scheduler` is what the scheduler says.
pub fn explain(pod: &Pod, nodes: &[Node], scheduler: &str) -> (&'static str, String) {
    let Some(spec) = &pod.spec else { return (UNSCHEDULABLE, scheduler.to_owned()) };
    if nodes.is_empty() {
        return (UNSCHEDULABLE, scheduler.to_owned());
    }
    let mut lacking: Vec<(String, Vec<String>)> = Vec::new();
    let mut fitting = Vec::new();
    for node in nodes {
        let missing = missing(spec, node);
        if missing.is_empty() {
            fitting.push(node.name_any());
        } else {
            lacking.push((node.name_any(), missing));
        }
    }
    if !fitting.is_empty() {
        fitting.sort();
        let others = match fitting.len().saturating_sub(NAMED) {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        fitting.truncate(NAMED);
        let fitting = fitting.join(", ");
        return (UNSCHEDULABLE, format!("{fitting}{others} would fit, but the scheduler says: {scheduler}"));
    }
    lacking.sort_by(|one, other| (one.1.len(), &one.0).cmp(&(other.1.len(), &other.0)));
    let others = lacking.len().saturating_sub(NAMED);
    lacking.truncate(NAMED);
    let lacking: Vec<String> =
        lacking.into_iter().map(|(node, missing)| format!("{node} {}", list(&missing))).collect();
    let mut words = format!("no node fits: {}", lacking.join("; "));
    match others {
        0 => {}
        1 => words.push_str("; 1 more node does not fit either"),
        others => words.push_str(&format!("; {others} more nodes do not fit either")),
    }
    (NO_MATCHING_NODE, words)
}

/// What keeps a pod from `node`, each in words that follow the node's name; empty: nothing that can be
/// seen in the node's labels and taints.
pub fn missing(pod: &PodSpec, node: &Node) -> Vec<String> {
    let mut missing = Vec::new();
    for (label, wanted) in pod.node_selector.iter().flatten() {
        match node.labels().get(label) {
            Some(value) if value == wanted => {}
            Some(value) => missing.push(format!("has label {label}={value} ({wanted} wanted)")),
            None => missing.push(format!("lacks label {label}={wanted}")),
        }
    }
    missing.extend(missing_affinity(pod, node));
    let spec = node.spec.as_ref();
    let tolerations = pod.tolerations.as_deref().unwrap_or_default();
    let cordoned = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
    if cordoned {
        let taint = Taint { key: CORDONED.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
        if !tolerations.iter().any(|toleration| tolerates(toleration, &taint)) {
            missing.push("is cordoned".to_owned());
        }
    }
    for taint in spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default() {
        let keeps_away = taint.effect == "NoSchedule" || taint.effect == "NoExecute";
        let said = cordoned && taint.key == CORDONED;
        if keeps_away && !said && !tolerations.iter().any(|toleration| tolerates(toleration, taint)) {
            missing.push(taint_in_words(taint));
        }
    }
    // One condition may have two taints, one per effect.
    missing.dedup();
    missing
}

/// One of the terms must fit: what is missing of the one that comes closest.
fn missing_affinity(pod: &PodSpec, node: &Node) -> Vec<String> {
    let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let terms = required.map(|required| required.node_selector_terms.as_slice()).unwrap_or_default();
    let missing = terms.iter().map(|term| missing_of_term(term, node));
    missing.min_by_key(Vec::len).unwrap_or_default()
}

fn missing_of_term(term: &NodeSelectorTerm, node: &Node) -> Vec<String> {
    let mut missing = Vec::new();
    for requirement in term.match_expressions.iter().flatten() {
        missing.extend(requirement::missing(requirement, node.labels().get(&requirement.key)));
    }
    for requirement in term.match_fields.iter().flatten() {
        let name = (requirement.key == "metadata.name").then(|| node.name_any());
        missing.extend(requirement::missing(requirement, name.as_ref()));
    }
    missing
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let Toleration { key, operator, value, effect, toleration_seconds: _ } = toleration;
    let is = |text: &Option<String>, wanted: &str| {
        let text = text.as_deref().unwrap_or_default();
        text.is_empty() || text == wanted
    };
    is(effect, &taint.effect)
        && is(key, &taint.key)
        && (operator.as_deref() == Some("Exists")
            || value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default())
}

fn taint_in_words(taint: &Taint) -> String {
    match taint.key.as_str() {
        CORDONED => "is cordoned".to_owned(),
        "node.kubernetes.io/not-ready" => "is not ready".to_owned(),
        "node.kubernetes.io/unreachable" => "is unreachable".to_owned(),
        "node.kubernetes.io/disk-pressure" => "is short of disk".to_owned(),
        "node.kubernetes.io/memory-pressure" => "is short of memory".to_owned(),
        "node.kubernetes.io/pid-pressure" => "is short of process ids".to_owned(),
        "node.kubernetes.io/network-unavailable" => "has no network yet".to_owned(),
        key => match taint.value.as_deref().filter(|value| !value.is_empty()) {
            Some(value) => format!("has the taint {key}={value}:{}", taint.effect),
            None => format!("has the taint {key}:{}", taint.effect),
        },
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests;
