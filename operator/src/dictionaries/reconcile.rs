//! The dictionaries of one collector: looked at when an object changes, and again after a while, for ConfigMaps,
//! Secrets and servers are not watched. Never touches a database that the collector's own reconcile has not found
//! to be its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::kubernetes::Collector;
use crds::status::QoeDictionaryStatus;
use dictionaries::{LoaderError, Report, State};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use tracing::Instrument;

use super::loader::{CycleError, Login};
use super::news::news;
use super::objects::{self, ObjectError, Wanted};
use super::{Entry, Page};
use crate::collector::clickhouse_step::shards_of;
use crate::collector::dereference::{self, ReadError};
use crate::collector::validate::validate;
use crate::context::Context;
use crate::controllers::GuardedCollector;

/// What reconciles are counted as.
const KIND: &str = "QoeDictionaryLoader";
/// While something may change that nobody tells us about, or is not in force.
const LOOK: Duration = Duration::from_secs(10);
/// When only objects matter, which are watched: what somebody did to the tables.
const AGAIN: Duration = Duration::from_secs(60);
/// While the tables are not there yet.
const SOON: Duration = Duration::from_secs(5);
/// While a person is waited for.
const LATER: Duration = Duration::from_secs(20);

/// Why the dictionaries of a collector could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LoadingError {
    /// The collector's Secrets.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The dictionaries or what they name.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The database.
    #[error(transparent)]
    Cycle(#[from] CycleError),
}

impl LoadingError {
    fn reason(&self) -> &'static str {
        match self {
            LoadingError::Read(_) | LoadingError::Object(_) => "ReadFailed",
            LoadingError::Cycle(_) => "LoadFailed",
        }
    }
}

/// One look at all dictionaries of a collector.
///
/// # Errors
/// What is tried again, with growing pauses.
pub async fn reconcile(object: Arc<GuardedCollector>, context: Arc<Context>) -> Result<Action, LoadingError> {
    let meta = object.meta();
    let span = tracing::info_span!(
        "dictionaries",
        namespace = meta.namespace,
        collector = meta.name,
        id = context.reconcile_id()
    );
    let begun = Instant::now();
    context.metrics.begin(KIND);
    let result = match &object.0 {
        Ok(collector) => look(&context, collector).instrument(span).await,
        // Its status says so.
        Err(_) => Ok(Action::await_change()),
    };
    context.metrics.end(KIND, begun.elapsed(), result.as_ref().err().map(LoadingError::reason));
    if result.is_ok() {
        context.loaders.succeeded(meta.uid.as_deref().unwrap_or_default());
    }
    result
}

/// Tried again, less and less often.
pub fn after_error(object: Arc<GuardedCollector>, error: &LoadingError, context: Arc<Context>) -> Action {
    let meta = object.meta();
    let pause = context.loaders.pause_after_failure(meta.uid.as_deref().unwrap_or_default());
    tracing::warn!(
        kind = KIND,
        namespace = meta.namespace,
        collector = meta.name,
        %error,
        again_in_s = pause.as_secs(),
        "the dictionaries were not looked at"
    );
    Action::requeue(pause)
}

async fn look(context: &Context, object: &Collector) -> Result<Action, LoadingError> {
    if object.metadata.deletion_timestamp.is_some() || object.spec.paused {
        return Ok(Action::await_change());
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let uid = object.uid().unwrap_or_default();
    let Some(tables) = context.tables(&uid, object.metadata.generation.unwrap_or_default()) else {
        return Ok(Action::requeue(SOON));
    };
    let mut missing = Vec::new();
    let credentials =
        dereference::credentials(context, &namespace, &name, &object.spec, &mut missing).await?;
    let shards = shards_of(object);
    // The version is the receivers' matter.
    let version = &context.options.receiver_version;
    let Ok(validated) = validate(object, version, credentials.as_ref(), &missing, &shards) else {
        return Ok(Action::requeue(LATER));
    };
    let Some(credentials) = credentials else { return Ok(Action::requeue(LATER)) };
    let database = validated.clickhouse.database;
    let wanted = objects::of_collector(context, &namespace, &name, &database).await?;
    let noted: Vec<Noted> = wanted.iter().map(Noted::of).collect();
    // Each server has all of them. The last comes first: what is reported is that of the first, whose versions are
    // those that receivers follow.
    let mut cycle = Ok(Vec::new());
    let servers = (0..shards.count()).zip(&shards.urls).zip(&tables).rev();
    for ((shard, url), _) in servers.filter(|(_, has_tables)| **has_tables) {
        let login = Login { url: url.clone(), database: database.clone(), credentials: credentials.clone() };
        let reports = context.loaders.cycle(&uid, shard, login, wanted.clone()).await;
        match (&cycle, reports) {
            // The others are looked at all the same.
            (Err(_), Ok(_)) => {}
            (_, reports) => cycle = reports,
        }
    }
    let reports = match cycle {
        Ok(reports) => reports,
        Err(error) => {
            let generations = noted.iter().map(|noted| (noted.name.clone(), noted.generation)).collect();
            context.book.record_failure(&uid, &generations, &error.to_string());
            if let CycleError::Loader(LoaderError::NoTables(_)) = &error {
                tracing::info!(%error, "the dictionaries wait");
                return Ok(Action::requeue(SOON));
            }
            return Err(error.into());
        }
    };
    if tables.first() != Some(&true) {
        return Ok(Action::requeue(SOON));
    }
    let in_force = reports.iter().all(|report| report.state == State::InForce);
    let looked_at = noted.iter().any(|noted| noted.is_looked_at);
    note(context, &uid, noted, reports).await;
    let waits = looked_at || !in_force || tables.contains(&false);
    Ok(Action::requeue(if waits { LOOK } else { AGAIN }))
}

/// What is left of an object when its source was read.
struct Noted {
    name: String,
    generation: i64,
    about: Option<ObjectReference>,
    is_looked_at: bool,
    status: Option<QoeDictionaryStatus>,
}

impl Noted {
    fn of(wanted: &Wanted) -> Noted {
        Noted {
            name: wanted.name.clone(),
            generation: wanted.generation,
            about: wanted.about.clone(),
            is_looked_at: wanted.is_looked_at,
            status: wanted.status.clone(),
        }
    }
}

/// Writes the reports down and tells what is new in them.
async fn note(context: &Context, uid: &str, noted: Vec<Noted>, reports: Vec<Report>) {
    let mut reports: BTreeMap<String, Report> =
        reports.into_iter().map(|report| (report.object.clone(), report)).collect();
    let mut page = Page::new();
    for Noted { name, generation, .. } in &noted {
        if let Some(report) = reports.remove(name) {
            page.insert(name.clone(), Entry { generation: *generation, report });
        }
    }
    let earlier = context.book.record(uid, page.clone());
    for Noted { name, about, status, .. } in &noted {
        let (Some(Entry { report, .. }), Some(about)) = (page.get(name), about) else { continue };
        let before = earlier.get(name).map(|entry| &entry.report);
        let Some(news) = news(before, status.as_ref(), report) else { continue };
        if news.warning {
            tracing::warn!(dictionary = name, reason = news.reason, message = news.note, "a dictionary");
            context.events.warning(about, news.reason, &news.note).await;
        } else {
            tracing::info!(dictionary = name, reason = news.reason, message = news.note, "a dictionary");
            context.events.normal(about, news.reason, &news.note).await;
        }
    }
}
