//! Carries a plan out, step by step, and records each step in `schema_steps`. It adds nothing of its own to
//! the plan and stops at the first step that fails; running observe, plan and execute again goes on from
//! there, because every statement is harmless when repeated.
//!
//! There is no lock here: on one machine `qoe up` holds a file lock on its data directory, so nobody else
//! plans at the same time. Several planners of one database need a lock around observe, plan and execute.

use clickhouse::Client;
use clickhouse::error::Error as ClickhouseError;

use crate::plan::{Action, Plan, Step};
use crate::sql::qualified;
use crate::steps_table::SCHEMA_STEPS;

/// Why a plan was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The server refused a step or did not answer.
    #[error("step {number} of {of}, {action:?} {object}: {source}", action = .step.action, object = .step.object)]
    Step {
        /// Number of the step, from 1.
        number: usize,
        /// Number of steps in the plan.
        of: usize,
        /// The step.
        step: Box<Step>,
        /// The answer.
        source: ClickhouseError,
    },
    /// A step was not recorded. A step that is not yet executed is then not executed.
    #[error("recording {action:?} {object} in {SCHEMA_STEPS}: {source}", action = .step.action, object = .step.object)]
    Record {
        /// The step.
        step: Box<Step>,
        /// The answer.
        source: ClickhouseError,
    },
}

/// Executes the steps in order; returns how many there were.
///
/// # Errors
/// The first step that fails; those before it are done.
pub async fn execute(client: &Client, plan: &Plan) -> Result<usize, ExecuteError> {
    let mut recorder = Recorder { client, database: &plan.database, unrecorded: Vec::new(), ready: false };
    recorder.ready = !plan.steps.iter().any(creates_the_record);
    for (index, step) in plan.steps.iter().enumerate() {
        recorder.record(step, "started", "").await?;
        // Statements may hold question marks, which are not for binding.
        if let Err(source) = client.query_raw(&step.sql).execute().await {
            // The step's own error matters more than a failure to record it.
            let _ = recorder.record(step, "failed", &source.to_string()).await;
            let (number, of) = (index + 1, plan.steps.len());
            return Err(ExecuteError::Step { number, of, step: Box::new(step.clone()), source });
        }
        recorder.ready |= creates_the_record(step);
        recorder.record(step, "done", "").await?;
    }
    Ok(plan.steps.len())
}

fn creates_the_record(step: &Step) -> bool {
    step.action == Action::CreateTable && step.object == SCHEMA_STEPS
}

/// Writes to `schema_steps`; what happens before that table is there is kept and written as soon as it is.
struct Recorder<'a> {
    client: &'a Client,
    database: &'a str,
    unrecorded: Vec<(Step, &'static str)>,
    ready: bool,
}

impl Recorder<'_> {
    async fn record(&mut self, step: &Step, state: &'static str, error: &str) -> Result<(), ExecuteError> {
        if !self.ready {
            self.unrecorded.push((step.clone(), state));
            return Ok(());
        }
        for (earlier, state) in std::mem::take(&mut self.unrecorded) {
            self.write(&earlier, state, "").await?;
        }
        self.write(step, state, error).await
    }

    async fn write(&self, step: &Step, state: &str, error: &str) -> Result<(), ExecuteError> {
        let statement = format!(
            "INSERT INTO {} (at, version, action, risk, object, sql, state, error) \
             SELECT now64(6, 'UTC'), ?, ?, ?, ?, ?, ?, ?",
            qualified(self.database, SCHEMA_STEPS)
        );
        self.client
            .query(&statement)
            .with_setting("async_insert", "0")
            .bind(env!("CARGO_PKG_VERSION"))
            .bind(format!("{:?}", step.action))
            .bind(step.action.risk().name())
            .bind(&step.object)
            .bind(&step.sql)
            .bind(state)
            .bind(error)
            .execute()
            .await
            .map_err(|source| ExecuteError::Record { step: Box::new(step.clone()), source })
    }
}
