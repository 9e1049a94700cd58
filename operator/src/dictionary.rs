//! The status of `QoeDictionary` objects: from what the object says and what the loaders of its collectors have
//! reported. Asks nobody, so it is looked at often; writes only what has changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::kubernetes::Dictionary;
use crds::status::QoeDictionaryStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};

use crate::collector::write_status;
use crate::context::Context;
use crate::controllers::GuardedDictionary;
use crate::dictionaries::is_for;
use crate::dictionaries::judgement::{self, Judgement, Standing, User};
use crate::metrics::DictionaryLabels;

const KIND: &str = "QoeDictionary";
/// How long a report may be without a status.
const AGAIN: Duration = Duration::from_secs(5);
/// What cannot be read is written without being compared, so seldom.
const UNREADABLE_AGAIN: Duration = Duration::from_secs(300);
const AFTER_ERROR: Duration = Duration::from_secs(15);

/// Why a dictionary could not be reported on.
#[derive(Debug, thiserror::Error)]
#[error("the status could not be written: {0}")]
pub struct DictionaryError(#[source] Box<kube::Error>);

/// Judges one dictionary and writes its status if that changes.
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
    result.map(|()| Action::requeue(if object.0.is_ok() { AGAIN } else { UNREADABLE_AGAIN }))
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
    let (new, previous) = match &object.0 {
        Ok(dictionary) => {
            let previous = dictionary.status.clone().unwrap_or_default();
            let users = users(context, dictionary).await;
            let new = status(dictionary, &users, &previous, Timestamp::now());
            context.metrics.count_dictionary(&DictionaryLabels::of(meta), &new);
            (new, Some(previous))
        }
        Err(error) => (unreadable(meta, &error.error), None),
    };
    if previous.as_ref() == Some(&new) {
        return Ok(());
    }
    let (namespace, name) =
        (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
    write_status::write::<Dictionary>(context, &namespace, &name, &new)
        .await
        .map_err(|error| DictionaryError(Box::new(error)))
}

/// The collectors that use a dictionary, by name.
async fn users(context: &Context, dictionary: &Dictionary) -> Vec<User> {
    let mut users = Vec::new();
    for collector in context.collectors().await {
        let meta = collector.meta();
        let (Some(name), Some(uid)) = (&meta.name, &meta.uid) else { continue };
        let there = collector.0.is_ok() && meta.deletion_timestamp.is_none();
        let here = meta.namespace == dictionary.metadata.namespace;
        if there && here && is_for(dictionary.spec.collectors.as_ref(), name) {
            let entry = context.book.entry(uid, &dictionary.name_any());
            users.push(User { name: name.clone(), entry });
        }
    }
    users.sort_by(|first, second| first.name.cmp(&second.name));
    users
}

/// The whole new status.
fn status(
    dictionary: &Dictionary,
    users: &[User],
    previous: &QoeDictionaryStatus,
    now: Timestamp,
) -> QoeDictionaryStatus {
    let meta = &dictionary.metadata;
    let judgement = match judgement::of_object(dictionary) {
        Some(judgement) => judgement,
        None if judgement::still_holds(users, meta.generation, previous) => return previous.clone(),
        None => {
            let generation = meta.generation.unwrap_or_default();
            judgement::of_users(users, generation, dictionary.spec.collectors.as_ref())
        }
    };
    QoeDictionaryStatus {
        observed_generation: meta.generation,
        conditions: conditions(&judgement, meta.generation, &previous.conditions, now),
        ..judgement::numbers(users, &judgement, previous)
    }
}

/// What cannot be read has no earlier status: its time must not move with every look, or each look would cause
/// the next.
fn unreadable(meta: &ObjectMeta, error: &str) -> QoeDictionaryStatus {
    let created = meta.creation_timestamp.as_ref().map_or_else(Timestamp::now, |time| time.0);
    let message = crds::status::shorten(error, crds::status::MAX_TEXT);
    let judgement =
        Judgement { standing: Standing::Invalid, message: format!("the object cannot be read: {message}") };
    QoeDictionaryStatus {
        observed_generation: meta.generation,
        conditions: conditions(&judgement, meta.generation, &[], created),
        ..QoeDictionaryStatus::default()
    }
}

/// Times are kept where the status did not change.
fn conditions(
    judgement: &Judgement,
    generation: Option<i64>,
    previous: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let Judgement { standing, message } = judgement;
    let values = [
        ("Ready", standing.is_ready()),
        ("Reconciling", standing.is_reconciling()),
        ("Stalled", standing.is_stalled()),
    ];
    let condition = |(name, value): (&str, bool)| {
        let status = if value { "True" } else { "False" };
        let earlier = previous.iter().find(|earlier| earlier.type_ == name && earlier.status == status);
        Condition {
            type_: name.to_owned(),
            status: status.to_owned(),
            reason: standing.reason().to_owned(),
            message: message.clone(),
            observed_generation: generation,
            last_transition_time: earlier.map_or(Time(now), |earlier| earlier.last_transition_time.clone()),
        }
    };
    values.map(condition).to_vec()
}

#[cfg(test)]
mod tests {
    use dictionaries::parse::BadRows;
    use dictionaries::{Report, State};
    use serde_json::{Value, json};

    use super::*;
    use crate::dictionaries::Entry;

    fn dictionary(source: Value) -> Dictionary {
        let object = json!({
            "apiVersion": "qoeplane.io/v1alpha1",
            "kind": "QoeDictionary",
            "metadata": {"name": "subnets", "namespace": "n", "generation": 2},
            "spec": {"type": "SubnetsLocal", "source": source},
        });
        serde_json::from_value(object).unwrap()
    }

    fn main(state: State) -> Vec<User> {
        let bad = BadRows::default();
        let (object, version) = ("subnets".to_owned(), Some(7));
        let report = Report { object, rows: 3, bad, warnings: Vec::new(), version, state };
        vec![User { name: "main".to_owned(), entry: Some(Entry { generation: 2, report }) }]
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    /// `Type=Status/Reason` of all conditions.
    fn shown(status: &QoeDictionaryStatus) -> String {
        let words = status
            .conditions
            .iter()
            .map(|found| format!("{}={}/{}", found.type_, found.status, found.reason));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_status_says_what_is_in_force() {
        let object = dictionary(json!({"inline": ""}));
        let first = status(&object, &main(State::InForce), &QoeDictionaryStatus::default(), at(0));
        assert_eq!(shown(&first), "Ready=True/InForce Reconciling=False/InForce Stalled=False/InForce");
        assert_eq!((first.rows, first.bad_rows, first.version.as_deref()), (Some(3), Some(0), Some("7")));
        assert_eq!(first.used_by, ["main"]);
        assert_eq!(first.observed_generation, Some(2));
        // Nothing has changed: nothing is written.
        assert_eq!(status(&object, &main(State::InForce), &first, at(60)), first);

        let second = status(&object, &main(State::BadRows), &first, at(60));
        assert_eq!(shown(&second), "Ready=False/BadRows Reconciling=False/BadRows Stalled=True/BadRows");
        let times: Vec<i64> =
            second.conditions.iter().map(|found| found.last_transition_time.0.as_second()).collect();
        assert_eq!(times, [at(60), at(0), at(60)].map(|time| time.as_second()));
    }

    #[test]
    fn what_makes_no_sense_is_said_whatever_is_in_force() {
        let file = status(
            &dictionary(json!({"file": "./a"})),
            &main(State::InForce),
            &QoeDictionaryStatus::default(),
            at(0),
        );
        assert_eq!(
            shown(&file),
            "Ready=False/NotOnKubernetes Reconciling=False/NotOnKubernetes Stalled=True/NotOnKubernetes"
        );
        let none = status(&dictionary(json!({})), &[], &QoeDictionaryStatus::default(), at(0));
        assert!(shown(&none).ends_with("Stalled=True/Invalid"), "{}", shown(&none));
    }

    #[test]
    fn what_cannot_be_read_has_the_same_status_each_time() {
        let mut meta = dictionary(json!({})).metadata;
        meta.creation_timestamp = Some(Time(at(0)));
        let first = unreadable(&meta, "unknown field");
        assert_eq!(shown(&first), "Ready=False/Invalid Reconciling=False/Invalid Stalled=True/Invalid");
        assert_eq!(unreadable(&meta, "unknown field"), first);
    }

    #[test]
    fn a_restart_of_the_operator_is_not_seen() {
        let object = dictionary(json!({"inline": ""}));
        let before = status(&object, &main(State::InForce), &QoeDictionaryStatus::default(), at(0));
        let unreported = [User { name: "main".to_owned(), entry: None }];
        assert_eq!(status(&object, &unreported, &before, at(60)), before);
        let fresh = status(&object, &unreported, &QoeDictionaryStatus::default(), at(60));
        assert_eq!(shown(&fresh), "Ready=False/Loading Reconciling=True/Loading Stalled=False/Loading");
    }
}
