//! Applies what was built for servers, each in its turn, and deletes what is not wanted any more. Claims are never
//! deleted here: they are the data.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;

use super::super::apply::{self, ApplyError, apply, delete_others};
use super::super::dereference::{Found, Owned};
use super::super::grow::apply_with_volumes;
use super::resources::{ServersResources, ShardResources};
use super::roll::Decision;
use crate::context::Context;

/// Makes everything true; returns what failed, in words. One failure does not stop the rest. Servers that are not
/// wanted any more go if `surplus_may_go`: as long as others still ask them, queries would fail.
pub async fn make_true(
    context: &Context,
    about: &ObjectReference,
    wanted: ServersResources,
    decisions: &[Decision],
    surplus_may_go: bool,
    found: &Found,
) -> Vec<String> {
    let mut failures = Vec::new();
    // Without `..`: a resource that is built and forgotten here does not compile.
    let ServersResources { secret, service_account, headless, query, shards } = wanted;
    let live = &found.servers;
    let shared = async {
        apply(context, about, &secret, found.server_secret.as_ref()).await?;
        let name = service_account.name_any();
        apply(context, about, &service_account, live.service_accounts.get(&name)).await?;
        apply(context, about, &headless, live.services.get(&headless.name_any())).await?;
        apply(context, about, &query, live.services.get(&query.name_any())).await
    };
    if let Err(error) = shared.await {
        failures.push(format!("ClickHouse: {error}"));
    }
    let names: Vec<String> = shards.iter().map(|shard| shard.config_map.name_any()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (shard, decision) in shards.into_iter().zip(decisions) {
        let number = shard.shard;
        if let Err(error) = one(context, about, shard, *decision, found).await {
            failures.push(format!("shard {number}: {error}"));
        }
    }
    if surplus_may_go && let Err(error) = delete_servers(context, about, &names, live).await {
        failures.push(error.to_string());
    }
    apply::tell_failures(context, about, &failures).await;
    failures
}

async fn one(
    context: &Context,
    about: &ObjectReference,
    shard: ShardResources,
    decision: Decision,
    found: &Found,
) -> Result<(), ApplyError> {
    let ShardResources { shard: _, config_map, stateful_set, disruption_budget } = shard;
    let Owned { stateful_sets, config_maps, budgets, .. } = &found.servers;
    let name = stateful_set.name_any();
    apply(context, about, &disruption_budget, budgets.get(&name)).await?;
    let is_its_turn = decision == Decision::Apply;
    if is_its_turn {
        // With its pod: the configuration names volumes that another pod may not have.
        apply(context, about, &config_map, config_maps.get(&name)).await?;
    }
    let (live, claims) = (stateful_sets.get(&name), &found.server_claims);
    apply_with_volumes(context, about, stateful_set, live, claims, is_its_turn).await
}

/// Deletes what belongs to servers that are not wanted any more.
async fn delete_servers(
    context: &Context,
    about: &ObjectReference,
    names: &[&str],
    live: &Owned,
) -> Result<(), ApplyError> {
    for name in delete_others(context, about, names, &live.stateful_sets).await? {
        let note = format!("{name} is not wanted any more; its volumes are kept");
        context.events.normal(about, "ServerRemoved", &note).await;
    }
    delete_others(context, about, names, &live.config_maps).await?;
    delete_others(context, about, names, &live.budgets).await?;
    Ok(())
}

/// Deletes all servers of a collector that wants none any more; their volumes are kept.
pub async fn delete_all(context: &Context, about: &ObjectReference, found: &Found) -> Vec<String> {
    let live = &found.servers;
    let deleted = async {
        delete_servers(context, about, &[], live).await?;
        delete_others(context, about, &[], &live.services).await?;
        delete_others(context, about, &[], &live.service_accounts).await
    };
    let failures: Vec<String> = deleted.await.err().map(|error| error.to_string()).into_iter().collect();
    apply::tell_failures(context, about, &failures).await;
    failures
}
