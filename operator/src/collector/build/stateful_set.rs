//! The StatefulSet of one receiver. Exactly one replica: the journal is its identity.
//!
//! Everything but the pod template, the replicas and the update strategy is immutable in Kubernetes: what
//! is written here for a volume claim or a selector must stay so in all versions.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::super::parts;
use super::{JOURNAL_VOLUME, Receiver, labels, pod, selector};

/// Size of a journal's volume unless told otherwise.
const DEFAULT_SIZE: &str = "10Gi";

pub(super) fn build(receiver: &Receiver<'_>, restart_hash: &str) -> StatefulSet {
    let (collector, dpi) = (&receiver.collector.name, receiver.dpi.id);
    let journal = receiver.spec().and_then(|spec| spec.journal.as_ref());
    let size = journal.and_then(|journal| journal.size.as_ref()).map_or(DEFAULT_SIZE, |size| size.as_str());
    let class = journal.and_then(|journal| journal.storage_class_name.as_deref());
    let claim = parts::claim(JOURNAL_VOLUME, labels(collector, dpi), size, class);
    let template = pod::template(receiver, restart_hash);
    parts::stateful_set(receiver.metadata(), selector(collector, dpi), receiver.name(), template, vec![claim])
}
