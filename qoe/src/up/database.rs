//! ClickHouse for one machine: the embedded child or a server elsewhere, and the schema in it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clickhouse::Client;
use crds::QoeCollector;
use crds::clickhouse::{ClickHouseKind, External};
use crds::desired::StorageVolumes;
use crds::key_values::KeyValues;
use crds::receiver::{ClickHouseTarget, ReceiverConfig};
use crds::standalone::StandaloneOptions;
use crds::validate::Problem;
use embedded::{Child, Prepared, Settings};
use schema::{Cluster, Desired, Plan};

use super::configuration::Configuration;
use super::{Options, secrets};

/// One with many parts looks at all of them first, after a crash at their sums too. One that has ended is noticed at once.
const READY_WITHIN: Duration = Duration::from_secs(30 * 60);
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How long one of several servers may take to answer before the start goes on without it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// A server that ends again so soon after its start is not started again.
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// Where the tables are.
pub struct Database {
    target: ClickHouseTarget,
    /// The embedded server's; those of another are named in the file.
    storage: Option<StorageVolumes>,
    server: Option<Server>,
}

struct Server {
    child: Child,
    prepared: Prepared,
    version: String,
    started: Instant,
}

impl Database {
    /// Starts the embedded server, or finds out how to reach the external one.
    pub fn start(options: &Options, documents: &Configuration) -> anyhow::Result<Database> {
        let collector = &documents.collector;
        let database = collector.spec.clickhouse.database.clone();
        match collector.spec.clickhouse.kind() {
            Some(ClickHouseKind::External(external)) => {
                Database::external(options, external, database, &documents.values)
            }
            Some(ClickHouseKind::Embedded(_) | ClickHouseKind::Managed(_)) | None => {
                Database::embedded(options, database)
            }
        }
    }

    fn embedded(options: &Options, database: String) -> anyhow::Result<Database> {
        let settings = Settings {
            cold_dir: options.cold.clone(),
            http_port: options.clickhouse_http_port,
            tcp_port: options.clickhouse_tcp_port,
            engine: options.clickhouse.clone(),
            ..Settings::new(&options.data.path)
        };
        let prepared = embedded::prepare(&settings).context("the embedded ClickHouse cannot be started")?;
        let server = Server::start(prepared)?;
        let connection = server.prepared.connection.clone();
        let target = ClickHouseTarget {
            url: connection.url,
            user: connection.user,
            password_file: connection.password_file,
            database,
            ca_file: None,
            further_shards: Vec::new(),
            closed_shards: Vec::new(),
        };
        let storage =
            Some(StorageVolumes { policy: "tiered".to_string(), cold_volume: Some("cold".to_string()) });
        Ok(Database { target, storage, server: Some(server) })
    }

    fn external(
        options: &Options,
        external: &External,
        database: String,
        documents: &[KeyValues],
    ) -> anyhow::Result<Database> {
        let Some((url, further)) = external.endpoints.split_first() else {
            bail!("clickhouse.external.endpoints: expected at least one address");
        };
        let data = fs::canonicalize(&options.data.path)?;
        let secret = &external.credentials_secret_ref.name;
        let given = options.clickhouse_password_file.clone();
        let (user, password_file) = match given {
            Some(file) => (options.clickhouse_user.clone(), file),
            None => match secrets::of_clickhouse(&data, secret, documents)? {
                Some(login) => login,
                None => bail!(
                    "clickhouse.external: the Secret {secret} is not in this file: add it as a document, or give --clickhouse-user and --clickhouse-password-file"
                ),
            },
        };
        let authority = external.tls.as_ref().and_then(|tls| tls.ca_secret_ref.as_ref());
        let ca_file = match authority {
            Some(reference) => Some(secrets::of_authority(&data, &reference.name, documents)?),
            None => None,
        };
        let target = ClickHouseTarget {
            url: url.clone(),
            user,
            password_file,
            database,
            ca_file,
            further_shards: further.to_vec(),
            closed_shards: Vec::new(),
        };
        Ok(Database { target, storage: None, server: None })
    }

    /// Makes the schema true and says what the receiver is to do; prints what is left out.
    pub fn prepare(
        &self,
        options: &Options,
        documents: &Configuration,
    ) -> anyhow::Result<(usize, ReceiverConfig)> {
        let collector = &documents.collector;
        let data_dir = fs::canonicalize(&options.data.path)?;
        let secrets = secrets::of_streams(&data_dir, &collector.spec.dpis, &documents.values)?;
        let version = env!("CARGO_PKG_VERSION").to_string();
        let standalone = StandaloneOptions {
            listen: options.listen,
            http: options.http,
            secrets,
            ..StandaloneOptions::new(data_dir, version, self.target.clone())
        };
        let (config, not_yet) = ReceiverConfig::from_collector(collector, &standalone);
        for line in not_yet {
            eprintln!("{}: {line}", options.file.display());
        }
        if config.dpis.is_empty() {
            bail!("{}: none of its streams can be received by this version", options.file.display());
        }
        let steps = self.apply_schema(options, collector)?;
        Ok((steps, config))
    }

