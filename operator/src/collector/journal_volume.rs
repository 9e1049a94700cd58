//! The journal's volume of each receiver when it is gone: reported, and made anew when the object says so. A journal
//! that can still be read is never deleted here.

use crds::dpi::OnVolumeLost;
use crds::kubernetes::Collector;
use k8s_openapi::api::core::v1::{Node, ObjectReference, PersistentVolume, PersistentVolumeClaim};
use kube::api::PropagationPolicy;
use kube::{Api, ResourceExt};

use super::apply;
use super::build;
use super::dereference::Found;
use super::status::ReceiverFacts;
use super::volumes;
use crate::context::Context;

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
