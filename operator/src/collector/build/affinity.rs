//! On which nodes a receiver may or should run: the object's CPU features and network card, and away from
//! the collector's other receivers.

use crds::collector::{NodePolicy, Nodes};
use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm,
    PodAntiAffinity, PreferredSchedulingTerm, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{
    COLLECTOR_LABEL, COMPONENT, COMPONENT_LABEL, CPU_FEATURE_LABEL_PREFIX, NIC_SPEED_LABEL, Receiver,
};

/// Weight of a node that has everything.
const ALL: i32 = 100;
/// Weight of each single thing that a node has.
const SINGLE: i32 = 10;
/// Weight of a node without another receiver of the collector: less than anything the object asks for.
const SPREAD: i32 = 1;

pub(super) fn build(receiver: &Receiver<'_>) -> Affinity {
    Affinity {
        node_affinity: receiver.collector.spec.nodes.as_ref().and_then(node_affinity),
        pod_anti_affinity: Some(spread(&receiver.collector.name)),
        ..Affinity::default()
    }
}

fn node_affinity(nodes: &Nodes) -> Option<NodeAffinity> {
    let wanted = requirements(nodes);
    if wanted.is_empty() {
        return None;
    }
    match nodes.policy {
        NodePolicy::Ignore => None,
        NodePolicy::Require => Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![term(wanted)],
            }),
            ..NodeAffinity::default()
        }),
        NodePolicy::Prefer => {
            let mut preferred =
                vec![PreferredSchedulingTerm { weight: ALL, preference: term(wanted.clone()) }];
            for single in wanted {
                preferred.push(PreferredSchedulingTerm { weight: SINGLE, preference: term(vec![single]) });
            }
            Some(NodeAffinity {
                preferred_during_scheduling_ignored_during_execution: Some(preferred),
                ..NodeAffinity::default()
            })
        }
    }
}

fn requirements(nodes: &Nodes) -> Vec<NodeSelectorRequirement> {
    let mut wanted = Vec::new();
    for feature in &nodes.cpu_features {
        wanted.push(NodeSelectorRequirement {
            key: format!("{CPU_FEATURE_LABEL_PREFIX}{feature}"),
            operator: "In".to_owned(),
            values: Some(vec!["true".to_owned()]),
        });
    }
    if let Some(speed) = nodes.min_nic_speed_mbps.filter(|speed| *speed > 0) {
        wanted.push(NodeSelectorRequirement {
            key: NIC_SPEED_LABEL.to_owned(),
            // There is no "at least".
            operator: "Gt".to_owned(),
            values: Some(vec![(speed - 1).to_string()]),
        });
    }
    wanted
}

fn term(match_expressions: Vec<NodeSelectorRequirement>) -> NodeSelectorTerm {
    NodeSelectorTerm { match_expressions: Some(match_expressions), ..NodeSelectorTerm::default() }
}

/// The collector's DPIs should not all be lost with one node.
fn spread(collector: &str) -> PodAntiAffinity {
    let receivers = [(COLLECTOR_LABEL, collector), (COMPONENT_LABEL, COMPONENT)];
    let receivers = receivers.map(|(label, value)| (label.to_owned(), value.to_owned()));
    PodAntiAffinity {
        preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
            weight: SPREAD,
            pod_affinity_term: PodAffinityTerm {
                label_selector: Some(LabelSelector {
                    match_labels: Some(receivers.into()),
                    ..LabelSelector::default()
                }),
                topology_key: "kubernetes.io/hostname".to_owned(),
                ..PodAffinityTerm::default()
            },
        }]),
        ..PodAntiAffinity::default()
    }
}
