//! The difference between the desired and the observed state, as ordered steps. Pure: the same two states
//! give the same plan, and nothing is asked or changed on the way.
//!
//! A plan only ever adds: databases, tables, columns, indices. It changes comments, codecs of future parts,
//! settings and TTLs; a TTL that deletes rows sooner than before is a step that waits for an approval. A table
//! whose rows several servers are to share gets another name once. It never rewrites, and only [`drop_plan()`]
//! drops; where the observed state cannot become the desired one by adding, there is no plan but an error that
//! names the reason. What is there beyond the desired state, such as the columns of a newer version, is left
//! alone.

mod approval;
mod drop;
mod shared;

use crate::desired::Desired;
use crate::observe::{Observed, ObservedColumn, ObservedDatabase, ObservedTable};
use crate::owner::{collector_of, database_comment, is_ours};
use crate::retention::{Deletion, Rollups};
use crate::sql::{identifier, literal};
use crate::table::{Table, TableColumn, settings_list};

pub use drop::drop_plan;

/// What a step may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// Makes something new; nothing that exists is touched.
    Additive,
    /// Changes descriptions or how future parts are written.
    Metadata,
    /// Changes when rows are moved, or deletes them later than before.
    Retention,
    /// Deletes what would otherwise stay: waits for an approval.
    Destructive,
}

impl Risk {
    /// The name under which the step is recorded.
    pub fn name(self) -> &'static str {
        match self {
            Self::Additive => "additive",
            Self::Metadata => "metadata",
            Self::Retention => "retention",
            Self::Destructive => "destructive",
        }
    }
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes the database, with the owner mark.
    CreateDatabase,
    /// Puts the owner mark on an empty database that somebody prepared for us, or the collector's name on one
    /// of ours that belongs to nobody yet.
    MarkDatabase,
    /// Makes a table.
    CreateTable,
    /// Gives a table the name that one server's part of shared rows has.
    RenameTable,
    /// Makes a Distributed table anew, which holds no rows.
    ReplaceDistributed,
    /// Makes a function, which belongs to the whole server.
    CreateFunction,
    /// Adds a column after its neighbour.
    AddColumn,
    /// Adds a data skipping index for future parts.
    AddIndex,
    /// Changes a column's codec for future parts.
    ModifyCodec,
    /// Changes a column's comment.
    ModifyColumnComment,
    /// Changes a table's comment.
    ModifyComment,
    /// Changes settings of a table.
    ModifySetting,
    /// Changes when rows move and expire, also those that are there, without rewriting them.
    ModifyTtl,
    /// Keeps rows for ever.
    RemoveTtl,
    /// Removes a dictionary; only in a plan that [`drop_plan()`] made.
    DropDictionary,
    /// Removes a table with its rows; only in a plan that [`drop_plan()`] made.
    DropTable,
    /// Removes the empty database; only in a plan that [`drop_plan()`] made.
    DropDatabase,
}

impl Action {
    /// The least that such a step risks.
    fn risk(self) -> Risk {
        match self {
            Self::CreateDatabase
            | Self::CreateTable
            | Self::CreateFunction
            | Self::AddColumn
            | Self::AddIndex => Risk::Additive,
            Self::ModifyTtl | Self::RemoveTtl => Risk::Retention,
            Self::MarkDatabase
            | Self::RenameTable
            | Self::ReplaceDistributed
            | Self::ModifyCodec
            | Self::ModifyColumnComment
            | Self::ModifyComment
            | Self::ModifySetting => Risk::Metadata,
            Self::DropDictionary | Self::DropTable | Self::DropDatabase => Risk::Destructive,
        }
    }
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub action: Action,
    /// What it changes: database, table or `table.column`.
    pub object: String,
    /// The statement; harmless when repeated.
    pub sql: String,
    /// What it may cost.
    pub risk: Risk,
    /// For a change of retention, what becomes of the rows, for a person; else empty.
    pub effect: String,
}

