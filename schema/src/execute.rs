//! Carries a plan out, step by step, and records each step in `schema_steps`. It adds nothing of its own to
//! the plan and stops at the first step that fails; running observe, plan and execute again goes on from
//! there, because every statement is harmless when repeated.
//!
//! There is no lock here: on one machine `qoe up` holds a file lock on its data directory, on Kubernetes the
//! operator holds its Lease, so nobody else plans at the same time. Several planners of one database need a
//! lock around observe, plan and execute.

mod record;

use clickhouse::Client;
use clickhouse::error::Error as ClickhouseError;

use crate::plan::{Plan, Step};
use crate::steps_table::SCHEMA_STEPS;
use record::Recorder;

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

/// A plan that is being carried out. It may be left between any two steps, and its future may be dropped in
/// the middle of one: a later plan goes on from there.
pub struct Execution<'a> {
    client: &'a Client,
    plan: &'a Plan,
    recorder: Recorder<'a>,
    done: usize,
}

impl<'a> Execution<'a> {
    /// Begins with the first step; nothing is sent before [`Execution::step`].
    pub fn new(client: &'a Client, plan: &'a Plan) -> Self {
        Self { client, plan, recorder: Recorder::new(client, plan), done: 0 }
    }

    /// Number of steps that are done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// The step that [`Execution::step`] carries out next; `None` at the end.
    pub fn next(&self) -> Option<&'a Step> {
        self.plan.steps.get(self.done)
    }

    /// Carries out and records the next step and returns it; `None` at the end. It waits as long as the
    /// server does: a time limit is the caller's.
    ///
    /// # Errors
    /// The step failed, or could not be recorded. Called again, it tries the same step again.
    pub async fn step(&mut self) -> Result<Option<&'a Step>, ExecuteError> {
        let Some(step) = self.next() else { return Ok(None) };
        let number = self.done + 1;
        self.recorder.record(step, number, "started", "").await?;
        // Statements may hold question marks, which are not for binding.
        if let Err(source) = self.client.query_raw(&step.sql).execute().await {
            // The step's own error matters more than a failure to record it.
            let _ = self.recorder.record(step, number, "failed", &source.to_string()).await;
            let of = self.plan.steps.len();
            return Err(ExecuteError::Step { number, of, step: Box::new(step.clone()), source });
        }
        self.recorder.after(step);
        self.recorder.record(step, number, "done", "").await?;
        self.done = number;
        Ok(Some(step))
    }
}

/// Executes the steps in order; returns how many there were.
///
/// # Errors
/// The first step that fails; those before it are done.
pub async fn execute(client: &Client, plan: &Plan) -> Result<usize, ExecuteError> {
    let mut execution = Execution::new(client, plan);
    while execution.step().await?.is_some() {}
    Ok(execution.done())
}
