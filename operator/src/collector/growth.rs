//! Decides about the volumes of a StatefulSet of one pod: whether they grow. Pure: whoever calls does what is decided.
//! Never decides to delete anything.

use std::fmt;

use crds::Quantity as Amount;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use kube::ResourceExt;
use serde::Serialize;

/// What to do about the sizes of volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Growth {
    /// Nothing.
    None,
    /// What is wanted is impossible; why, and what to do instead. The rest can be applied after
    /// [`keep_claims`].
    Refused(String),
    /// They grow, or one is new.
    Grow {
        /// Names of claims and what they have to ask for; not those that do already, or do not exist.
        claims: Vec<(String, Size)>,
        /// The StatefulSet has to be deleted and applied again: its claim templates cannot be changed.
        replace: Replace,
    },
}

/// How a StatefulSet is replaced; the later, the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Replace {
    /// It stays.
    Not,
    /// Around its pod, which goes on.
    AroundPod,
    /// With its pod: one that lacks a volume can never belong to the new StatefulSet.
    WithPod,
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

/// Compares what is wanted with the StatefulSet and the claims that exist.
pub fn growth(wanted: &StatefulSet, live: Option<&StatefulSet>, claims: &[PersistentVolumeClaim]) -> Growth {
    let mut growing = Vec::new();
    let mut replace = Replace::Not;
    let live_templates = live.map(templates).unwrap_or_default();
    for template in live_templates {
        let volume = template.name_any();
        if !templates(wanted).iter().any(|wanted| wanted.name_any() == volume) {
            return Growth::Refused(format!("the volume {volume} cannot be taken away: it may hold data"));
        }
    }
    for wanted_claim in templates(wanted) {
        let name = format!("{}-{}-0", wanted_claim.name_any(), wanted.name_any());
        let claim = claims.iter().find(|claim| claim.name_any() == name);
        let template = live_templates.iter().find(|live| live.name_any() == wanted_claim.name_any());
        match of_one(wanted_claim, template, claim, live.is_some()) {
            Ok((size, of_this)) => {
                growing.extend(size.map(|size| (name, size)));
                replace = replace.max(of_this);
            }
            Err(refused) => return Growth::Refused(refused),
        }
    }
    if growing.is_empty() && replace == Replace::Not {
        return Growth::None;
    }
    Growth::Grow { claims: growing, replace }
}

/// What the claim has to ask for, and how the StatefulSet has to be replaced.
fn of_one(
    wanted: &PersistentVolumeClaim,
    template: Option<&PersistentVolumeClaim>,
    claim: Option<&PersistentVolumeClaim>,
    is_live: bool,
) -> Result<(Option<Size>, Replace), String> {
    let Some((wanted_text, wanted_bytes)) = size(wanted.spec.as_ref()) else {
        return Ok((None, Replace::Not));
    };
    let claim_size = size(claim.and_then(|claim| claim.spec.as_ref()));
    if let Some(claim) = claim
        && let Some((text, bytes)) = &claim_size
        && *bytes > wanted_bytes
    {
        return Err(format!(
            "the volume {} has {text} and cannot shrink to {wanted_text}: set its size to {text} or more",
            claim.name_any()
        ));
    }
    let class = |claim: &PersistentVolumeClaim| claim.spec.as_ref()?.storage_class_name.clone();
    let grow_claim = claim_size.is_some_and(|(_, bytes)| bytes < wanted_bytes).then_some(Size(wanted_text));
    let Some(template) = template else {
        return Ok((grow_claim, if is_live { Replace::WithPod } else { Replace::Not }));
    };
    let other_class = class(template) != class(wanted);
    // The API server writes the default class into claims, never into templates.
    if other_class && let Some(claim) = claim {
        return Err(format!(
            "the storage class of the volume {} is {} and cannot become {}: a volume cannot move to another class",
            claim.name_any(),
            class(template).as_deref().unwrap_or("the cluster's default"),
            class(wanted).as_deref().unwrap_or("the cluster's default"),
        ));
    }
    let other_size = size(template.spec.as_ref()).is_some_and(|(_, bytes)| bytes != wanted_bytes);
    Ok((grow_claim, if other_class || other_size { Replace::AroundPod } else { Replace::Not }))
}

/// Gives `wanted` the claim templates of `live`, so that the rest of it can be applied.
pub fn keep_claims(wanted: &mut StatefulSet, live: &StatefulSet) {
    let Some(live) = &live.spec else { return };
    if let Some(wanted) = &mut wanted.spec {
        wanted.volume_claim_templates = live.volume_claim_templates.clone();
    }
}

