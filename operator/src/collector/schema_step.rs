//! The tables of one collector: looked at in every reconcile, planned, executed step by step. What would
//! delete rows waits for an approval; what belongs to somebody else is never touched.

use std::time::Duration;

use clickhouse::Client;
use crds::desired;
use crds::desired::StorageVolumes;
use crds::kubernetes::Collector;
use crds::status::{MAX_PENDING_STEPS, MAX_STATEMENT, MAX_TEXT, PendingStep, SchemaState, shorten};
use crds::validate;
use crds::{ClickHouseKind, QoeCollectorSpec};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use schema::{Cluster, Desired, Execution, Plan, PlanError, Step};

use super::dereference::Credentials;
use super::shards::{self, Shards};
use super::status::SchemaReport;
use crate::context::Context;
use crate::metrics::StepLabels;

/// How long the server may take to say what there is.
const OBSERVE_WITHIN: Duration = Duration::from_secs(20);
/// How long one statement may take: the server goes on with it, and the next reconcile finds it done.
const STEP_WITHIN: Duration = Duration::from_secs(120);

/// Why the tables cannot be looked at or changed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The Secrets are not there.
    #[error("the ClickHouse credentials are not there")]
    NoCredentials,
    /// No ClickHouse of which we know the address.
    #[error("this collector names no ClickHouse server")]
    NoServer,
    /// The server's pod does not run yet.
    #[error("the server is starting")]
    Starting,
    /// The address or the certificates.
    #[error(transparent)]
    Connect(#[from] schema::ConnectError),
    /// What the object asks for cannot be tables.
    #[error("{0}")]
    Desired(String),
    /// The server did not answer in time.
    #[error("ClickHouse at {url} has not answered within {seconds} s")]
    Silent {
        /// Its address.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The server's answer.
    #[error("ClickHouse at {url}: {source}")]
    Server {
        /// Its address.
        url: String,
        /// What it said.
        source: clickhouse::error::Error,
    },
    /// A statement took too long.
    #[error(
        "ClickHouse at {url} has not finished {object} within {seconds} s; it may still be working on it"
    )]
    SlowStep {
        /// Its address.
        url: String,
        /// What the statement changes.
        object: String,
        /// The limit.
        seconds: u64,
    },
    /// There is no way from what is there to what should be.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Queries would ask servers without tables.
    #[error("the tables are divided when all servers have theirs")]
    OthersFirst,
    /// A statement failed.
    #[error("ClickHouse at {url}: {source}")]
    Step {
        /// Its address.
        url: String,
        /// Which, and what the server said.
        source: Box<schema::ExecuteError>,
    },
}

impl SchemaError {
    /// The reason of the condition.
    fn reason(&self) -> &'static str {
        match self {
            SchemaError::NoCredentials | SchemaError::NoServer => "NotChecked",
            SchemaError::Starting => "ClickHouseStarting",
            SchemaError::Connect(_) => "ConnectionInvalid",
            SchemaError::Desired(_) => "Invalid",
            SchemaError::Silent { .. } | SchemaError::Server { .. } => "ClickHouseUnreachable",
            SchemaError::Plan(PlanError::Foreign { .. }) => "DatabaseNotOurs",
            SchemaError::Plan(PlanError::Shared { .. } | PlanError::Unclaimed { .. }) => "DatabaseShared",
            SchemaError::Plan(PlanError::Cluster { .. }) | SchemaError::OthersFirst => "ClusterIncomplete",
            SchemaError::Plan(_) => "CannotMigrate",
            SchemaError::Step { .. } | SchemaError::SlowStep { .. } => "StepFailed",
        }
    }

    /// Whether only a person can help.
    fn is_stalled(&self) -> bool {
        match self {
            // A server reads its configuration again by itself.
            SchemaError::Plan(PlanError::Cluster { .. }) => false,
            SchemaError::Connect(_) | SchemaError::Desired(_) | SchemaError::Plan(_) => true,
            _ => false,
        }
    }

    /// Whether the server has not said whose the database is.
    fn says_nothing(&self) -> bool {
        matches!(
            self,
            SchemaError::NoCredentials
                | SchemaError::Starting
                | SchemaError::Connect(_)
                | SchemaError::Silent { .. }
                | SchemaError::Server { .. }
        )
    }

    /// Whether the database is somebody else's.
    fn is_foreign(&self) -> bool {
        matches!(
            self,
            SchemaError::Plan(
                PlanError::Foreign { .. } | PlanError::Shared { .. } | PlanError::Unclaimed { .. }
            )
        )
    }
}

