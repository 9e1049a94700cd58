//! Decides about a journal's volume: whether it grows, and whether it is gone for ever. Pure: whoever
//! calls does what is decided. Never decides to delete anything that could still be read.

use std::fmt;

use crds::Quantity as Amount;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume, PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
};
use kube::ResourceExt;
use serde::Serialize;

use super::build::JOURNAL_VOLUME;

/// The label by which a local volume names its node.
const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";

/// What to do about the size of a journal's volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Growth {
    /// Nothing.
    None,
    /// What is wanted is impossible; why, and what to do instead. The rest can be applied after
    /// [`keep_claim`].
    Refused(String),
    /// It grows.
    Grow {
        /// What the claim has to ask for; `None` if it does already, or does not exist.
        claim: Option<Size>,
        /// The StatefulSet has to be deleted, leaving its pod, and applied again: its claim templates
        /// cannot be changed.
        replace_stateful_set: bool,
    },
}

/// A size as Kubernetes writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Size(String);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Compares what is wanted with the StatefulSet and the claim that exist.
pub fn growth(
    wanted: &StatefulSet,
    live: Option<&StatefulSet>,
    claim: Option<&PersistentVolumeClaim>,
) -> Growth {
    let Some(wanted_claim) = journal(wanted) else { return Growth::None };
    let Some((wanted_text, wanted_bytes)) = size(wanted_claim.spec.as_ref()) else { return Growth::None };
    let template = live.and_then(journal).and_then(|template| template.spec.as_ref());
    let template_size = size(template);
    let claim_size = size(claim.and_then(|claim| claim.spec.as_ref()));

    if let Some(claim) = claim
        && let Some((text, bytes)) = &claim_size
        && *bytes > wanted_bytes
    {
        return Growth::Refused(format!(
            "the journal {} has {text} and cannot shrink to {wanted_text}: set journal.size to {text} or more",
            claim.name_any()
        ));
    }
    if let Some(template) = template {
        let class = |spec: &PersistentVolumeClaimSpec| spec.storage_class_name.clone();
        let wanted_class = wanted_claim.spec.as_ref().and_then(class);
        // The API server writes the default class into claims, never into templates.
        if class(template) != wanted_class && claim.is_some() {
            return Growth::Refused(format!(
                "the journal's storage class is {} and cannot become {}: a volume cannot move to another class",
                class(template).as_deref().unwrap_or("the cluster's default"),
                wanted_class.as_deref().unwrap_or("the cluster's default"),
            ));
        }
    }
    let other_class = template.is_some_and(|template| {
        template.storage_class_name
            != wanted_claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone())
    });
    let grow_claim = claim_size.is_some_and(|(_, bytes)| bytes < wanted_bytes);
    let replace_stateful_set = other_class || template_size.is_some_and(|(_, bytes)| bytes != wanted_bytes);
    if !grow_claim && !replace_stateful_set {
        return Growth::None;
    }
    Growth::Grow { claim: grow_claim.then_some(Size(wanted_text)), replace_stateful_set }
}

/// Gives `wanted` the claim templates of `live`, so that the rest of it can be applied.
pub fn keep_claim(wanted: &mut StatefulSet, live: &StatefulSet) {
    let Some(live) = &live.spec else { return };
    if let Some(wanted) = &mut wanted.spec {
        wanted.volume_claim_templates = live.volume_claim_templates.clone();
    }
}

fn journal(stateful_set: &StatefulSet) -> Option<&PersistentVolumeClaim> {
    let templates = stateful_set.spec.as_ref()?.volume_claim_templates.as_deref()?;
    templates.iter().find(|template| template.metadata.name.as_deref() == Some(JOURNAL_VOLUME))
}