fn templates(stateful_set: &StatefulSet) -> &[PersistentVolumeClaim] {
    let spec = stateful_set.spec.as_ref();
    spec.and_then(|spec| spec.volume_claim_templates.as_deref()).unwrap_or_default()
}

/// The size a claim asks for: its text and its bytes.
fn size(spec: Option<&PersistentVolumeClaimSpec>) -> Option<(String, u64)> {
    let requests = spec?.resources.as_ref()?.requests.as_ref()?;
    let text = requests.get("storage")?.0.clone();
    let bytes = text.parse::<Amount>().ok()?.bytes()?;
    Some((text, bytes))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSet;
    use serde_json::json;

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
    fn a_volume_that_is_as_wanted_stays() {
        let wanted = stateful_set("10Gi", None);
        assert_eq!(growth(&wanted, None, &[]), Growth::None);
        assert_eq!(growth(&wanted, Some(&wanted), &[claim("10Gi")]), Growth::None);
        assert_eq!(growth(&wanted, Some(&wanted), &[claim("10240Mi")]), Growth::None);
        // Written in other words: nothing to do for the claim, and templates are compared by size.
        assert_eq!(growth(&wanted, Some(&stateful_set("10240Mi", None)), &[claim("10Gi")]), Growth::None);
    }

    #[test]
    fn a_volume_grows() {
        let (wanted, live) = (stateful_set("20Gi", None), stateful_set("10Gi", None));
        let claim_grows = vec![("journal-main-dpi-0-0".to_owned(), Size("20Gi".to_owned()))];
        let both = Growth::Grow { claims: claim_grows.clone(), replace: Replace::AroundPod };
        assert_eq!(growth(&wanted, Some(&live), &[claim("10Gi")]), both);
        // Stopped between the two.
        let rest = Growth::Grow { claims: Vec::new(), replace: Replace::AroundPod };
        assert_eq!(growth(&wanted, Some(&live), &[claim("20Gi")]), rest);
        // A claim that was kept from an earlier life.
        let claim_only = Growth::Grow { claims: claim_grows, replace: Replace::Not };
        assert_eq!(growth(&wanted, Some(&wanted), &[claim("10Gi")]), claim_only);
        assert_eq!(growth(&wanted, None, &[claim("10Gi")]), claim_only);
        assert_eq!(growth(&wanted, Some(&live), &[]), rest);
    }

    #[test]
    fn a_volume_never_shrinks() {
        let (wanted, live) = (stateful_set("5Gi", None), stateful_set("10Gi", None));
        let Growth::Refused(message) = growth(&wanted, Some(&live), &[claim("10Gi")]) else {
            panic!("it would shrink");
        };
        assert_eq!(
            message,
            "the volume journal-main-dpi-0-0 has 10Gi and cannot shrink to 5Gi: set its size to 10Gi or more"
        );
        let mut kept = wanted;
        keep_claims(&mut kept, &live);
        assert_eq!(kept, live);
    }

    #[test]
    fn a_volume_stays_in_its_storage_class() {
        let (wanted, live) = (stateful_set("10Gi", Some("fast")), stateful_set("10Gi", None));
        let Growth::Refused(message) = growth(&wanted, Some(&live), &[claim("10Gi")]) else {
            panic!("it would move");
        };
        assert!(message.contains("is the cluster's default and cannot become fast"), "{message}");
        // Without a claim there is nothing to move.
        let replace = Growth::Grow { claims: Vec::new(), replace: Replace::AroundPod };
        assert_eq!(growth(&wanted, Some(&live), &[]), replace);
    }

    #[test]
    fn a_volume_that_is_new_takes_another_stateful_set() {
        let live = stateful_set("10Gi", None);
        let mut wanted = live.clone();
        let templates = wanted.spec.as_mut().unwrap().volume_claim_templates.as_mut().unwrap();
        let mut cold = templates[0].clone();
        cold.metadata.name = Some("cold".to_owned());
        templates.push(cold);
        let replace = Growth::Grow { claims: Vec::new(), replace: Replace::WithPod };
        assert_eq!(growth(&wanted, Some(&live), &[claim("10Gi")]), replace);
        assert_eq!(growth(&wanted, None, &[]), Growth::None);
        let Growth::Refused(message) = growth(&live, Some(&wanted), &[claim("10Gi")]) else {
            panic!("it would be taken away");
        };
        assert_eq!(message, "the volume cold cannot be taken away: it may hold data");
    }
}