/// The servers that a collector's tables are on, and how to log in.
#[derive(Clone, Copy)]
pub struct Servers<'a> {
    /// Which.
    pub shards: &'a Shards,
    /// The login; `None`: it is not known.
    pub credentials: Option<&'a Credentials>,
    /// Numbers of servers of ours that do not run: they are not asked.
    pub down: &'a [u32],
}

struct Server {
    client: Client,
    url: String,
    /// How many servers there are.
    of: usize,
    desired: Desired,
}

/// Makes the tables true on every server as far as that is allowed, and reports. The last server comes first: the
/// first one turns to the others only when these have their tables.
pub async fn converge(
    context: &Context,
    object: &Collector,
    about: &ObjectReference,
    servers: Servers<'_>,
    previous: Option<&SchemaState>,
) -> SchemaReport {
    let mut state = SchemaState {
        version: previous.and_then(|previous| previous.version.clone()),
        applied_steps: previous.map_or(0, |previous| previous.applied_steps),
        last_applied_at: previous.and_then(|previous| previous.last_applied_at.clone()),
        ..SchemaState::default()
    };
    // All at once: those that do not answer are waited for together.
    let plans = (0..servers.shards.count()).map(|shard| look(object, servers, shard));
    let mut findings = Vec::new();
    let plans = futures::future::join_all(plans).await;
    for (shard, plan) in (0..servers.shards.count()).zip(plans).rev() {
        let all_have_theirs =
            findings.iter().all(|(_, found): &(u32, Result<Plan, SchemaError>)| found.is_ok());
        let found = match plan {
            Ok((_, plan)) if plan.divides() && !all_have_theirs => Err(SchemaError::OthersFirst),
            Ok((server, plan)) => change(context, object, about, (shard, &server), plan, &mut state).await,
            Err(error) => Err(error),
        };
        findings.push((shard, found));
    }
    findings.reverse();
    let uid = object.uid().unwrap_or_default();
    let report = report(findings, &object.spec, servers.shards.in_use, context.is_foreign(&uid), state);
    context.set_foreign(&uid, report.foreign);
    if let Some(error) = &report.state.last_error {
        let is_news = previous.is_none_or(|previous| previous.last_error.is_none());
        if is_news && report.reason != SchemaError::Starting.reason() {
            context.events.warning(about, report.reason, error).await;
        }
        tracing::warn!(error, "the tables are not as they should be");
    }
    report
}

/// What one server needs.
async fn look(object: &Collector, servers: Servers<'_>, shard: u32) -> Result<(Server, Plan), SchemaError> {
    if servers.down.contains(&shard) {
        return Err(SchemaError::Starting);
    }
    let server = server(object, servers, shard)?;
    let plan = server.plan(&object.spec).await?;
    Ok((server, plan))
}

/// What can be done on a server is done; what waits for an approval is returned.
async fn change(
    context: &Context,
    object: &Collector,
    about: &ObjectReference,
    (shard, server): (u32, &Server),
    plan: Plan,
    state: &mut SchemaState,
) -> Result<Plan, SchemaError> {
    let (now, wait) = plan.approved(&object.spec.approvals);
    if now.is_empty() {
        return Ok(wait);
    }
    tracing::info!(shard, steps = now.steps.len(), "the tables are changed");
    let done_before = state.applied_steps;
    if let Err(error) = server.execute(context, &now, state).await {
        (state.pending, state.pending_count) = pending(&now, state.applied_steps - done_before);
        return Err(error);
    }
    let of = shards::prefix(server.of, shard);
    let note = format!("{of}{} statements: {}", now.steps.len(), words(&now.steps));
    context.events.normal(about, "SchemaChanged", &note).await;
    Ok(wait)
}

