//! Decides whether a journal's volume is gone for ever. Pure: whoever calls does what is decided. Never calls lost
//! what could still be read.

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume, PersistentVolumeClaim,
};
use kube::ResourceExt;

/// The label by which a local volume names its node.
const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";

/// Why the journal of `claim` can never be mounted again, in words; `None` if it can, or if that is not
/// certain. `volume` is the one that the claim is bound to, `nodes` are all nodes: with none, nothing is
/// certain.
pub fn lost(
    claim: &PersistentVolumeClaim,
    volume: Option<&PersistentVolume>,
    nodes: &[Node],
) -> Option<String> {
    let name = claim.name_any();
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
        let bound = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or("its volume");
        return Some(format!("the journal {name} is lost: {bound} does not exist any more"));
    }
    let volume = volume?;
    if nodes.is_empty() {
        return None;
    }
    let affinity = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let mut hosts = Vec::new();
    for term in &affinity.node_selector_terms {
        // A term that is not about host names may fit a node that comes tomorrow.
        hosts.extend(hosts_of(term)?);
    }
    if hosts.is_empty() {
        return None;
    }
    let exists = |host: &String| {
        nodes.iter().any(|node| node.labels().get(HOSTNAME_LABEL) == Some(host) || node.name_any() == *host)
    };
    if hosts.iter().any(exists) {
        return None;
    }
    let (nodes, is) = if hosts.len() == 1 { ("node", "does") } else { ("nodes", "do") };
    Some(format!(
        "the journal {name} is on the volume {} of {nodes} {}, which {is} not exist any more",
        volume.name_any(),
        hosts.join(", ")
    ))
}

/// The host names that a term allows; `None` if it does not name any.
fn hosts_of(term: &NodeSelectorTerm) -> Option<Vec<String>> {
    let on_labels = term.match_expressions.iter().flatten();
    let on_fields = term.match_fields.iter().flatten();
    let by_host = on_labels
        .filter(|requirement| requirement.key == HOSTNAME_LABEL)
        .chain(on_fields.filter(|requirement| requirement.key == "metadata.name"));
    let mut by_host = by_host.filter(|NodeSelectorRequirement { operator, .. }| operator == "In");
    by_host.next().map(|requirement| requirement.values.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claim() -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {"name": "journal-main-dpi-0-0"},
            "spec": {"resources": {"requests": {"storage": "10Gi"}}, "storageClassName": "standard",
                     "volumeName": "pv-1"},
            "status": {"phase": "Bound"},
        }))
        .unwrap()
    }

    fn volume(affinity: Value) -> PersistentVolume {
        serde_json::from_value(json!({
            "metadata": {"name": "pv-1"},
            "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": affinity}}},
        }))
        .unwrap()
    }

    fn node(name: &str, host: &str) -> Node {
        serde_json::from_value(
            json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": host}}}),
        )
        .unwrap()
    }

    #[test]
    fn a_claim_without_its_volume_is_lost() {
        let mut claim = claim();
        assert_eq!(lost(&claim, None, &[]), None);
        claim.status.as_mut().unwrap().phase = Some("Lost".to_owned());
        let words = "the journal journal-main-dpi-0-0 is lost: pv-1 does not exist any more";
        assert_eq!(lost(&claim, None, &[]).as_deref(), Some(words));
    }

    #[test]
    fn a_local_volume_is_lost_with_its_node() {
        let local = volume(json!([{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": ["host-1"]},
        ]}]));
        let claim = claim();
        let lost_with = |nodes: &[Node]| lost(&claim, Some(&local), nodes);
        assert_eq!(lost_with(&[]), None, "nodes that cannot be listed say nothing");
        assert_eq!(lost_with(&[node("one", "host-1"), node("two", "host-2")]), None);
        assert_eq!(
            lost_with(&[node("two", "host-2")]).as_deref(),
            Some(
                "the journal journal-main-dpi-0-0 is on the volume pv-1 of node host-1, which does not exist any more"
            )
        );
    }

    #[test]
    fn what_another_node_may_mount_is_not_lost() {
        let nodes = [node("two", "host-2")];
        for affinity in [
            json!([]),
            json!([{"matchExpressions": [
                {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["north"]}]}]),
            json!([{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["host-1"]}]}]),
            json!([
                {"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": ["host-1"]}]},
                {"matchExpressions": [{"key": "disk", "operator": "Exists"}]},
            ]),
        ] {
            assert_eq!(lost(&claim(), Some(&volume(affinity.clone())), &nodes), None, "{affinity}");
        }
    }
}
