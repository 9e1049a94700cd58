//! The watches: what makes an object's reconcile run. An object that cannot be decoded does not stop the
//! others; a watch that fails is tried again with growing pauses.

use std::sync::Arc;
use std::time::Duration;

use crds::kubernetes::{Collector, Dictionary};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Config, Controller, Error as ControllerError};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::collector::build::{COLLECTOR_LABEL, MANAGED_BY_SELECTOR};
use crate::context::Context;
use crate::dictionaries::{self, forget_what_is_gone};
use crate::health::Health;
use crate::{collector, dictionary};

/// How long a watch may be silent, in seconds: the server ends it then, and one that is cut off shows.
const WATCH_SECONDS: u32 = 60;
/// Several changes at once are one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// A collector that may be undecodable.
pub type GuardedCollector = DeserializeGuard<Collector>;
/// A dictionary that may be undecodable.
pub type GuardedDictionary = DeserializeGuard<Dictionary>;

/// Runs all controllers; does not end.
pub async fn run(context: Arc<Context>, health: Arc<Health>) {
    let collectors = collectors(&context);
    let statuses = statuses(&context);
    let loaders = loaders(&context);
    context.set_collectors(collectors.store());
    let stores = (collectors.store(), statuses.store(), loaders.store());
    let ready = async {
        if stores.0.wait_until_ready().await.is_ok()
            && stores.1.wait_until_ready().await.is_ok()
            && stores.2.wait_until_ready().await.is_ok()
        {
            health.set_synced(true);
            tracing::info!("caches are filled");
            forget_what_is_gone(&context, stores.0, stores.1).await;
        }
        std::future::pending::<()>().await;
    };
    let collectors = collectors
        .run(collector::reconcile::reconcile, collector::reconcile::after_error, context.clone())
        .for_each(|result| async { log_watch_error("QoeCollector", result) });
    let statuses = statuses
        .run(dictionary::reconcile, dictionary::after_error, context.clone())
        .for_each(|result| async { log_watch_error("QoeDictionary", result) });
    let loaders = loaders
        .run(dictionaries::reconcile::reconcile, dictionaries::reconcile::after_error, context.clone())
        .for_each(|result| async { log_watch_error("QoeDictionaryLoader", result) });
    tokio::select! {
        () = ready => {}
        () = collectors => {}
        () = statuses => {}
        () = loaders => {}
    }
}

fn collectors(context: &Context) -> Controller<GuardedCollector> {
    let config = Config::default().concurrency(context.options.concurrency).debounce(DEBOUNCE);
    let owned = watcher::Config::default().labels(MANAGED_BY_SELECTOR).timeout(WATCH_SECONDS);
    let controller = Controller::new(api::<GuardedCollector>(context), plain()).with_config(config);
    let store = controller.store();
    controller
        .owns(api::<StatefulSet>(context), owned.clone())
        .owns(api::<Service>(context), owned.clone())
        .owns(api::<ConfigMap>(context), owned.clone())
        .owns(api::<ServiceAccount>(context), owned.clone())
        .owns(api::<PodDisruptionBudget>(context), owned.clone())
        .watches(api::<Pod>(context), owned, |pod| collector_of(&pod))
        .watches(api::<GuardedDictionary>(context), plain(), move |dictionary| {
            of_namespace(&store, &dictionary)
        })
}

fn statuses(context: &Context) -> Controller<GuardedDictionary> {
    let config = Config::default().concurrency(context.options.concurrency).debounce(DEBOUNCE);
    Controller::new(api::<GuardedDictionary>(context), plain()).with_config(config)
}

/// One look at the dictionaries of a collector at a time.
fn loaders(context: &Context) -> Controller<GuardedCollector> {
    let config = Config::default().concurrency(context.options.concurrency).debounce(DEBOUNCE);
    let controller = Controller::new(api::<GuardedCollector>(context), plain()).with_config(config);
    let store = controller.store();
    controller.watches(api::<GuardedDictionary>(context), plain(), move |dictionary| {
        of_namespace(&store, &dictionary)
    })
}

fn plain() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// All namespaces, or the one we are confined to.
fn api<K>(context: &Context) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + DeserializeOwned,
{
    match &context.options.namespace {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    }
}

/// A pod is owned by its StatefulSet; the label names the collector.
fn collector_of(pod: &Pod) -> Option<ObjectRef<GuardedCollector>> {
    let name = pod.labels().get(COLLECTOR_LABEL)?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
}

fn of_namespace(
    store: &Store<GuardedCollector>,
    dictionary: &GuardedDictionary,
) -> Vec<ObjectRef<GuardedCollector>> {
    let namespace = dictionary.meta().namespace.as_deref();
    let collectors = store.state();
    let same = collectors.iter().filter(|collector| collector.meta().namespace.as_deref() == namespace);
    same.map(|collector| ObjectRef::from_obj(collector.as_ref())).collect()
}

/// Reconciles log their own errors; an object that is gone meanwhile is none.
fn log_watch_error<T, R, Q>(kind: &'static str, result: Result<T, ControllerError<R, Q>>)
where
    R: std::error::Error,
    Q: std::error::Error,
{
    match result {
        Err(ControllerError::QueueError(error)) => {
            tracing::warn!(kind, %error, "a watch failed and is tried again; are the CRDs installed, and may we read?");
        }
        Err(ControllerError::RunnerError(error)) => {
            tracing::error!(kind, %error, "the controller's runner failed")
        }
        Ok(_) | Err(_) => {}
    }
}
