//! Steps for tables whose rows several servers share. Where rows are on one server alone its table is renamed once, with
//! everything that it holds and remembers, and is never renamed back. Only this server is looked at: the same
//! plan is made for each, and none may depend on what another has.

use super::{Action, Plan, PlanError, plan_table};
use crate::desired::{Cluster, Desired};
use crate::distributed::{DISTRIBUTED, Distributed, local_name};
use crate::observe::{Observed, ObservedDatabase, ObservedTable};
use crate::owner::is_ours;
use crate::table::Table;

/// The cluster over which tables are to be distributed; `None`: the server has all rows.
pub(super) fn cluster_of<'a>(
    desired: &'a Desired,
    database: &ObservedDatabase,
    observed: &Observed,
) -> Result<Option<&'a Cluster>, PlanError> {
    let mut shared = desired.tables.iter().filter(|table| table.is_shared);
    let split = shared.find(|table| is_split(table, database));
    let Some(cluster) = &desired.cluster else {
        return match split {
            Some(table) => Err(PlanError::NoCluster {
                database: desired.database.clone(),
                table: local_name(&table.name),
            }),
            None => Ok(None),
        };
    };
    if !cluster.is_shared && split.is_none() {
        return Ok(None);
    }
    let Some(clusters) = &observed.clusters else { return Ok(Some(cluster)) };
    let found = clusters.get(&cluster.name).copied().unwrap_or_default();
    if found < cluster.shards {
        return Err(PlanError::Cluster { cluster: cluster.name.clone(), found, expected: cluster.shards });
    }
    Ok(Some(cluster))
}

/// Whether the server's table was made a part of many. A table of somebody else under the part's name says nothing.
fn is_split(table: &Table, database: &ObservedDatabase) -> bool {
    let part = database.tables.get(&local_name(&table.name));
    let all = database.tables.get(&table.name);
    part.is_some_and(|part| is_ours(&part.comment)) || all.is_some_and(is_distributed)
}

fn is_distributed(table: &ObservedTable) -> bool {
    table.engine == DISTRIBUTED
}

/// The steps to this server's part of `table` and to the Distributed table over all parts.
pub(super) fn plan_shared(
    table: &Table,
    cluster: &Cluster,
    database: &ObservedDatabase,
    plan: &mut Plan,
) -> Result<(), PlanError> {
    let local = table.local();
    let part = database.tables.get(&local.name);
    let all = database.tables.get(&table.name);
    let distributed = Distributed::new(table, cluster);
    let create_distributed = |plan: &mut Plan| {
        plan.push(Action::CreateTable, table.name.clone(), distributed.create_sql());
    };
    match (part, all) {
        (None, None) => {
            plan.push(Action::CreateTable, local.name.clone(), local.create_sql());
            create_distributed(plan);
        }
        // Queries have no table between these two steps: nothing else comes between.
        (None, Some(alone)) if !is_distributed(alone) => {
            // What cannot become the part is refused under the name that it has.
            plan_table(table, alone, &mut Plan::default())?;
            plan.push(Action::RenameTable, table.name.clone(), table.rename_sql(&local));
            create_distributed(plan);
            plan_table(&local, alone, plan)?;
        }
        (Some(part), None) => {
            create_distributed(plan);
            plan_table(&local, part, plan)?;
        }
        (_, Some(all)) => {
            if !is_distributed(all) {
                return Err(PlanError::Table {
                    table: table.name.clone(),
                    part: "the engine, beside its local table,",
                    expected: DISTRIBUTED.to_owned(),
                    found: all.engine.clone(),
                });
            }
            match part {
                Some(part) => plan_table(&local, part, plan)?,
                None => plan.push(Action::CreateTable, local.name.clone(), local.create_sql()),
            }
            let wanted = distributed.with_columns_of(all, part);
            if !wanted.is_like(all) {
                plan.push(Action::ReplaceDistributed, table.name.clone(), wanted.replace_sql());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
