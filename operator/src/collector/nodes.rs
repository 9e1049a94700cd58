//! Which nodes are fit for a receiver, and what each of the others lacks, in words for people. Pure; the
//! scheduler decides, this only explains what it decided.

mod requirement;

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, Pod, PodSpec, Taint, Toleration};
use kube::ResourceExt;

/// No node has what the pod asks for: a person has to change one or the other.
pub const NO_MATCHING_NODE: &str = "NoMatchingNode";
/// A node would fit, and the scheduler has another reason.
pub const UNSCHEDULABLE_REASON: &str = "Unschedulable";

/// Nodes that are named; the others are counted.
const NAMED: usize = 3;
const CORDONED: &str = "node.kubernetes.io/unschedulable";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Why a pod has no node: the reason of a condition, and words. `scheduler` is what the scheduler says.
pub fn explain(pod: &Pod, nodes: &[Node], scheduler: &str) -> (&'static str, String) {
    let Some(spec) = &pod.spec else { return (UNSCHEDULABLE_REASON, scheduler.to_owned()) };
    if nodes.is_empty() {
        return (UNSCHEDULABLE_REASON, scheduler.to_owned());
    }
    let mut all = Vec::new();
    for node in nodes {
        let lacks = missing(spec, node);
        if lacks.is_empty() {
            let words = format!("{} would fit, but the scheduler says: {scheduler}", node.name_any());
            return (UNSCHEDULABLE_REASON, words);
        }
        all.push((lacks.len(), node.name_any(), lacks));
    }
    all.sort();
    let more = all.len().saturating_sub(NAMED);
    let mut lines: Vec<String> =
        all.iter().take(NAMED).map(|(_, name, lacks)| format!("{name} {}", listed(lacks))).collect();
    match more {
        0 => {}
        1 => lines.push("1 more node does not fit either".to_owned()),
        _ => lines.push(format!("{more} more nodes do not fit either")),
    }
    (NO_MATCHING_NODE, format!("no node fits: {}", lines.join("; ")))
}

/// `a`, `a and b`, `a, b and c`
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// What a node lacks that the pod asks for; empty if it fits.
fn missing(spec: &PodSpec, node: &Node) -> Vec<String> {
    let mut lacks = Vec::new();
    for (key, wanted) in spec.node_selector.iter().flatten() {
        match node.labels().get(key) {
            Some(value) if value == wanted => {}
            Some(value) => lacks.push(format!("has label {key}={value} ({wanted} wanted)")),
            None => lacks.push(format!("lacks label {key}={wanted}")),
        }
    }
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    if let Some(required) = required {
        // One of them is enough: the closest tells most.
        let terms = required.node_selector_terms.iter().map(|term| missing_of_term(term, node));
        lacks.extend(terms.min_by_key(Vec::len).unwrap_or_default());
    }
    lacks.extend(kept_away(spec, node));
    lacks
}

fn missing_of_term(term: &NodeSelectorTerm, node: &Node) -> Vec<String> {
    let mut lacks = Vec::new();
    for expression in term.match_expressions.iter().flatten() {
        lacks.extend(requirement::missing(expression, node.labels().get(&expression.key)));
    }
    for field in term.match_fields.iter().flatten() {
        let name = node.name_any();
        let value = (field.key == "metadata.name").then_some(&name);
        lacks.extend(requirement::missing(field, value));
    }
    lacks
}

fn kept_away(spec: &PodSpec, node: &Node) -> Vec<String> {
    let mut words = Vec::new();
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    for taint in taints.iter().filter(|taint| taint.effect != "PreferNoSchedule") {
        if tolerations.iter().any(|toleration| tolerates(toleration, taint)) {
            continue;
        }
        let word = match (taint.key.as_str(), taint.value.as_deref()) {
            (CORDONED, _) => "is cordoned".to_owned(),
            (UNREACHABLE, _) => "is unreachable".to_owned(),
            (key, Some(value)) => format!("has the taint {key}={value}:{}", taint.effect),
            (key, None) => format!("has the taint {key}:{}", taint.effect),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    let same_key = if key.is_empty() { exists } else { key == taint.key };
    let same_value = exists
        || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    same_key && same_value && (effect.is_empty() || effect == taint.effect)
}

#[cfg(test)]
mod tests;