/// The size a claim asks for: its text and its bytes.
fn size(spec: Option<&PersistentVolumeClaimSpec>) -> Option<(String, u64)> {
    let requests = spec?.resources.as_ref()?.requests.as_ref()?;
    let text = requests.get("storage")?.0.clone();
    let bytes = text.parse::<Amount>().ok()?.bytes()?;
    Some((text, bytes))
}

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
    use k8s_openapi::api::apps::v1::StatefulSet;
    use serde_json::{Value, json};

    use super::*;

    fn stateful_set(size: &str, class: Option<&str>) -> StatefulSet {
        let mut claim = json!({
            "metadata": {"name": "journal"},
            "spec": {"resources": {"requests": {"storage": size}}},
        });
        if let Some(class) = class {
            claim["spec"]["storageClassName"] = class.into();
        }
        serde_json::from_value(json!({
            "metadata": {"name": "main-dpi-0"},
            "spec": {"selector": {}, "serviceName": "main-dpi-0", "template": {},
                     "volumeClaimTemplates": [claim]},
        }))
        .unwrap()
    }

    fn claim(size: &str) -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {"name": "journal-main-dpi-0-0"},
            "spec": {"resources": {"requests": {"storage": size}}, "storageClassName": "standard",
                     "volumeName": "pv-1"},
            "status": {"phase": "Bound"},
        }))
        .unwrap()
    }

    #[test]
    fn a_journal_that_is_as_wanted_stays() {
        let wanted = stateful_set("10Gi", None);
        assert_eq!(growth(&wanted, None, None), Growth::None);
        assert_eq!(growth(&wanted, Some(&wanted), Some(&claim("10Gi"))), Growth::None);
        assert_eq!(growth(&wanted, Some(&wanted), Some(&claim("10240Mi"))), Growth::None);
        // Written in other words: nothing to do for the claim, and templates are compared by size.
        assert_eq!(growth(&wanted, Some(&stateful_set("10240Mi", None)), Some(&claim("10Gi"))), Growth::None);
    }

    #[test]
    fn a_journal_grows() {
        let (wanted, live) = (stateful_set("20Gi", None), stateful_set("10Gi", None));
        let claim_grows = Some(Size("20Gi".to_owned()));
        let both = Growth::Grow { claim: claim_grows.clone(), replace_stateful_set: true };
        assert_eq!(growth(&wanted, Some(&live), Some(&claim("10Gi"))), both);
        // Stopped between the two.
        let rest = Growth::Grow { claim: None, replace_stateful_set: true };
        assert_eq!(growth(&wanted, Some(&live), Some(&claim("20Gi"))), rest);
        // A claim that was kept from an earlier life.
        let claim_only = Growth::Grow { claim: claim_grows, replace_stateful_set: false };
        assert_eq!(growth(&wanted, Some(&wanted), Some(&claim("10Gi"))), claim_only);
        assert_eq!(growth(&wanted, None, Some(&claim("10Gi"))), claim_only);
        assert_eq!(growth(&wanted, Some(&live), None), rest);
    }

    #[test]
    fn a_journal_never_shrinks() {
        let (wanted, live) = (stateful_set("5Gi", None), stateful_set("10Gi", None));
        let Growth::Refused(message) = growth(&wanted, Some(&live), Some(&claim("10Gi"))) else {
            panic!("it would shrink");
        };
        assert_eq!(
            message,
            "the journal journal-main-dpi-0-0 has 10Gi and cannot shrink to 5Gi: set journal.size to 10Gi or more"
        );
        let mut kept = wanted;
        keep_claim(&mut kept, &live);
        assert_eq!(kept, live);
    }

    #[test]
    fn a_journal_stays_in_its_storage_class() {
        let (wanted, live) = (stateful_set("10Gi", Some("fast")), stateful_set("10Gi", None));
        let Growth::Refused(message) = growth(&wanted, Some(&live), Some(&claim("10Gi"))) else {
            panic!("it would move");
        };
        assert!(message.contains("is the cluster's default and cannot become fast"), "{message}");
        // Without a claim there is nothing to move.
        let replace = Growth::Grow { claim: None, replace_stateful_set: true };
        assert_eq!(growth(&wanted, Some(&live), None), replace);
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
        let mut claim = claim("10Gi");
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
        let claim = claim("10Gi");
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
            assert_eq!(lost(&claim("10Gi"), Some(&volume(affinity.clone())), &nodes), None, "{affinity}");
        }
    }
}
