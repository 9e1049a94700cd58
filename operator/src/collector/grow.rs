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

/// Grows claims if more is wanted; true if the StatefulSet was deleted and has to be applied again: its claim templates
/// cannot be changed. Its pod goes on unless it lacks a volume.
///
/// # Errors
/// The API server refuses, for example because the storage class cannot grow volumes.
pub async fn grow(
    context: &Context,
    about: &ObjectReference,
    wanted: &mut StatefulSet,
    live: &StatefulSet,
    claims: &[PersistentVolumeClaim],
) -> Result<bool, ApplyError> {
    match growth::growth(wanted, Some(live), claims) {
        Growth::None => Ok(false),
        Growth::Refused(message) => {
            context.events.warning(about, "VolumeNotChanged", &message).await;
            // The rest of the object is applied all the same.
            growth::keep_claims(wanted, live);
            build::note_applied_hash(wanted);
            Ok(false)
        }
        Growth::Grow { claims: growing, replace } => {
            for (name, size) in &growing {
                let Some(claim) = claims.iter().find(|claim| claim.name_any() == *name) else { continue };
                let body = serde_json::json!({"spec": {"resources": {"requests": {"storage": size}}}});
                patch_claim(context, claim, &body).await?;
                context
                    .events
                    .normal(about, "VolumeGrows", &format!("the volume {name} grows to {size}"))
                    .await;
            }
            match replace {
                Replace::Not => {}
                Replace::AroundPod => apply::delete(context, about, live, PropagationPolicy::Orphan).await?,
                Replace::WithPod => {
                    apply::delete(context, about, live, PropagationPolicy::Foreground).await?
                }
            }
            Ok(replace != Replace::Not)
        }
    }
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