/// What is said of all servers together.
fn report(
    findings: Vec<(u32, Result<Plan, SchemaError>)>,
    spec: &QoeCollectorSpec,
    in_use: u32,
    was_foreign: bool,
    mut state: SchemaState,
) -> SchemaReport {
    let has_tables =
        |found: &Result<Plan, SchemaError>| matches!(found, Ok(_) | Err(SchemaError::OthersFirst));
    let ready_shards = findings.iter().map(|(_, found)| has_tables(found)).collect();
    let mut errors = Vec::new();
    let (mut stalled, mut foreign, mut first_reason) = (false, false, None);
    let mut lines: Vec<String> = Vec::new();
    for (shard, found) in &findings {
        match found {
            Ok(wait) => {
                for step in &wait.steps {
                    // The same change on every server is one for a person.
                    let line = format!("{}: {}", step.object, step.effect);
                    if !lines.contains(&line) {
                        lines.push(line);
                    }
                }
                if state.plan_hash.is_none() && !wait.is_empty() {
                    state.plan_hash = wait.hash();
                    (state.pending, state.pending_count) = pending(wait, 0);
                }
            }
            Err(error) => {
                errors.push(format!("{}{error}", shards::prefix(findings.len(), *shard)));
                stalled |= error.is_stalled();
                // Who does not answer now does not say that it is ours.
                foreign |= *shard < in_use && (error.is_foreign() || (was_foreign && error.says_nothing()));
                match error {
                    SchemaError::OthersFirst => {}
                    error => _ = first_reason.get_or_insert(error.reason()),
                }
            }
        }
    }
    if let Some(reason) = first_reason {
        let message = errors.join("; ");
        state.last_error = Some(shorten(&message, MAX_TEXT));
        return SchemaReport {
            ready: Some(false),
            reason,
            message,
            stalled,
            foreign,
            new_version_may_run: false,
            state,
            ready_shards,
        };
    }
    state.version = Some(env!("CARGO_PKG_VERSION").to_owned());
    let (ready, reason, message) = match &state.plan_hash {
        None => {
            let database = &spec.clickhouse.database;
            (true, "UpToDate", format!("the tables of database {database} are as they should be"))
        }
        Some(hash) => {
            let message = format!(
                "these steps delete rows and wait for an approval: {}. Add {hash} to spec.approvals, or take the change back",
                lines.join("; ")
            );
            (false, "ApprovalNeeded", message)
        }
    };
    SchemaReport {
        ready: Some(ready),
        reason,
        message,
        stalled: !ready,
        foreign: false,
        new_version_may_run: true,
        state,
        ready_shards,
    }
}

/// Drops what this collector has made on servers that are not ours; returns the number of statements.
///
/// # Errors
/// A server cannot be reached, or the database is not this collector's.
pub async fn drop_all(
    context: &Context,
    object: &Collector,
    servers: Servers<'_>,
) -> Result<usize, SchemaError> {
    if !matches!(object.spec.clickhouse.kind(), Some(ClickHouseKind::External(_))) {
        return Ok(0);
    }
    let mut steps = 0;
    for shard in 0..servers.shards.count() {
        let server = server(object, servers, shard)?;
        let observed = server.observe().await?;
        let plan = match schema::drop_plan(&server.desired, &observed) {
            // Nothing there is ours.
            Err(PlanError::Foreign { .. } | PlanError::Shared { .. } | PlanError::Unclaimed { .. }) => {
                continue;
            }
            other => other?,
        };
        server.execute(context, &plan, &mut SchemaState::default()).await?;
        steps += plan.steps.len();
    }
    Ok(steps)
}

