//! The journal's volume of each receiver over its life: grown when the object asks for more, reported when
//! it is gone, made anew when the object says so. A journal that can still be read is never deleted here.

use std::fmt::Debug;

use crds::dpi::OnVolumeLost;
use crds::kubernetes::Collector;
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, ObjectReference, PersistentVolume, PersistentVolumeClaim};
use kube::api::{Patch, PatchParams, PropagationPolicy};
use kube::{Api, ResourceExt};

use super::apply::{self, ApplyError};
use super::build;
use super::dereference::Found;
use super::status::ReceiverFacts;
use super::volumes::{self, Growth};
use crate::FIELD_MANAGER;
use crate::context::Context;

/// Grows the claim if more is wanted; true if the StatefulSet was deleted, leaving its pod, and has to be
/// applied again: its claim templates cannot be changed.
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
    let claim = claims.iter().find(|claim| claim.name_any() == build::claim_name(&wanted.name_any()));
    match volumes::growth(wanted, Some(live), claim) {
        Growth::None => Ok(false),
        Growth::Refused(message) => {
            context.events.warning(about, "VolumeNotChanged", &message).await;
            // The rest of the object is applied all the same.
            volumes::keep_claim(wanted, live);
            build::note_applied_hash(wanted);
            Ok(false)
        }
        Growth::Grow { claim: patch, replace_stateful_set } => {
            if let (Some(claim), Some(size)) = (claim, patch) {
                let body = serde_json::json!({"spec": {"resources": {"requests": {"storage": size}}}});
                patch_claim(context, claim, &body).await?;
                let note = format!("the journal {} grows to {size}", claim.name_any());
                context.events.normal(about, "VolumeGrows", &note).await;
            }
            if replace_stateful_set {
                apply::delete(context, about, live, PropagationPolicy::Orphan).await?;
            }
            Ok(replace_stateful_set)
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

/// Why the journal of a DPI can never be mounted again, in words; `None` if it can.
pub async fn lost(
    context: &Context,
    found: &Found,
    collector: &str,
    dpi: u16,
    nodes: &[Node],
) -> Option<String> {
    let claim = claim_of(found, collector, dpi)?;
    let volume = match claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()) {
        Some(name) => {
            let api: Api<PersistentVolume> = Api::all(context.client.clone());
            api.get_opt(name).await.ok().flatten()
        }
        None => None,
    };
    volumes::lost(claim, volume.as_ref(), nodes)
}

/// Makes lost journals anew where the object says so: deletes claim and pod, the StatefulSet makes both
/// again. True if something was deleted.
pub async fn recreate_lost(
    context: &Context,
    about: &ObjectReference,
    object: &Collector,
    receivers: &[ReceiverFacts],
    found: &Found,
) -> bool {
    let mut deleted = false;
    for facts in receivers {
        let Some(why) = &facts.journal_lost else { continue };
        let dpi = object.spec.dpis.iter().find(|dpi| dpi.id == facts.dpi);
        let journal = dpi.and_then(|dpi| dpi.receiver.as_ref()?.journal.as_ref());
        if journal.map(|journal| journal.on_volume_lost).unwrap_or_default() != OnVolumeLost::Recreate {
            continue;
        }
        let Some(claim) = claim_of(found, &object.name_any(), facts.dpi) else { continue };
        let note = format!("DPI {}: {why}; a new journal is made", facts.dpi);
        context.events.warning(about, "JournalRecreated", &note).await;
        // The claim is kept until its pod is gone.
        let gone = apply::delete(context, about, claim, PropagationPolicy::Background).await;
        let pod = found.pods.iter().find(|pod| Some(pod.name_any()) == facts.pod);
        let gone = match (gone, pod) {
            (Ok(()), Some(pod)) => apply::delete(context, about, pod, PropagationPolicy::Background).await,
            (gone, _) => gone,
        };
        match gone {
            Ok(()) => deleted = true,
            Err(error) => tracing::warn!(%error, dpi = facts.dpi, "the lost journal cannot be made anew now"),
        }
    }
    deleted
}

fn claim_of<'a>(found: &'a Found, collector: &str, dpi: u16) -> Option<&'a PersistentVolumeClaim> {
    let name = build::claim_name(&build::object_name(collector, dpi));
    found.claims.iter().find(|claim| claim.name_any() == name)
}
