//! `QoeDictionary` objects: checked and reported on. This version does not load them, and says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::kubernetes::Dictionary;
use crds::status::QoeDictionaryStatus;
use crds::{QoeDictionary, validate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};

use crate::collector::write_status;
use crate::context::Context;
use crate::controllers::GuardedDictionary;

const KIND: &str = "QoeDictionary";
const AGAIN: Duration = Duration::from_secs(300);
const AFTER_ERROR: Duration = Duration::from_secs(15);

/// Why a dictionary could not be reported on.
#[derive(Debug, thiserror::Error)]
#[error("the status could not be written: {0}")]
pub struct DictionaryError(#[source] Box<kube::Error>);

/// Checks one dictionary and writes its status if that changes.
///
/// # Errors
/// The API server refuses the status.
pub async fn reconcile(
    object: Arc<GuardedDictionary>,
    context: Arc<Context>,
) -> Result<Action, DictionaryError> {
    let begun = Instant::now();
    context.metrics.begin(KIND);
    let result = report(&object, &context).await;
    context.metrics.end(KIND, begun.elapsed(), result.as_ref().err().map(|_| "StatusFailed"));
    result.map(|()| Action::requeue(AGAIN))
}

/// Tried again soon.
pub fn after_error(object: Arc<GuardedDictionary>, error: &DictionaryError, _: Arc<Context>) -> Action {
    let meta = object.meta();
    tracing::warn!(kind = KIND, namespace = meta.namespace, name = meta.name, %error, "reconcile failed");
    Action::requeue(AFTER_ERROR)
}

async fn report(object: &GuardedDictionary, context: &Context) -> Result<(), DictionaryError> {
    let meta = object.meta();
    if meta.deletion_timestamp.is_some() {
        return Ok(());
    }
    let (stalled, reason, message) = match &object.0 {
        Err(error) => (true, "Invalid", format!("the object cannot be read: {}", error.error)),
        Ok(dictionary) => judge(dictionary),
    };
    let previous =
        object.0.as_ref().ok().and_then(|dictionary| dictionary.status.clone()).unwrap_or_default();
    let conditions = [("Ready", false), ("Reconciling", false), ("Stalled", stalled)];
    let conditions = conditions.map(|(name, value)| {
        let status = if value { "True" } else { "False" };
        let earlier =
            previous.conditions.iter().find(|earlier| earlier.type_ == name && earlier.status == status);
        Condition {
            type_: name.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.clone(),
            observed_generation: meta.generation,
            last_transition_time: earlier
                .map_or_else(|| first_seen(object), |earlier| earlier.last_transition_time.clone()),
        }
    });
    let status = QoeDictionaryStatus {
        observed_generation: meta.generation,
        conditions: conditions.to_vec(),
        ..QoeDictionaryStatus::default()
    };
    if status == previous {
        return Ok(());
    }
    let (namespace, name) =
        (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
    write_status::write::<Dictionary>(context, &namespace, &name, &status)
        .await
        .map_err(|error| DictionaryError(Box::new(error)))
}

/// When a condition began. What cannot be read has no earlier status: its time must not move with every
/// look, or each look would cause the next.
fn first_seen(object: &GuardedDictionary) -> Time {
    match (&object.0, &object.meta().creation_timestamp) {
        (Err(_), Some(created)) => created.clone(),
        _ => Time(Timestamp::now()),
    }
}

/// Whether a person has to act, the reason and words.
fn judge(dictionary: &Dictionary) -> (bool, &'static str, String) {
    let problems = validate::dictionary(&QoeDictionary::from(dictionary));
    if !problems.is_empty() {
        return (true, "Invalid", validate::listed(&problems));
    }
    if dictionary.spec.source.file.is_some() {
        let message =
            "spec.source.file: files are read by `qoe up` on one machine only: use configMap, secret or http";
        return (true, "NotOnKubernetes", message.to_owned());
    }
    let message = format!(
        "the object is sound; this version does not load {:?} dictionaries yet",
        dictionary.spec.dictionary_type
    );
    tracing::debug!(name = dictionary.name_any(), "not loaded yet");
    (false, "NotYetLoaded", message)
}
