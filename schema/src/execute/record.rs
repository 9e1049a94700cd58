//! Writes to `schema_steps`. What happens before that table is there is kept and written as soon as it is;
//! columns that the plan has yet to add are left out. It must never fail a step for the state of its own table
//! that the plan is about to repair.

use std::collections::BTreeSet;

use clickhouse::Client;

use super::ExecuteError;
use crate::plan::{Action, Plan, Step};
use crate::sql::{identifier, qualified};
use crate::steps_table::SCHEMA_STEPS;

/// Records the steps of one plan.
pub(super) struct Recorder<'a> {
    client: &'a Client,
    plan: &'a Plan,
    id: String,
    /// Columns that a later step adds.
    missing: BTreeSet<&'a str>,
    unrecorded: Vec<Entry<'a>>,
    table: Table,
}

/// Whether the table can be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    /// A later step makes it.
    Coming,
    Present,
    Gone,
}

struct Entry<'a> {
    step: &'a Step,
    number: usize,
    state: &'static str,
    error: String,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(client: &'a Client, plan: &'a Plan) -> Self {
        let is = |step: &Step, action| step.action == action && step.object == SCHEMA_STEPS;
        let drops = plan.steps.iter().any(|step| step.action == Action::DropDatabase);
        let table = if plan.steps.iter().any(|step| is(step, Action::CreateTable)) {
            Table::Coming
        } else if drops && !plan.steps.iter().any(|step| is(step, Action::DropTable)) {
            // An earlier run dropped it and was ended before the database was.
            Table::Gone
        } else {
            Table::Present
        };
        let missing = plan.steps.iter().filter_map(added_column).collect();
        Self { client, plan, id: plan.id(), missing, unrecorded: Vec::new(), table }
    }

    /// A step is done: what it changed about the table of steps.
    pub(super) fn after(&mut self, step: &Step) {
        if let Some(column) = added_column(step) {
            self.missing.remove(column);
        }
        match step.action {
            Action::CreateTable if step.object == SCHEMA_STEPS => self.table = Table::Present,
            Action::DropTable if step.object == SCHEMA_STEPS => self.table = Table::Gone,
            _ => {}
        }
    }

    pub(super) async fn record(
        &mut self,
        step: &'a Step,
        number: usize,
        state: &'static str,
        error: &str,
    ) -> Result<(), ExecuteError> {
        let entry = Entry { step, number, state, error: error.to_owned() };
        match self.table {
            Table::Gone => return Ok(()),
            Table::Coming => {
                self.unrecorded.push(entry);
                return Ok(());
            }
            Table::Present => {}
        }
        for earlier in std::mem::take(&mut self.unrecorded) {
            self.write(&earlier).await?;
        }
        self.write(&entry).await
    }

    async fn write(&self, entry: &Entry<'_>) -> Result<(), ExecuteError> {
        let Entry { step, number, state, error } = entry;
        let values = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("action", format!("{:?}", step.action)),
            ("risk", step.risk.name().to_owned()),
            ("object", step.object.clone()),
            ("sql", step.sql.clone()),
            ("state", (*state).to_owned()),
            ("error", error.clone()),
            ("plan", self.id.clone()),
            ("number", number.to_string()),
            ("of", self.plan.steps.len().to_string()),
        ];
        let present: Vec<_> = values.into_iter().filter(|(name, _)| !self.missing.contains(name)).collect();
        let columns: Vec<String> = present.iter().map(|(name, _)| identifier(name)).collect();
        let time = if self.missing.contains("at") { "" } else { "at, " };
        let statement = format!(
            "INSERT INTO {} ({time}{}) SELECT {}{}",
            qualified(&self.plan.database, SCHEMA_STEPS),
            columns.join(", "),
            if time.is_empty() { "" } else { "now64(6, 'UTC'), " },
            vec!["?"; present.len()].join(", "),
        );
        let mut query = self.client.query(&statement).with_setting("async_insert", "0");
        for (_, value) in present {
            query = query.bind(value);
        }
        let step = *step;
        query.execute().await.map_err(|source| ExecuteError::Record { step: Box::new(step.clone()), source })
    }
}

/// The column of the table of steps that this step adds.
fn added_column(step: &Step) -> Option<&str> {
    let column = step.object.strip_prefix(SCHEMA_STEPS)?.strip_prefix('.')?;
    (step.action == Action::AddColumn).then_some(column)
}