fn server(object: &Collector, servers: Servers<'_>, shard: u32) -> Result<Server, SchemaError> {
    let spec = &object.spec;
    let Servers { shards, credentials, down: _ } = servers;
    // The cluster of somebody else has to be complete; ours grows when a server has its tables.
    let (storage, cluster) = match spec.clickhouse.kind() {
        Some(ClickHouseKind::External(external)) => {
            (None, external.cluster.clone().map(|name| (name, shards.wanted)))
        }
        Some(ClickHouseKind::Managed(managed)) => {
            let cold_volume = managed.cold().map(|_| crds::managed::COLD.to_owned());
            let storage = StorageVolumes { policy: crds::managed::POLICY.to_owned(), cold_volume };
            (Some(storage), Some((crds::managed::CLUSTER.to_owned(), 1)))
        }
        Some(ClickHouseKind::Embedded(_)) | None => return Err(SchemaError::NoServer),
    };
    let credentials = credentials.ok_or(SchemaError::NoCredentials)?;
    let url = shards.urls.get(shard as usize).cloned().ok_or(SchemaError::NoServer)?;
    let Credentials { user, password, ca } = credentials;
    let client = schema::connect(&url, user, password, ca.as_deref())?;
    let owner = schema::owner::on_kubernetes(&object.namespace().unwrap_or_default(), &object.name_any());
    let mut desired = desired::desired(spec, storage.as_ref())
        .map_err(|problems| SchemaError::Desired(validate::listed(&problems)))?
        .with_owner(&schema::owner::of_shard(&owner, shard));
    if let Some((name, known)) = cluster {
        desired = desired.with_cluster(Cluster { name, shards: known, is_shared: shards.is_shared() });
    }
    Ok(Server { client, url, of: shards.urls.len(), desired })
}

impl Server {
    async fn observe(&self) -> Result<schema::Observed, SchemaError> {
        let observed = schema::observe(&self.client, &self.desired.database);
        match tokio::time::timeout(OBSERVE_WITHIN, observed).await {
            Ok(observed) => observed.map_err(|source| SchemaError::Server { url: self.url.clone(), source }),
            Err(_) => Err(SchemaError::Silent { url: self.url.clone(), seconds: OBSERVE_WITHIN.as_secs() }),
        }
    }

    async fn plan(&self, spec: &QoeCollectorSpec) -> Result<Plan, SchemaError> {
        let observed = self.observe().await?;
        if let Some(found) = &observed.storage {
            let problems = desired::storage_problems(spec, found);
            if !problems.is_empty() {
                return Err(SchemaError::Desired(validate::listed(&problems)));
            }
        }
        Ok(schema::plan(&self.desired, &observed)?)
    }

    /// Step by step, so that what is done is counted although a later step fails.
    async fn execute(
        &self,
        context: &Context,
        plan: &Plan,
        state: &mut SchemaState,
    ) -> Result<(), SchemaError> {
        let mut execution = Execution::new(&self.client, plan);
        loop {
            let step = match tokio::time::timeout(STEP_WITHIN, execution.step()).await {
                Ok(Ok(None)) => return Ok(()),
                Ok(Ok(Some(step))) => step,
                Ok(Err(source)) => {
                    context.metrics.schema_steps.get_or_create(&StepLabels { result: "failed" }).inc();
                    return Err(SchemaError::Step { url: self.url.clone(), source: Box::new(source) });
                }
                Err(_) => {
                    let object = execution.next().map(|step| step.object.clone()).unwrap_or_default();
                    let seconds = STEP_WITHIN.as_secs();
                    return Err(SchemaError::SlowStep { url: self.url.clone(), object, seconds });
                }
            };
            context.metrics.schema_steps.get_or_create(&StepLabels { result: "done" }).inc();
            state.applied_steps += 1;
            state.last_applied_at = Some(Time(Timestamp::now()));
            tracing::info!(action = ?step.action, object = step.object, "schema step done");
        }
    }
}

/// Steps of a plan that are not `done`, as many as the status holds, and their number.
fn pending(plan: &Plan, done: u64) -> (Vec<PendingStep>, u32) {
    let steps = || plan.steps.iter().skip(usize::try_from(done).unwrap_or(usize::MAX));
    let told = |step: &Step| PendingStep {
        action: format!("{:?}", step.action),
        object: shorten(&step.object, MAX_TEXT),
        risk: step.risk.name().to_owned(),
        statement: shorten(&step.sql, MAX_STATEMENT),
    };
    let count = u32::try_from(steps().count()).unwrap_or(u32::MAX);
    (steps().take(MAX_PENDING_STEPS).map(told).collect(), count)
}

/// `CreateTable fullflow, AddColumn ledger.version`
fn words(steps: &[Step]) -> String {
    let words: Vec<String> = steps.iter().map(|step| format!("{:?} {}", step.action, step.object)).collect();
    words.join(", ")
}