    /// On each server, the last one first: the first turns to the others only when these have their tables.
    fn apply_schema(&self, options: &Options, collector: &QoeCollector) -> anyhow::Result<usize> {
        let password = fs::read_to_string(&self.target.password_file).with_context(|| {
            format!("cannot read the password file {}", self.target.password_file.display())
        })?;
        let ca = self.target.ca_file.as_ref().map(fs::read).transpose()?;
        let desired = crds::desired::desired(&collector.spec, self.storage.as_ref())
            .map_err(|problems| not_as_configured(options, &problems))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shards: Vec<&str> = self.target.shards().collect();
        let (mut steps, mut waiting, mut away) = (0, Plan::default(), Vec::new());
        for (number, url) in (0_u32..shards.len().try_into()?).zip(&shards).rev() {
            let client = schema::connect(url, &self.target.user, password.trim(), ca.as_deref())?;
            let desired = self.desired_of(&desired, collector, number);
            let applied = runtime.block_on(async {
                if number > 0 && is_away(&client).await {
                    return Ok(None);
                }
                apply_to_server(options, collector, (&client, url), &desired, &away).await.map(Some)
            });
            match applied? {
                Some((done, rest)) => {
                    steps += done;
                    waiting = rest;
                }
                None => {
                    eprintln!(
                        "{}: ClickHouse on {url} does not answer: records that an earlier life has left wait for it, new ones go to the others; its tables are looked at at the next start",
                        options.file.display()
                    );
                    away.push(*url);
                }
            }
        }
        // The same change on every server is one for a person.
        say_what_waits(options, &waiting);
        Ok(steps)
    }

    /// What one server is to have of the tables.
    fn desired_of(&self, desired: &Desired, collector: &QoeCollector, shard: u32) -> Desired {
        let mut desired = desired.clone();
        if self.server.is_none() {
            // The embedded server belongs to its data directory; at another one, collectors may meet.
            let owner = schema::owner::standalone(&collector.metadata.name);
            desired = desired.with_owner(&schema::owner::of_shard(&owner, shard));
        }
        if let Some(ClickHouseKind::External(external)) = collector.spec.clickhouse.kind()
            && let Some(name) = &external.cluster
        {
            let shards = u32::try_from(external.endpoints.len()).unwrap_or(u32::MAX);
            desired = desired.with_cluster(Cluster { name: name.clone(), shards, is_shared: shards > 1 });
        }
        desired
    }

    /// Starts the embedded server again if it has ended.
    pub fn restart_if_ended(&mut self) -> anyhow::Result<()> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let Some(ended) = server.child.ended()? else { return Ok(()) };
        if !ended.worth_a_restart() || server.started.elapsed() < SHORT_LIFE {
            bail!("ClickHouse has ended: {ended}");
        }
        tracing::error!(error = %ended, "ClickHouse has ended and is started again; nothing is lost meanwhile");
        *server = Server::start(server.prepared.clone())?;
        Ok(())
    }

    /// Stops the embedded server.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(server) = &mut self.server {
            server.child.stop(STOP_WITHIN)?;
        }
        Ok(())
    }
}

fn not_as_configured(options: &Options, problems: &[Problem]) -> anyhow::Error {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {problem}", options.file.display())).collect();
    anyhow::anyhow!("the tables cannot be made as configured:\n{}", lines.join("\n"))
}

/// Whether nobody answers there. What a server has to say against us is told by what is asked next.
pub(super) async fn is_away(client: &Client) -> bool {
    let asked = client.query("SELECT 1").fetch_one::<u8>();
    let answer = tokio::time::timeout(ANSWERS_WITHIN, asked).await;
    matches!(answer, Err(_) | Ok(Err(clickhouse::error::Error::Network(_))))
}

/// Returns the number of statements, and what waits for an approval.
async fn apply_to_server(
    options: &Options,
    collector: &QoeCollector,
    (client, url): (&Client, &str),
    desired: &Desired,
    away: &[&str],
) -> anyhow::Result<(usize, Plan)> {
    let observed = schema::observe(client, &desired.database)
        .await
        .with_context(|| format!("ClickHouse on {url} does not answer"))?;
    if let Some(volumes) = &observed.storage {
        let problems = crds::desired::storage_problems(&collector.spec, volumes);
        if !problems.is_empty() {
            return Err(not_as_configured(options, &problems));
        }
    }
    let plan = schema::plan(desired, &observed).with_context(|| format!("ClickHouse on {url}"))?;
    if plan.divides() && !away.is_empty() {
        bail!(
            "ClickHouse on {url}: its tables are divided when all servers have theirs, and {} does not answer",
            away.join(", ")
        );
    }
    let (now, waiting) = plan.approved(&collector.spec.approvals);
    Ok((schema::execute(client, &now).await?, waiting))
}

/// Rows that would be deleted sooner stay until somebody has said that this is meant.
fn say_what_waits(options: &Options, waiting: &Plan) {
    let Some(approval) = waiting.hash() else { return };
    for step in &waiting.steps {
        eprintln!(
            "{}: spec.tables.{}.keepFor: not yet, its rows stay as long as before ({}): to delete them, add \"{approval}\" to spec.approvals and start again",
            options.file.display(),
            step.object,
            step.effect
        );
    }
}

impl Server {
    fn start(prepared: Prepared) -> anyhow::Result<Server> {
        let program: PathBuf = std::env::current_exe().context("cannot find this program's file")?;
        let settings = prepared.settings_file.clone().into_os_string();
        let arguments: [OsString; 3] = ["clickhouse-server".into(), "--settings".into(), settings];
        let mut child = Child::spawn(&program, &arguments, &prepared)?;
        let version = child.wait_ready(READY_WITHIN)?;
        Ok(Server { child, prepared, version, started: Instant::now() })
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(server) => {
                write!(
                    f,
                    "ClickHouse {} on {} (embedded, process {})",
                    server.version,
                    self.target.url,
                    server.child.pid()
                )
            }
            None => write!(f, "ClickHouse on {} (external)", self.target.url),
        }
    }
}
