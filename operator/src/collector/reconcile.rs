//! The reconcile of one collector, from the object to its status. Every step is repeatable; whatever ends
//! it in the middle, the next one goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::kubernetes::{Collector, Dictionary};
use crds::status::{QoeCollectorStatus, ShardState};
use k8s_openapi::api::core::v1::{Node, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use tracing::Instrument;

use super::build::{self, ReceiverResources};
use super::deletion::{self, DeletionError};
use super::dereference::{self, Found, ReadError};
use super::receivers::{self, Seen};
use super::servers::{self, passwords};
use super::shards::{self, Shards};
use super::status::{self, DictionaryFacts, Facts, ReceiverFacts, SchemaReport, ServersFacts, ShardFacts};
use super::validate::{Refused, no_volume_is_left_out, validate};
use super::{clickhouse_step, facts, journal_volume, make_true, nodes, parts, version, write_status};
use crate::context::Context;
use crate::controllers::GuardedCollector;
use crate::dictionaries::is_for;
use crate::dictionaries::judgement::{self, User};
use crate::metrics::collectors::{DpiLabels, ShardLabels};

const KIND: &str = "QoeCollector";
/// When all is well: Secrets and the database are not watched.
const AGAIN: Duration = Duration::from_secs(60);
/// While a person is waited for: nodes and Secrets are not watched.
const LATER: Duration = Duration::from_secs(20);
/// While something is under way.
const SOON: Duration = Duration::from_secs(5);
/// Longest time of one reconcile.
const WITHIN: Duration = Duration::from_secs(600);

/// Why a reconcile did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Something could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The object's end.
    #[error(transparent)]
    Deletion(#[from] DeletionError),
    /// The status could not be written.
    #[error("the status could not be written: {0}")]
    Status(#[source] Box<kube::Error>),
    /// It took too long.
    #[error("not done within {} s", WITHIN.as_secs())]
    TimedOut,
}

impl ReconcileError {
    fn reason(&self) -> &'static str {
        match self {
            ReconcileError::Read(_) => "ReadFailed",
            ReconcileError::Deletion(_) => "DeletionFailed",
            ReconcileError::Status(_) => "StatusFailed",
            ReconcileError::TimedOut => "TimedOut",
        }
    }
}

/// One reconcile, counted, logged and limited in time.
///
/// # Errors
/// What is tried again.
pub async fn reconcile(
    object: Arc<GuardedCollector>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let meta = object.meta();
    let span = tracing::info_span!(
        "reconcile",
        kind = KIND,
        namespace = meta.namespace,
        object = meta.name,
        id = context.reconcile_id()
    );
    let begun = Instant::now();
    context.metrics.begin(KIND);
    let work = async {
        match &object.0 {
            Ok(collector) => work(&context, collector).await,
            Err(error) => undecodable(&context, &object, &error.error).await,
        }
    };
    let result = match tokio::time::timeout(WITHIN, work.instrument(span)).await {
        Ok(result) => result,
        Err(_) => Err(ReconcileError::TimedOut),
    };
    context.metrics.end(KIND, begun.elapsed(), result.as_ref().err().map(ReconcileError::reason));
    result
}

/// Tried again soon; the API server may be busy or away.
pub fn after_error(object: Arc<GuardedCollector>, error: &ReconcileError, _: Arc<Context>) -> Action {
    let meta = object.meta();
    tracing::warn!(kind = KIND, namespace = meta.namespace, name = meta.name, %error, "reconcile failed");
    Action::requeue(SOON)
}

async fn work(context: &Context, object: &Collector) -> Result<Action, ReconcileError> {
    let about = object.object_ref(&());
    if object.metadata.deletion_timestamp.is_some() {
        let gone = deletion::go_on(context, object, &about).await?;
        return Ok(if gone { Action::await_change() } else { Action::requeue(SOON) });
    }
    if deletion::keep_finalizer(context, object).await? {
        return Ok(Action::requeue(SOON));
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    if clickhouse_step::managed_of(object).is_some() && !object.spec.paused {
        for secret in passwords::make_missing(context, object).await? {
            context
                .events
                .normal(&about, "PasswordMade", &format!("made Secret {secret} with a new password"))
                .await;
        }
    }
    let found = dereference::dereference(context, &namespace, &name, &object.spec).await?;
    let seen = receivers::ask(&found.pods).await;
    let previous = object.status.as_ref();

    let fixed = previous.and_then(|previous| previous.version.as_deref());
    let version = version::wanted(&object.spec, fixed, &context.options.receiver_version);
    let shards = clickhouse_step::shards_of(object);
    let validated = version.and_then(|version| {
        no_volume_is_left_out(object, &found.server_claims, shards.count())?;
        validate(object, &version, found.clickhouse.as_ref(), &found.missing, &shards)
    });
    let looked_at = match &validated {
        Ok(_) if !object.spec.paused => {
            Some(clickhouse_step::step(context, object, &about, &found, &seen).await)
        }
        _ => None,
    };
    let mut are_held = false;
    let validated = validated.and_then(|mut validated| {
        if let Some(step) = &looked_at {
            // A shard that takes rows is remembered first: receivers hear of it when the status is written.
            let known = step.shards.in_use.min(shards.in_use);
            let further = step.shards.urls.iter().take(known as usize).skip(1);
            validated.clickhouse.further_shards = further.cloned().collect();
            validated.clickhouse.closed_shards.clone_from(&step.closed);
            are_held =
                shards::are_held(&found.owned.config_maps, &validated.clickhouse, &step.schema.ready_shards);
        }
        let built = build::build(&validated, &context.options.images)
            .map_err(|error| Refused { reason: "Invalid", message: error.to_string() })?;
        Ok((validated.version, built))
    });
    let mut facts = Facts {
        generation: object.metadata.generation.unwrap_or_default(),
        version: None,
        refused: None,
        paused: object.spec.paused,
        receivers: Vec::new(),
        schema: SchemaReport::unknown("the object is not used as it is: see Stalled"),
        servers: remembered(&shards),
        failures: Vec::new(),
        lost_lately: 0,
        dictionaries: dictionaries(context, object).await?,
        now: Timestamp::now(),
    };
    let mut wanted = Vec::new();
    match validated {
        Err(refused) => {
            context.forget_tables(&object.uid().unwrap_or_default());
            tell_refusal(context, &about, previous, facts.generation, &refused).await;
            facts.refused = Some(refused);
        }
        Ok((version, built)) => {
            facts.version = Some(version);
            wanted = built.receivers;
            for receiver in &mut wanted {
                parts::note_template(&mut receiver.stateful_set);
            }
            if previous.and_then(|previous| previous.observed_generation) != Some(facts.generation) {
                for notice in &built.notices {
                    context.events.warning(&about, "NotYet", &notice.to_string()).await;
                }
            }
            if object.spec.paused {
                facts.schema = SchemaReport::unknown("spec.paused: the tables are not looked at");
            }
        }
    }
    if let Some(step) = looked_at {
        (facts.schema, facts.servers) = (step.schema, step.facts);
        let failures = match step.servers {
            Some((servers, decisions)) => {
                let may_go = step.surplus_may_go;
                servers::make_true::make_true(context, &about, servers, &decisions, may_go, &found).await
            }
            None if found.servers.stateful_sets.is_empty() => Vec::new(),
            // Receivers store there until they are sent to servers that have our tables.
            None if !shards::are_ours(&facts.schema.ready_shards, step.shards.in_use) => Vec::new(),
            None => servers::make_true::delete_all(context, &about, &found).await,
        };
        facts.failures = failures;
    }
    facts.receivers = receiver_facts(context, object, &wanted, &found, &seen).await;
    if facts.refused.is_none() && !object.spec.paused {
        if journal_volume::recreate_lost(context, &about, object, &facts.receivers, &found).await {
            return Ok(Action::requeue(SOON));
        }
        // Rows must not go to somebody else's database, not even to one that the object names.
        if !are_held && !facts.schema.foreign {
            let may_run = facts.schema.new_version_may_run;
            facts.failures.extend(make_true::make_true(context, &about, wanted, &found, may_run).await);
        }
    }
    facts.lost_lately = lost_lately(context, &object.uid().unwrap_or_default(), &facts.receivers);
    count_records(context, &namespace, &name, &facts.receivers);
    if facts.refused.is_none() && !object.spec.paused {
        count_storage(context, &namespace, &name, &facts.servers);
    }
    let new = status::status(&facts, previous);
    report(context, &about, &namespace, &name, previous, &new, facts.now).await?;
    let ready = status::condition(&new.conditions, "Ready").is_some_and(|ready| ready.status == "True");
    let stalled =
        status::condition(&new.conditions, "Stalled").is_some_and(|stalled| stalled.status == "True");
    let loading = status::condition(&new.conditions, "DictionariesReady")
        .is_some_and(|dictionaries| status::PASSING.contains(&dictionaries.reason.as_str()));
    let growing = new.shards.iter().any(|shard| !shard.in_use);
    Ok(Action::requeue(match (ready, stalled) {
        (true, _) if loading || growing => SOON,
        (true, _) => AGAIN,
        (false, true) => LATER,
        (false, false) => SOON,
    }))
}

async fn report(
    context: &Context,
    about: &ObjectReference,
    namespace: &str,
    name: &str,
    previous: Option<&QoeCollectorStatus>,
    new: &QoeCollectorStatus,
    now: Timestamp,
) -> Result<(), ReconcileError> {
    if !status::is_worth_writing(previous, new, now) {
        return Ok(());
    }
    write_status::write::<Collector>(context, namespace, name, new)
        .await
        .map_err(|error| ReconcileError::Status(Box::new(error)))?;
    let earlier = previous.map(|previous| previous.conditions.as_slice()).unwrap_or_default();
    let before = status::condition(earlier, "Ready").map(|ready| ready.status.as_str());
    let Some(after) = status::condition(&new.conditions, "Ready") else { return Ok(()) };
    if before != Some(after.status.as_str()) {
        if after.status == "True" {
            context.events.normal(about, "Ready", &after.message).await;
        } else if before.is_some() {
            context.events.warning(about, &after.reason, &after.message).await;
        }
        tracing::info!(
            ready = after.status,
            reason = after.reason,
            message = after.message,
            "status changed"
        );
    }
    Ok(())
}

/// Which servers hold rows is remembered by the status alone: it must not be forgotten while nobody looks.
fn remembered(shards: &Shards) -> ServersFacts {
    let facts = |(shard, url): (u32, &String)| ShardFacts::remembered(shard, url, shard < shards.in_use);
    ServersFacts { shards: (0..).zip(&shards.urls).map(facts).collect(), ..ServersFacts::default() }
}

/// [`remembered`], of an object of which only the status may be readable.
async fn remembered_of_undecodable(context: &Context, meta: &ObjectMeta) -> Result<ServersFacts, ReadError> {
    let resource = ApiResource::erase::<Collector>(&());
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &resource);
    let name = meta.name.as_deref().unwrap_or_default();
    let found =
        api.get_opt(name).await.map_err(|error| ReadError::new(format!("QoeCollector {name}"), error))?;
    let status = found.and_then(|found| found.data.pointer("/status/shards").cloned());
    let known: Vec<ShardState> =
        status.and_then(|shards| serde_json::from_value(shards).ok()).unwrap_or_default();
    let facts = |known: &ShardState| {
        ShardFacts::remembered(known.shard, known.url.as_deref().unwrap_or_default(), known.in_use)
    };
    Ok(ServersFacts { shards: known.iter().map(facts).collect(), ..ServersFacts::default() })
}

/// Told once per change of the object or of the reason.
async fn tell_refusal(
    context: &Context,
    about: &ObjectReference,
    previous: Option<&QoeCollectorStatus>,
    generation: i64,
    refused: &Refused,
) {
    let stalled = previous.and_then(|previous| status::condition(&previous.conditions, "Stalled"));
    let told = stalled.is_some_and(|stalled| {
        stalled.observed_generation == Some(generation) && stalled.reason == refused.reason
    });
    if !told {
        tracing::warn!(reason = refused.reason, message = refused.message, "the object is not used as it is");
        context.events.warning(about, refused.reason, &refused.message).await;
    }
}

async fn receiver_facts(
    context: &Context,
    object: &Collector,
    wanted: &[ReceiverResources],
    found: &Found,
    seen: &BTreeMap<u16, Seen>,
) -> Vec<ReceiverFacts> {
    let name = object.name_any();
    let mut all = Vec::new();
    let mut known_nodes: Option<Vec<Node>> = None;
    for dpi in &object.spec.dpis {
        let resources = wanted.iter().find(|resources| resources.dpi == dpi.id);
        let mut facts = facts::of_dpi(&name, dpi, resources, found, seen);
        let pod = seen.get(&dpi.id).and_then(|seen| seen.pod.as_ref());
        if let Some(pod) = pod
            && let Some(words) = facts::unschedulable(pod)
        {
            if known_nodes.is_none() {
                known_nodes = Some(list_nodes(context).await);
            }
            let known = known_nodes.as_deref().unwrap_or_default();
            facts.journal_lost = journal_volume::lost(context, found, &name, dpi.id, known).await;
            if facts.journal_lost.is_none() {
                facts.unscheduled = Some(nodes::explain(pod, known, &words));
            }
        }
        all.push(facts);
    }
    all
}

/// Nobody may be allowed to list them: then the scheduler's words must do.
async fn list_nodes(context: &Context) -> Vec<Node> {
    let api: Api<Node> = Api::all(context.client.clone());
    match api.list(&ListParams::default()).await {
        Ok(nodes) => nodes.items,
        Err(error) => {
            tracing::debug!(%error, "nodes cannot be listed");
            Vec::new()
        }
    }
}

/// What is said of the dictionaries that this collector uses, as far as it is concerned.
async fn dictionaries(context: &Context, object: &Collector) -> Result<DictionaryFacts, ReadError> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let uid = object.uid().unwrap_or_default();
    let all: Vec<DeserializeGuard<Dictionary>> = dereference::list(context, &namespace, "").await?;
    let (mut judged, mut newest) = (Vec::new(), 0);
    for dictionary in all.into_iter().filter_map(|guarded| guarded.0.ok()) {
        if dictionary.metadata.deletion_timestamp.is_some()
            || !is_for(dictionary.spec.collectors.as_ref(), &name)
        {
            continue;
        }
        let user = User { name: name.clone(), entry: context.book.entry(&uid, &dictionary.name_any()) };
        let (judgement, version) = judgement::of_one(&dictionary, user);
        newest = newest.max(version.unwrap_or(0));
        judged.push((dictionary.name_any(), judgement));
    }
    Ok(DictionaryFacts { judged, newest })
}

