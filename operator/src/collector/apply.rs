//! Server-side apply of one owned object, and deletion of what is not wanted any more.
//!
//! An object is sent again when what we would send differs from what we sent last, or when the live one
//! is not the one that our last apply returned: somebody has edited it. Live fields are never compared
//! with wanted ones: the API server adds defaults.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::build::APPLIED_HASH_ANNOTATION;
use crate::FIELD_MANAGER;
use crate::context::{Applied, Context};
use crate::metrics::KindLabels;

/// What an apply did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was as it should be.
    Unchanged,
    /// It is new.
    Created,
    /// It was changed because something else is wanted now.
    Changed,
    /// It had been edited or deleted by somebody, and is back.
    Repaired,
}

/// Why an object could not be made true.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server said no.
    #[error("{kind} {name} could not be applied: {source}")]
    Apply {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// An object of this name exists and belongs to somebody else.
    #[error("{kind} {name} exists already and belongs to {owner}: delete or rename it, it is not touched")]
    Foreign {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Whose it is, in words.
        owner: String,
    },
    /// The API server did not delete it.
    #[error("{kind} {name} could not be deleted: {source}")]
    Delete {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The answer.
        source: Box<kube::Error>,
    },
}

/// A kind of Kubernetes' own that lives in a namespace.
pub trait OwnedKind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + k8s_openapi::Resource
    + Clone
    + Debug
    + DeserializeOwned
{
}

impl<K> OwnedKind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + k8s_openapi::Resource
        + Clone
        + Debug
        + DeserializeOwned
{
}

/// Makes `wanted` true; `live` is what was found. Tells people when somebody else had changed it.
///
/// # Errors
/// The API server refuses, or the object is somebody else's.
pub async fn apply<K>(
    context: &Context,
    about: &ObjectReference,
    wanted: &K,
    live: Option<&K>,
) -> Result<Outcome, ApplyError>
where
    K: OwnedKind + Serialize,
{
    let name = wanted.name_any();
    let namespace = wanted.namespace().unwrap_or_default();
    let key = (K::KIND, namespace.clone(), name.clone());
    let hash = wanted.annotations().get(APPLIED_HASH_ANNOTATION).cloned().unwrap_or_default();
    let earlier = context.applied(&key);
    if let Some(live) = live
        && earlier.as_ref().is_some_and(|earlier| {
            earlier.hash == hash && Some(&earlier.resource_version) == live.meta().resource_version.as_ref()
        })
    {
        return Ok(Outcome::Unchanged);
    }
    if let Some(live) = live {
        check_owner(about, live)?;
    }
    let api: Api<K> = Api::namespaced(context.client.clone(), &namespace);
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let applied = api.patch(&name, &parameters, &Patch::Apply(wanted)).await.map_err(|source| {
        ApplyError::Apply { kind: K::KIND, name: name.clone(), source: Box::new(source) }
    })?;
    let resource_version = applied.resource_version().unwrap_or_default();
    context.set_applied(key, Applied { hash: hash.clone(), resource_version: resource_version.clone() });

    let outcome = match live {
        None if earlier.is_some() => Outcome::Repaired,
        None => Outcome::Created,
        Some(live) if is_same(live, &applied) => Outcome::Unchanged,
        Some(live) if live.annotations().get(APPLIED_HASH_ANNOTATION) == Some(&hash) => Outcome::Repaired,
        Some(live) => match earlier {
            // Its hash was edited too.
            Some(earlier) if earlier.hash == hash => Outcome::Repaired,
            _ if live.annotations().contains_key(APPLIED_HASH_ANNOTATION) => Outcome::Changed,
            _ => Outcome::Repaired,
        },
    };
    tell(context, about, K::KIND, &name, outcome).await;
    Ok(outcome)
}

/// Whether an apply has changed anything. Where there is a generation, the resourceVersion also moves when a
/// controller writes the status, perhaps between our look and our apply.
fn is_same<K: Resource>(live: &K, applied: &K) -> bool {
    let (live, applied) = (live.meta(), applied.meta());
    if live.resource_version == applied.resource_version {
        return true;
    }
    live.generation.is_some()
        && live.generation == applied.generation
        && live.labels == applied.labels
        && live.annotations == applied.annotations
        && live.owner_references == applied.owner_references
}

