//! Kubernetes Events: what a person would want to be told. An event that cannot be written is logged
//! and stops nothing.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// The longest note that the API server takes, in bytes.
const MAX_NOTE: usize = 1_024;

/// Writes events about one kind of object or another.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Events that `identity` reports.
    pub fn new(client: Client, identity: &str) -> Events {
        let reporter =
            Reporter { controller: "qoeplane-operator".to_owned(), instance: Some(identity.to_owned()) };
        Events { recorder: Recorder::new(client, reporter) }
    }

    /// Something was done.
    pub async fn normal(&self, about: &ObjectReference, reason: &str, note: &str) {
        self.publish(EventType::Normal, about, reason, note).await;
    }

    /// Somebody should look.
    pub async fn warning(&self, about: &ObjectReference, reason: &str, note: &str) {
        self.publish(EventType::Warning, about, reason, note).await;
    }

    async fn publish(&self, kind: EventType, about: &ObjectReference, reason: &str, note: &str) {
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(shorten(note)),
            action: action(note),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::warn!(%error, reason, note, "an event was not written");
        }
    }
}

/// The recorder counts events with the same reason and action as one series, with the first one's note: what
/// is said in other words must be another event.
fn action(note: &str) -> String {
    let mut hasher = DefaultHasher::new();
    note.hash(&mut hasher);
    format!("Reconcile-{:016x}", hasher.finish())
}

fn shorten(note: &str) -> String {
    if note.len() <= MAX_NOTE {
        return note.to_owned();
    }
    let mut end = MAX_NOTE - "...".len();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", note.get(..end).unwrap_or_default())
}
