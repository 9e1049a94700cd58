//! The end of a collector with `deletionPolicy: Delete`: receivers first, then our servers or our tables, then the
//! volumes. The finalizer is there only for that policy, and it never holds the object for longer than
//! [`TIME_LIMIT_S`], whatever is gone. With `Retain` there is no finalizer: owner references suffice.

use crds::collector::DeletionPolicy;
use crds::kubernetes::Collector;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::apply::{self, ApplyError};
use super::clickhouse_step::shards_of;
use super::dereference::{self, ReadError};
use super::schema_step;
use crate::context::Context;

/// The finalizer's name.
pub const FINALIZER: &str = "qoeplane.io/delete-data";
/// How long the object waits for what cannot be reached, in seconds.
const TIME_LIMIT_S: i64 = 120;

/// Why an end was not reached (yet).
#[derive(Debug, thiserror::Error)]
pub enum DeletionError {
    /// The object's finalizers could not be changed.
    #[error("the finalizer could not be changed: {0}")]
    Finalizer(#[source] Box<kube::Error>),
    /// Something could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something could not be deleted.
    #[error(transparent)]
    Delete(#[from] ApplyError),
}

/// Puts the finalizer on, or takes it off, as the policy says. True if the object was changed, and another
/// reconcile follows by itself.
///
/// # Errors
/// The API server refuses.
pub async fn keep_finalizer(context: &Context, object: &Collector) -> Result<bool, DeletionError> {
    let wanted = object.spec.deletion_policy == DeletionPolicy::Delete;
    if wanted == has_finalizer(&object.metadata) {
        return Ok(false);
    }
    set_finalizer(context, &object.metadata, wanted).await?;
    Ok(true)
}

/// Does one more step of the deletion; true when the object has gone.
///
/// # Errors
/// What is tried again.
pub async fn go_on(
    context: &Context,
    object: &Collector,
    about: &ObjectReference,
) -> Result<bool, DeletionError> {
    if !has_finalizer(&object.metadata) {
        forget(context, object);
        return Ok(true);
    }
    let since = object
        .metadata
        .deletion_timestamp
        .as_ref()
        .map_or(0, |time| Timestamp::now().as_second() - time.0.as_second());
    match delete_everything(context, object, about).await {
        Ok(true) => {}
        Ok(false) if since < TIME_LIMIT_S => return Ok(false),
        Ok(false) => give_up(context, about, "receivers are still stopping").await,
        Err(error) if since < TIME_LIMIT_S => return Err(error),
        Err(error) => give_up(context, about, &error.to_string()).await,
    }
    set_finalizer(context, &object.metadata, false).await?;
    forget(context, object);
    Ok(true)
}

async fn give_up(context: &Context, about: &ObjectReference, why: &str) {
    let note = format!("the object goes after {TIME_LIMIT_S} s, some of its data stays: {why}");
    tracing::warn!(why, "deletion gives up");
    context.events.warning(about, "DeletionIncomplete", &note).await;
}

/// True when all that we made is gone.
async fn delete_everything(
    context: &Context,
    object: &Collector,
    about: &ObjectReference,
) -> Result<bool, DeletionError> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let found = dereference::dereference(context, &namespace, &name, &object.spec).await?;
    // Receivers store what they still have: servers and tables go when they are gone.
    for stateful_set in found.owned.stateful_sets.values() {
        apply::delete(context, about, stateful_set, PropagationPolicy::Background).await?;
    }
    if !found.pods.is_empty() || !found.owned.stateful_sets.is_empty() {
        return Ok(false);
    }
    for stateful_set in found.servers.stateful_sets.values() {
        apply::delete(context, about, stateful_set, PropagationPolicy::Background).await?;
    }
    if !found.server_pods.is_empty() || !found.servers.stateful_sets.is_empty() {
        return Ok(false);
    }
    let shards = shards_of(object);
    let servers = schema_step::Servers { shards: &shards, credentials: found.clickhouse.as_ref(), down: &[] };
    let dropped = schema_step::drop_all(context, object, servers).await;
    match &dropped {
        Ok(0) => {}
        Ok(steps) => {
            let note = format!("dropped what it had made in ClickHouse ({steps} statements)");
            context.events.normal(about, "TablesDropped", &note).await;
        }
        Err(error) => tracing::warn!(%error, "the tables cannot be dropped now"),
    }
    for claim in found.claims.iter().chain(&found.server_claims) {
        apply::delete(context, about, claim, PropagationPolicy::Background).await?;
    }
    if let Err(error) = &dropped {
        context.events.warning(about, "TablesNotDropped", &format!("tried again for a while: {error}")).await;
    }
    Ok(dropped.is_ok())
}

/// An object that cannot be read says nothing about what it had: it goes, and a person is told.
///
/// # Errors
/// The API server refuses.
pub async fn release_undecodable(
    context: &Context,
    meta: &ObjectMeta,
    about: &ObjectReference,
) -> Result<(), DeletionError> {
    if !has_finalizer(meta) {
        return Ok(());
    }
    let note = "the object cannot be read: it goes, its journals and tables stay";
    context.events.warning(about, "DeletionIncomplete", note).await;
    set_finalizer(context, meta, false).await
}

fn has_finalizer(meta: &ObjectMeta) -> bool {
    meta.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// Works on objects that cannot be decoded too.
async fn set_finalizer(context: &Context, meta: &ObjectMeta, wanted: bool) -> Result<(), DeletionError> {
    let mut finalizers: Vec<&str> =
        meta.finalizers.iter().flatten().map(String::as_str).filter(|name| *name != FINALIZER).collect();
    if wanted {
        finalizers.push(FINALIZER);
    }
    // With the version that we have seen: somebody else's finalizer must not be lost.
    let body = json!({"metadata": {"finalizers": finalizers, "resourceVersion": meta.resource_version}});
    let resource = ApiResource::erase::<Collector>(&());
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &resource);
    let name = meta.name.as_deref().unwrap_or_default();
    match api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(&body)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(DeletionError::Finalizer(Box::new(error))),
    }
}

fn forget(context: &Context, object: &Collector) {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    context.forget_collector(&object.uid().unwrap_or_default(), &namespace, &name);
}