/// Steps in the order in which they are executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The database that the steps change.
    pub database: String,
    /// The steps; empty if the desired state is there.
    pub steps: Vec<Step>,
    /// Changes of retention that are done already. An approval names a plan of which a part may have been
    /// carried out; with these its hash can be found again.
    settled: Vec<Step>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether a table becomes one of many: from then on queries on this server ask the others.
    pub fn divides(&self) -> bool {
        self.steps.iter().any(|step| step.action == Action::RenameTable)
    }

    fn push(&mut self, action: Action, object: String, sql: String) {
        self.steps.push(Step { action, object, sql, risk: action.risk(), effect: String::new() });
    }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The database has tables and no owner mark.
    #[error(
        "database {database} has tables and was not made by qoeplane: choose another name, it stays untouched"
    )]
    Foreign {
        /// Name of the database.
        database: String,
    },
    /// The database belongs to another collector.
    #[error("database {database} belongs to collector {owner}: choose another name, it stays untouched")]
    Shared {
        /// Name of the database.
        database: String,
        /// The collector that it belongs to.
        owner: String,
    },
    /// Nothing is dropped in a database that belongs to no collector yet.
    #[error("database {database} names no collector that it belongs to: nothing is dropped")]
    Unclaimed {
        /// Name of the database.
        database: String,
    },
    /// Rows are shared and nobody says by which servers.
    #[error(
        "table {table} of database {database} has one server's part of the rows: without a cluster that names the \
         servers nothing is changed"
    )]
    NoCluster {
        /// Name of the database.
        database: String,
        /// Name of the table.
        table: String,
    },
    /// The server does not know all servers of the cluster yet.
    #[error(
        "cluster {cluster} has {found} shards in the server's configuration, it should have {expected}: nothing is \
         changed before"
    )]
    Cluster {
        /// Name of the cluster.
        cluster: String,
        /// How many shards the server knows; 0 without such a cluster.
        found: u32,
        /// How many there should be at least.
        expected: u32,
    },
    /// A table of another engine, partition or order than declared.
    #[error("table {table}: {part} is {found}, it should be {expected}, and it cannot be changed in place")]
    Table {
        /// Name of the table.
        table: String,
        /// Which part differs.
        part: &'static str,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A column of another type than declared.
    #[error(
        "column {table}.{column} is {found}, it should be {expected}; columns are only added, never changed"
    )]
    Column {
        /// Name of the table.
        table: String,
        /// Name of the column.
        column: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// The statement that makes a database of ours.
pub(crate) fn create_database_sql(desired: &Desired) -> String {
    let comment = literal(&database_comment(desired.owner.as_deref()));
    format!("CREATE DATABASE IF NOT EXISTS {} COMMENT {comment}", identifier(&desired.database))
}

/// The steps from `observed` to `desired`.
///
/// # Errors
/// A database that is not ours or another collector's, tables or columns that cannot become what they should be,
/// and shared rows without their cluster.
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan, PlanError> {
    let mut plan = Plan { database: desired.database.clone(), ..Plan::default() };
    let nothing = ObservedDatabase::default();
    let database = match &observed.database {
        Some(database) => {
            check_owner(desired, database, &mut plan)?;
            database
        }
        None => {
            let sql = create_database_sql(desired);
            plan.push(Action::CreateDatabase, desired.database.clone(), sql);
            &nothing
        }
    };
    let cluster = shared::cluster_of(desired, database, observed)?;
    for table in &desired.tables {
        if let Some(cluster) = cluster
            && table.is_shared
        {
            shared::plan_shared(table, cluster, database, &mut plan)?;
            continue;
        }
        match database.tables.get(&table.name) {
            Some(found) => plan_table(table, found, &mut plan)?,
            None => plan.push(Action::CreateTable, table.name.clone(), table.create_sql()),
        }
    }
    for function in desired.functions.iter().filter(|function| !observed.functions.contains(function.name)) {
        plan.push(Action::CreateFunction, function.name.to_owned(), function.create_sql());
    }
    Ok(plan)
}

fn check_owner(desired: &Desired, database: &ObservedDatabase, plan: &mut Plan) -> Result<(), PlanError> {
    if is_ours(&database.comment) {
        match (collector_of(&database.comment), &desired.owner) {
            (Some(owner), Some(wanted)) if owner != wanted => {
                return Err(PlanError::Shared {
                    database: desired.database.clone(),
                    owner: owner.to_owned(),
                });
            }
            (Some(_), _) | (None, None) => return Ok(()),
            (None, Some(_)) => {}
        }
    } else if !database.tables.is_empty() {
        return Err(PlanError::Foreign { database: desired.database.clone() });
    }
    let comment = literal(&database_comment(desired.owner.as_deref()));
    let sql = format!("ALTER DATABASE {} MODIFY COMMENT {comment}", identifier(&desired.database));
    plan.push(Action::MarkDatabase, desired.database.clone(), sql);
    Ok(())
}

fn plan_table(table: &Table, found: &ObservedTable, plan: &mut Plan) -> Result<(), PlanError> {
    check_table(table, found)?;
    let alter = format!("ALTER TABLE {}", table.qualified_name());
    plan_columns(table, found, &alter, plan)?;
    for index in &table.indices {
        if !found.indices.iter().any(|name| name == index.name) {
            let sql =
                format!("{alter} ADD {}", index.definition().replacen("INDEX", "INDEX IF NOT EXISTS", 1));
            plan.push(Action::AddIndex, format!("{}.{}", table.name, index.name), sql);
        }
    }
    let settings: Vec<(String, String)> = table
        .settings
        .iter()
        .filter(|(name, value)| found.clauses.settings.get(name) != Some(value))
        .cloned()
        .collect();
    if !settings.is_empty() {
        let sql = format!("{alter} MODIFY SETTING {}", settings_list(&settings));
        plan.push(Action::ModifySetting, table.name.clone(), sql);
    }
    plan_ttl(table, found, &alter, plan);
    if table.comment != found.comment {
        let sql = format!("{alter} MODIFY COMMENT {}", literal(&table.comment));
        plan.push(Action::ModifyComment, table.name.clone(), sql);
    }
    Ok(())
}

fn plan_ttl(table: &Table, found: &ObservedTable, alter: &str, plan: &mut Plan) {
    if table.ttl.is_empty() && found.clauses.ttl.is_empty() {
        return;
    }
    let (wanted, present) = (Deletion::of(&table.ttl), Deletion::of(&found.clauses.ttl));
    let (action, sql) = if table.ttl.is_empty() {
        (Action::RemoveTtl, format!("{alter} REMOVE TTL"))
    } else {
        // The times of existing parts are calculated again, or these would go at their old time. The table's
        // setting `materialize_ttl_recalculate_only`, changed before if need be, keeps that from rewriting
        // rows.
        (
            Action::ModifyTtl,
            format!("{alter} MODIFY TTL {} SETTINGS materialize_ttl_after_modify = 1", table.ttl),
        )
    };
    let (merged, until_now) = (Rollups::of(&table.ttl), Rollups::of(&found.clauses.ttl));
    let is_sooner = present.is_sooner_with(&wanted) || until_now.is_sooner_with(&merged);
    let risk = if is_sooner { Risk::Destructive } else { Risk::Retention };
    let mut effects = Vec::new();
    if wanted != present {
        effects.push(format!("rows are deleted {}, until now {}", wanted.text(), present.text()));
    }
    if merged != until_now {
        effects.push(format!(
            "rows are merged into longer intervals {}, until now {}",
            merged.text(),
            until_now.text()
        ));
    }
    if effects.is_empty() {
        effects.push("rows move to another volume at another time".to_owned());
    }
    let effect = effects.join("; ");
    let step = Step { action, object: table.name.clone(), sql, risk, effect };
    if table.ttl == found.clauses.ttl {
        plan.settled.push(step);
    } else {
        plan.steps.push(step);
    }
}

fn check_table(table: &Table, found: &ObservedTable) -> Result<(), PlanError> {
    let parts = [
        ("engine", table.engine, found.engine.as_str()),
        ("PARTITION BY", &table.partition_by, &found.partition_key),
        ("ORDER BY", &table.sorting_key(), &found.sorting_key),
    ];
    for (part, expected, found) in parts {
        if expected != found {
            return Err(PlanError::Table {
                table: table.name.clone(),
                part,
                expected: expected.to_owned(),
                found: found.to_owned(),
            });
        }
    }
    Ok(())
}

fn plan_columns(table: &Table, found: &ObservedTable, alter: &str, plan: &mut Plan) -> Result<(), PlanError> {
    let mut place = "FIRST".to_owned();
    for column in &table.columns {
        let object = format!("{}.{}", table.name, column.name);
        match found.columns.get(&column.name) {
            Some(existing) => plan_column(table, column, existing, alter, object, plan)?,
            None => {
                let sql = format!("{alter} ADD COLUMN IF NOT EXISTS {} {place}", column.definition());
                plan.push(Action::AddColumn, object, sql);
            }
        }
        place = format!("AFTER {}", identifier(&column.name));
    }
    Ok(())
}

fn plan_column(
    table: &Table,
    column: &TableColumn,
    found: &ObservedColumn,
    alter: &str,
    object: String,
    plan: &mut Plan,
) -> Result<(), PlanError> {
    let expected_kind = column.default_kind();
    if column.sql_type != found.sql_type || expected_kind != found.default_kind {
        return Err(PlanError::Column {
            table: table.name.clone(),
            column: column.name.clone(),
            expected: format!("{} {expected_kind}", column.sql_type).trim().to_owned(),
            found: format!("{} {}", found.sql_type, found.default_kind).trim().to_owned(),
        });
    }
    let name = identifier(&column.name);
    if column.codec != found.codec && !column.codec.is_empty() {
        let sql = format!("{alter} MODIFY COLUMN {name} CODEC({})", column.codec);
        plan.push(Action::ModifyCodec, object.clone(), sql);
    }
    if column.comment != found.comment {
        let sql = format!("{alter} COMMENT COLUMN {name} {}", literal(&column.comment));
        plan.push(Action::ModifyColumnComment, object, sql);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
