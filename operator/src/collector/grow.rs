//! Makes volumes grow, as `growth` decides: patches claims, and replaces the StatefulSet.

use std::fmt::Debug;

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolumeClaim};
use kube::api::{Patch, PatchParams, PropagationPolicy};
use kube::{Api, ResourceExt};

use super::apply::{self, ApplyError};
use super::build;
use super::growth::{self, Growth, Replace};
use crate::FIELD_MANAGER;
use crate::context::Context;

/// Applies a StatefulSet with its volumes. Claims grow at any time: a full volume may be what its turn waits for. The
/// rest is applied when `is_its_turn`, also if a claim cannot grow.
///
/// # Errors
/// The API server refuses, for example because the storage class cannot grow volumes.
pub async fn apply_with_volumes(
    context: &Context,
    about: &ObjectReference,
    mut wanted: StatefulSet,
    live: Option<&StatefulSet>,
    claims: &[PersistentVolumeClaim],
    is_its_turn: bool,
) -> Result<(), ApplyError> {
    let Some(live) = live else {
        // A new one restarts nothing: it is always its turn.
        return apply::apply(context, about, &wanted, None).await.map(drop);
    };
    let (replace, grown) = grow(context, about, &mut wanted, live, claims).await;
    // One that is being deleted is made again by the next reconcile.
    if !is_its_turn || live.metadata.deletion_timestamp.is_some() {
        return grown;
    }
    match replace {
        Replace::Not => drop(apply::apply(context, about, &wanted, Some(live)).await?),
        Replace::AroundPod => apply::delete(context, about, live, PropagationPolicy::Orphan).await?,
        Replace::WithPod => apply::delete(context, about, live, PropagationPolicy::Foreground).await?,
    }
    grown
}

/// Grows claims if more is wanted; how the StatefulSet has to be replaced for it, whose claim templates cannot be changed,
/// and the first failure. What is impossible is told, and `wanted` gets the live templates.
async fn grow(
    context: &Context,
    about: &ObjectReference,
    wanted: &mut StatefulSet,
    live: &StatefulSet,
    claims: &[PersistentVolumeClaim],
) -> (Replace, Result<(), ApplyError>) {
    let (growing, replace) = match growth::growth(wanted, Some(live), claims) {
        Growth::None => return (Replace::Not, Ok(())),
        Growth::Refused(message) => {
            context.events.warning(about, "VolumeNotChanged", &message).await;
            growth::keep_claims(wanted, live);
            build::note_applied_hash(wanted);
            return (Replace::Not, Ok(()));
        }
        Growth::Grow { claims, replace } => (claims, replace),
    };
    let mut grown = Ok(());
    for (name, size) in &growing {
        let Some(claim) = claims.iter().find(|claim| claim.name_any() == *name) else { continue };
        let body = serde_json::json!({"spec": {"resources": {"requests": {"storage": size}}}});
        match patch_claim(context, claim, &body).await {
            Ok(()) => {
                let note = format!("the volume {name} grows to {size}");
                context.events.normal(about, "VolumeGrows", &note).await;
            }
            Err(error) => grown = grown.and(Err(error)),
        }
    }
    (replace, grown)
}

async fn patch_claim(
    context: &Context,
    claim: &PersistentVolumeClaim,
    body: &(impl serde::Serialize + Debug),
) -> Result<(), ApplyError> {
    let api: Api<PersistentVolumeClaim> =
        Api::namespaced(context.client.clone(), &claim.namespace().unwrap_or_default());
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch(&claim.name_any(), &parameters, &Patch::Merge(body)).await {
        Ok(_) => Ok(()),
        Err(source) => Err(ApplyError::Apply {
            kind: PersistentVolumeClaim::KIND,
            name: claim.name_any(),
            source: Box::new(source),
        }),
    }
}
