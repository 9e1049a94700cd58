//! The plan that takes away what a collector made. Pure, like the other; it must never name a table that is
//! not declared, not marked as ours, or in a database that is not marked as this collector's.

use super::{Action, Plan, PlanError};
use crate::desired::Desired;
use crate::dictionaries;
use crate::distributed::local_name;
use crate::observe::Observed;
use crate::owner::{collector_of, is_ours};
use crate::sql::{identifier, qualified};

/// The steps that drop the tables of `desired`, with this server's parts of shared ones, the record of steps as the last of them, then the database if
/// nothing else is in it. All are destructive; whoever asks for this plan has been told to delete, so no
/// approval is meant. Tables of somebody else stay, and the database with them.
///
/// # Errors
/// A database that is not ours, or not this collector's.
pub fn drop_plan(desired: &Desired, observed: &Observed) -> Result<Plan, PlanError> {
    let mut plan = Plan { database: desired.database.clone(), ..Plan::default() };
    let Some(database) = &observed.database else { return Ok(plan) };
    let name = || desired.database.clone();
    if !is_ours(&database.comment) {
        return Err(PlanError::Foreign { database: name() });
    }
    match (collector_of(&database.comment), &desired.owner) {
        (Some(owner), Some(wanted)) if owner == wanted => {}
        (Some(owner), _) => return Err(PlanError::Shared { database: name(), owner: owner.to_owned() }),
        (None, _) => return Err(PlanError::Unclaimed { database: name() }),
    }
    // The record of steps is declared first and goes last, so that the others can be recorded.
    let mut left = database.tables.len();
    for dictionary in dictionaries::all() {
        let name = dictionary.dictionary_name();
        if database.tables.get(&name).is_some_and(|found| is_ours(&found.comment)) {
            left -= 1;
            let sql = format!("DROP DICTIONARY IF EXISTS {}", qualified(&desired.database, &name));
            plan.push(Action::DropDictionary, name, sql);
        }
    }
    for table in desired.tables.iter().rev() {
        let part = table.is_shared.then(|| local_name(&table.name));
        for name in std::iter::once(table.name.clone()).chain(part) {
            if database.tables.get(&name).is_none_or(|found| !is_ours(&found.comment)) {
                continue;
            }
            left -= 1;
            // Servers refuse to drop large tables unless told that it is meant.
            let sql = format!(
                "DROP TABLE IF EXISTS {} SETTINGS max_table_size_to_drop = 0",
                qualified(&desired.database, &name)
            );
            plan.push(Action::DropTable, name, sql);
        }
    }
    if left == 0 {
        let sql = format!("DROP DATABASE IF EXISTS {}", identifier(&desired.database));
        plan.push(Action::DropDatabase, desired.database.clone(), sql);
    }
    Ok(plan)
}

#[cfg(test)]
mod tests;
