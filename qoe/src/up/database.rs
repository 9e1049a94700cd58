//! ClickHouse for one machine: the embedded child or a server elsewhere, and the schema in it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clickhouse::Client;
use crds::clickhouse::{ClickHouseKind, External};
use crds::receiver::{ClickHouseTarget, ReceiverConfig};
use crds::standalone::StandaloneOptions;
use crds::tables::RawTable;
use crds::{QoeCollector, StreamType};
use embedded::{Child, Prepared, Settings};
use schema::{Desired, TableOptions};

use super::Options;

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// A server that ends again so soon after its start is not started again.
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// Where the tables are.
pub struct Database {
    target: ClickHouseTarget,
    storage_policy: Option<(String, String)>,
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
    pub fn start(options: &Options, collector: &QoeCollector) -> anyhow::Result<Database> {
        let database = collector.spec.clickhouse.database.clone();
        match collector.spec.clickhouse.kind() {
            Some(ClickHouseKind::External(external)) => Database::external(options, external, database),
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
        };
        let storage_policy = Some(("tiered".to_string(), "cold".to_string()));
        Ok(Database { target, storage_policy, server: Some(server) })
    }

    fn external(options: &Options, external: &External, database: String) -> anyhow::Result<Database> {
        let Some(url) = external.endpoints.first() else {
            bail!("clickhouse.external.endpoints: expected at least one address");
        };
        let Some(password_file) = options.clickhouse_password_file.clone() else {
            bail!(
                "clickhouse.external: the Secret {} cannot be read outside Kubernetes: give --clickhouse-user and --clickhouse-password-file",
                external.credentials_secret_ref.name
            );
        };
        let target = ClickHouseTarget {
            url: url.clone(),
            user: options.clickhouse_user.clone(),
            password_file,
            database,
            ca_file: None,
        };
        let storage_policy =
            external.storage_policy.as_ref().map(|policy| (policy.name.clone(), policy.cold_volume.clone()));
        Ok(Database { target, storage_policy, server: None })
    }

    /// Makes the schema true and says what the receiver is to do; prints what is left out.
    pub fn prepare(
        &self,
        options: &Options,
        collector: &QoeCollector,
    ) -> anyhow::Result<(usize, ReceiverConfig)> {
        let data_dir = fs::canonicalize(&options.data.path)?;
        let version = env!("CARGO_PKG_VERSION").to_string();
        let standalone = StandaloneOptions {
            listen: options.listen,
            http: options.http,
            ..StandaloneOptions::new(data_dir, version, self.target.clone())
        };
        let (config, not_yet) = ReceiverConfig::from_collector(collector, &standalone);
        for line in not_yet {
            eprintln!("{}: {line}", options.file.display());
        }
        if config.dpis.is_empty() {
            bail!("{}: none of its streams can be received by this version", options.file.display());
        }
        let steps = self.apply_schema(collector)?;
        Ok((steps, config))
    }

    fn apply_schema(&self, collector: &QoeCollector) -> anyhow::Result<usize> {
        let password = fs::read_to_string(&self.target.password_file).with_context(|| {
            format!("cannot read the password file {}", self.target.password_file.display())
        })?;
        let client = Client::default()
            .with_url(&self.target.url)
            .with_user(&self.target.user)
            .with_password(password.trim());
        let desired = self.desired(collector)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let observed = schema::observe(&client, &desired.database)
                .await
                .with_context(|| format!("ClickHouse on {} does not answer", self.target.url))?;
            let plan = schema::plan(&desired, &observed)?;
            Ok(schema::execute(&client, &plan).await?)
        })
    }

    /// All streams have their tables, whether or not a DPI sends them: queries may name them.
    fn desired(&self, collector: &QoeCollector) -> anyhow::Result<Desired> {
        let database = &self.target.database;
        let mut desired = Desired::new(database);
        for stream_type in StreamType::ALL {
            let stream = crds::declare::stream(stream_type, &collector.spec.elements)?;
            let kept = collector.spec.tables.raw(stream_type);
            desired = desired.with_table(stream.table(&self.table_options(database, stream.name, kept)));
        }
        Ok(desired)
    }

    fn table_options(&self, database: &str, table: &str, kept: RawTable) -> TableOptions {
        let mut options = TableOptions::new(database, table);
        options.keep_for = Some(kept.keep_for().as_millis() / 1000);
        if let Some((policy, cold_volume)) = &self.storage_policy {
            options.storage_policy = Some(policy.clone());
            options.cold_volume = cold_volume.clone();
            options.move_to_cold_after = kept.move_to_cold_after.map(|after| after.as_millis() / 1000);
        }
        options
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