/// Each receiver by itself: one that did not answer for a while has not lost everything anew.
fn lost_lately(context: &Context, uid: &str, receivers: &[ReceiverFacts]) -> u64 {
    let mut sum = 0_u64;
    for receiver in receivers {
        if let Some(Ok(answer)) = &receiver.status {
            sum = sum.saturating_add(context.lost_lately(uid, receiver.dpi, status::lost(answer)));
        }
    }
    sum
}

/// One that does not answer keeps its last numbers.
fn count_records(context: &Context, namespace: &str, name: &str, receivers: &[ReceiverFacts]) {
    let numbers = &context.metrics.collectors;
    let labels = |dpi: u16| DpiLabels {
        namespace: namespace.to_owned(),
        collector: name.to_owned(),
        dpi: u32::from(dpi),
    };
    for receiver in receivers {
        if let Some(sums) = status::balance(receiver) {
            numbers.tell_records(labels(receiver.dpi), sums);
        }
    }
    let has = |dpi: u32| receivers.iter().any(|receiver| u32::from(receiver.dpi) == dpi);
    numbers.retain_dpis(|told| told.namespace != namespace || told.collector != name || has(told.dpi));
}

fn count_storage(context: &Context, namespace: &str, name: &str, servers: &ServersFacts) {
    let numbers = &context.metrics.collectors;
    for facts in &servers.shards {
        let labels =
            ShardLabels { namespace: namespace.to_owned(), collector: name.to_owned(), shard: facts.shard };
        for volume in facts.storage.iter().flat_map(|storage| &storage.volumes) {
            numbers.tell_volume(&labels, &volume.name, volume.total, volume.free);
        }
        numbers.tell_server(labels, facts.ready);
    }
    let has = |shard: u32| servers.shards.iter().any(|facts| facts.shard == shard);
    numbers.retain_servers(|told| told.namespace != namespace || told.collector != name || has(told.shard));
}