async fn tell(context: &Context, about: &ObjectReference, kind: &'static str, name: &str, outcome: Outcome) {
    match outcome {
        Outcome::Unchanged => {}
        Outcome::Created => {
            context.events.normal(about, "Created", &format!("created {kind} {name}")).await;
        }
        Outcome::Changed => {
            context.events.normal(about, "Updated", &format!("updated {kind} {name}")).await;
        }
        Outcome::Repaired => {
            context.metrics.repairs.get_or_create(&KindLabels { kind }).inc();
            let note = format!("{kind} {name} had been changed or deleted by somebody else and was repaired");
            context.events.warning(about, "DriftRepaired", &note).await;
        }
    }
    if outcome != Outcome::Unchanged {
        tracing::info!(kind, name, ?outcome, "applied");
    }
}

/// An object without an owner, or with ours from an earlier life, is adopted.
fn check_owner<K: OwnedKind>(about: &ObjectReference, live: &K) -> Result<(), ApplyError> {
    let owners = live.meta().owner_references.as_deref().unwrap_or_default();
    let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) else { return Ok(()) };
    if Some(&owner.uid) == about.uid.as_ref()
        || (owner.kind == about.kind.clone().unwrap_or_default() && Some(&owner.name) == about.name.as_ref())
    {
        return Ok(());
    }
    Err(ApplyError::Foreign {
        kind: K::KIND,
        name: live.name_any(),
        owner: format!("{} {}", owner.kind, owner.name),
    })
}

/// Deletes an owned object that is not wanted any more; one that is gone already is no error.
///
/// # Errors
/// The API server refuses.
pub async fn delete<K>(
    context: &Context,
    about: &ObjectReference,
    live: &K,
    propagation: PropagationPolicy,
) -> Result<(), ApplyError>
where
    K: OwnedKind,
{
    let name = live.name_any();
    let namespace = live.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(context.client.clone(), &namespace);
    let parameters = DeleteParams { propagation_policy: Some(propagation), ..DeleteParams::default() };
    match api.delete(&name, &parameters).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(source) => {
            return Err(ApplyError::Delete { kind: K::KIND, name, source: Box::new(source) });
        }
    }
    context.forget_applied(&(K::KIND, namespace, name.clone()));
    tracing::info!(kind = K::KIND, name, "deleted");
    context.events.normal(about, "Deleted", &format!("deleted {} {name}", K::KIND)).await;
    Ok(())
}

/// Deletes those of one kind that are not among the wanted; returns their names.
///
/// # Errors
/// The API server refuses.
pub async fn delete_others<'a, K: OwnedKind>(
    context: &Context,
    about: &ObjectReference,
    wanted: &[&str],
    objects: &'a BTreeMap<String, K>,
) -> Result<Vec<&'a String>, ApplyError> {
    let mut deleted = Vec::new();
    for (name, object) in objects.iter().filter(|(name, _)| !wanted.contains(&name.as_str())) {
        delete(context, about, object, PropagationPolicy::Background).await?;
        deleted.push(name);
    }
    Ok(deleted)
}

/// Tells what could not be applied.
pub async fn tell_failures(context: &Context, about: &ObjectReference, failures: &[String]) {
    for failure in failures {
        tracing::warn!(failure, "not applied");
        context.events.warning(about, "ApplyFailed", failure).await;
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSet;

    use super::*;

    #[test]
    fn a_written_status_is_no_drift() {
        let mut live = StatefulSet::default();
        live.metadata.generation = Some(3);
        live.metadata.resource_version = Some("10".to_owned());
        let mut applied = live.clone();
        applied.metadata.resource_version = Some("11".to_owned());
        assert!(is_same(&live, &applied));
        applied.metadata.generation = Some(4);
        assert!(!is_same(&live, &applied));
        applied.metadata.generation = Some(3);
        applied.metadata.labels = Some([("somebody".to_owned(), "else".to_owned())].into());
        assert!(!is_same(&live, &applied));
        live.metadata.generation = None;
        applied = live.clone();
        applied.metadata.resource_version = Some("12".to_owned());
        assert!(!is_same(&live, &applied), "without a generation every change counts");
    }
}
