//! Applies what was built: each DPI's objects in the order in which they need each other, one restart at a
//! time; deletes what is not wanted any more. Journals are never deleted here.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::PropagationPolicy;

use super::apply::{self, ApplyError, apply, delete_others};
use super::build::{self, ReceiverResources};
use super::dereference::{Found, Owned};
use super::facts;
use super::grow::apply_with_volumes;
use super::roll::{self, Decision};
use crate::context::Context;

/// Makes everything true; returns what failed, in words. One failure does not stop the rest.
pub async fn make_true(
    context: &Context,
    about: &ObjectReference,
    wanted: Vec<ReceiverResources>,
    found: &Found,
    new_version_may_run: bool,
) -> Vec<String> {
    let live = |name: &String| found.owned.stateful_sets.get(name);
    let rolls: Vec<_> =
        wanted.iter().map(|receiver| facts::for_roll(receiver, live(&receiver.name))).collect();
    let decisions = roll::decide(&rolls, new_version_may_run);
    let mut failures = Vec::new();
    if let Err(error) = delete_unwanted(context, about, &wanted, &found.owned).await {
        failures.push(error.to_string());
    }
    for (receiver, decision) in wanted.into_iter().zip(decisions) {
        let dpi = receiver.dpi;
        if let Err(error) = one(context, about, receiver, decision, found).await {
            failures.push(format!("DPI {dpi}: {error}"));
        }
    }
    apply::tell_failures(context, about, &failures).await;
    failures
}

async fn one(
    context: &Context,
    about: &ObjectReference,
    receiver: ReceiverResources,
    decision: Decision,
    found: &Found,
) -> Result<(), ApplyError> {
    // Without `..`: a resource that is built and forgotten here does not compile.
    let ReceiverResources {
        dpi: _,
        name,
        config_hash: _,
        restart_hash: _,
        config_map,
        service_account,
        service,
        stateful_set,
        disruption_budget,
    } = receiver;
    let Owned { stateful_sets, services, config_maps, service_accounts, budgets } = &found.owned;
    apply(context, about, &service_account, service_accounts.get(&name)).await?;
    apply(context, about, &config_map, config_maps.get(&name)).await?;
    let live = match services.get(&name) {
        Some(live) if build::must_be_replaced(live, &service) => {
            apply::delete(context, about, live, PropagationPolicy::Background).await?;
            None
        }
        other => other,
    };
    // While a receiver waits for its turn, it listens where it did.
    if decision == Decision::Apply || live.is_none() {
        apply(context, about, &service, live).await?;
    }
    apply(context, about, &disruption_budget, budgets.get(&name)).await?;
    let is_its_turn = decision == Decision::Apply;
    apply_with_volumes(context, about, stateful_set, stateful_sets.get(&name), &found.claims, is_its_turn)
        .await
}

/// What carries our labels and belongs to no wanted DPI goes. Claims stay: they are the journals.
async fn delete_unwanted(
    context: &Context,
    about: &ObjectReference,
    wanted: &[ReceiverResources],
    owned: &Owned,
) -> Result<(), ApplyError> {
    let Owned { stateful_sets, services, config_maps, service_accounts, budgets } = owned;
    let names: Vec<&str> = wanted.iter().map(|receiver| receiver.name.as_str()).collect();
    for name in delete_others(context, about, &names, stateful_sets).await? {
        let note = format!("{name} is not wanted any more; its journal and its rows are kept");
        context.events.normal(about, "ReceiverRemoved", &note).await;
    }
    delete_others(context, about, &names, services).await?;
    delete_others(context, about, &names, config_maps).await?;
    delete_others(context, about, &names, service_accounts).await?;
    delete_others(context, about, &names, budgets).await?;
    Ok(())
}