/// An object that this version cannot read: said in its status, left until it changes.
async fn undecodable(
    context: &Context,
    object: &GuardedCollector,
    error: &str,
) -> Result<Action, ReconcileError> {
    let meta = object.meta();
    if meta.deletion_timestamp.is_some() {
        deletion::release_undecodable(context, meta, &object.object_ref(&())).await?;
        return Ok(Action::await_change());
    }
    let created = meta.creation_timestamp.as_ref().map_or_else(Timestamp::now, |time| time.0);
    let facts = Facts {
        generation: meta.generation.unwrap_or_default(),
        version: None,
        refused: Some(Refused {
            reason: "Invalid",
            message: format!("this version of the operator cannot read the object: {error}"),
        }),
        paused: false,
        receivers: Vec::new(),
        schema: SchemaReport::unknown("the object is not used as it is: see Stalled"),
        servers: remembered_of_undecodable(context, meta).await?,
        failures: Vec::new(),
        lost_lately: 0,
        dictionaries: DictionaryFacts::default(),
        // Each look must give the same status, or each would cause the next.
        now: created,
    };
    let new = status::status(&facts, None);
    let (namespace, name) =
        (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
    tracing::warn!(error, "the object cannot be read");
    write_status::write::<Collector>(context, &namespace, &name, &new)
        .await
        .map_err(|error| ReconcileError::Status(Box::new(error)))?;
    Ok(Action::requeue(AGAIN))
}
