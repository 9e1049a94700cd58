//! The system under test: an embedded ClickHouse and a receiver, each a process of its own that a
//! test may kill. [`System::up`] starts them as `qoe up` does; [`System::start`] starts them one by
//! one, with something of the test's own between them if it wants.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crds::collector::NodePolicy;
use crds::receiver::{
    AggregateStatus, ClickHouseTarget, DpiConfig, JournalConfig, ReceiverConfig, Status, StreamConfig,
    StreamStatus, hash_of,
};
use crds::tables::Tables;
use crds::{CustomElement, StreamType, Transport};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::database::Database;
use crate::ports::free_port;
use crate::process::{Process, qoe_binary, wait_for};

/// Deadline of everything that should take a second or two: ten times that, and the machine's load.
pub(crate) const SOON: Duration = Duration::from_secs(180);

/// Changes the receiver's configuration before it starts.
pub type Configure = Box<dyn Fn(&mut ReceiverConfig)>;

/// What a test wants otherwise than usual.
#[derive(Default)]
pub struct SystemOptions {
    /// The receiver's configuration, if not the usual one.
    pub configure: Option<Configure>,
    /// `spec.tables` of the collector as JSON; its aggregates are gathered.
    pub tables: Option<&'static str>,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// `count()`.
    pub rows: u64,
    /// `sum(octet_delta_count)`.
    pub octets: u64,
    /// `sum(packet_delta_count)`.
    pub packets: u64,
    /// Distinct (session id, start).
    pub distinct: u64,
}

/// An embedded ClickHouse with the schema, and a receiver with two DPIs, 0 over TCP and 1 over UDP. Each
/// sends `fullflow`, or all streams if a test wants them.
pub struct System {
    /// The configuration that the receiver starts with.
    pub config: ReceiverConfig,
    receiver: Option<Process>,
    /// The servers, by shard: one, if a test does not want more.
    databases: Vec<Database>,
    /// Dropped last: the processes above write to it until they are killed.
    dir: TempDir,
}

impl System {
    /// Starts ClickHouse by `qoe up` on a file whose streams are elsewhere, then the receiver on its own,
    /// so that either can be killed and started again.
    pub fn start(options: &SystemOptions) -> System {
        let mut system = System::prepare(options);
        system.start_receiver();
        system
    }

    /// Starts both with all streams of both DPIs, and fields of the user's own.
    pub fn start_all_streams(elements: Vec<CustomElement>) -> System {
        System::start_streams(&SystemOptions::default(), elements)
    }

    /// The same with what a test wants otherwise.
    pub fn start_streams(options: &SystemOptions, elements: Vec<CustomElement>) -> System {
        let mut system = System::prepare_streams(options, &StreamType::ALL, elements);
        system.start_receiver();
        system
    }

    /// Like [`System::start`], without the receiver.
    pub fn prepare(options: &SystemOptions) -> System {
        System::prepare_streams(options, &[StreamType::Fullflow], Vec::new())
    }

    fn prepare_streams(
        options: &SystemOptions,
        streams: &[StreamType],
        elements: Vec<CustomElement>,
    ) -> System {
        let dir = TempDir::new().unwrap();
        let tables = options.tables.unwrap_or("{}");
        let database = Database::start(dir.path().to_path_buf(), &elements, tables);
        let target = ClickHouseTarget {
            url: database.url().to_string(),
            user: "qoe".to_string(),
            password_file: dir.path().join("clickhouse/password"),
            database: "qoestor".to_string(),
            ca_file: None,
            further_shards: Vec::new(),
            closed_shards: Vec::new(),
        };
        let mut config = ReceiverConfig {
            collector: "test".to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            data_dir: dir.path().join("receiver"),
            http: ([127, 0, 0, 1], 0).into(),
            clickhouse: target,
            dpis: vec![
                dpi(0, Transport::Tcp, streams, &elements),
                dpi(1, Transport::Udp, streams, &elements),
            ],
            cpu_features: Vec::new(),
            cpu_policy: NodePolicy::default(),
            enrichment: Default::default(),
            aggregates: (&serde_json::from_str::<Tables>(tables).unwrap()).into(),
        };
        if let Some(configure) = &options.configure {
            configure(&mut config);
        }
        std::fs::create_dir_all(&config.data_dir).unwrap();
        System { dir, config, receiver: None, databases: vec![database] }
    }

    /// The receiver's configuration file; another than that of the receiver that `qoe up` starts.
    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("tested-receiver.json")
    }

    /// Writes the configuration as it is now, for a receiver that runs or for the next one.
    pub fn write_config(&self) {
        std::fs::write(self.config_file(), serde_json::to_vec(&self.config).unwrap()).unwrap();
    }

    /// Tells the receiver of the configuration as it is now and waits until it is in force.
    pub fn reload(&self) {
        self.write_config();
        let hash = hash_of(&std::fs::read(self.config_file()).unwrap());
        kill(Pid::from_raw(self.receiver_pid() as i32), Signal::SIGHUP).unwrap();
        wait_for("the configuration", SOON, || (self.status().config_hash == hash).then_some(()));
    }

    /// Starts the receiver and waits until it is ready. Its log goes to `receiver.log`.
    pub fn start_receiver(&mut self) {
        let file = self.config_file();
        self.write_config();
        let _ = std::fs::remove_file(self.config.data_dir.join("receiver.json"));
        let log = std::fs::File::options().create(true).append(true).open(self.receiver_log()).unwrap();
        let mut command = Command::new(qoe_binary());
        command.arg("receiver").arg("--config").arg(file).stdin(Stdio::null()).stderr(log);
        let mut receiver = Process::start(&mut command);
        wait_for("the receiver", SOON, || {
            assert!(receiver.is_running(), "the receiver ended: {}", self.receiver_log_text());
            let http = self.receiver_http()?;
            ureq::get(format!("http://{http}/readyz")).call().ok()
        });
        self.receiver = Some(receiver);
    }

    /// `kill -9` of the receiver.
    pub fn kill_receiver(&mut self) {
        self.receiver.take().expect("a receiver runs").kill();
    }

    /// SIGTERM to the receiver; waits for its end.
    pub fn stop_receiver(&mut self) {
        let mut receiver = self.receiver.take().expect("a receiver runs");
        receiver.signal(Signal::SIGTERM);
        let status = receiver.wait(SOON);
        assert!(status.success(), "the receiver did not stop in order: {}", self.receiver_log_text());
    }

    /// `kill -9` of ClickHouse (it dies with its parent).
    pub fn kill_clickhouse(&mut self) {
        self.kill_shard(0);
    }

    /// Starts ClickHouse again on the same port.
    pub fn start_clickhouse(&mut self) {
        self.start_shard(0);
    }

    /// Starts another server with the same schema, password and login, and adds it to the configuration, which is
    /// not written. Returns its number.
    pub fn add_shard(&mut self) -> usize {
        let number = self.databases.len();
        let database = self.databases[0].another(self.dir.path().join(format!("shard-{number}")));
        self.config.clickhouse.further_shards.push(database.url().to_string());
        self.databases.push(database);
        number
    }

    /// `kill -9` of a shard.
    pub fn kill_shard(&mut self, shard: usize) {
        self.databases[shard].kill();
        let is_gone = || self.try_query_shard(shard, "SELECT 1").is_err().then_some(());
        wait_for("the end of ClickHouse", SOON, is_gone);
    }

    /// Starts a shard again on the same port.
    pub fn start_shard(&mut self, shard: usize) {
        self.databases[shard].start_again();
        wait_for("ClickHouse", SOON, || self.try_query_shard(shard, "SELECT 1").ok());
    }

    /// Process id of the receiver.
    pub fn receiver_pid(&self) -> u32 {
        self.receiver.as_ref().expect("a receiver runs").pid()
    }

    /// The directory of everything.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where a stream's journal lies.
    pub fn journal(&self, dpi: u16) -> PathBuf {
        self.config.data_dir.join(format!("journal/dpi-{dpi}-fullflow"))
    }

    /// HTTP address of ClickHouse, `http://127.0.0.1:PORT`.
    pub fn clickhouse_url(&self) -> &str {
        self.databases[0].url()
    }

    /// `127.0.0.1:PORT` of a DPI's `fullflow`.
    pub fn address(&self, dpi: u16) -> String {
        self.address_of(dpi, "fullflow")
    }

    /// `127.0.0.1:PORT` of a DPI's stream.
    pub fn address_of(&self, dpi: u16, stream: &str) -> String {
        let streams = &self.config.dpis[usize::from(dpi)].streams;
        streams.iter().find(|config| config.name == stream).unwrap().listen.to_string()
    }

    fn receiver_http(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.config.data_dir.join("receiver.json")).ok()?;
        serde_json::from_str::<serde_json::Value>(&text).ok()?["http"].as_str().map(str::to_string)
    }

    /// The body of a GET of the receiver's HTTP server.
    pub fn get(&self, path: &str) -> String {
        let http = self.receiver_http().expect("the receiver has said where it listens");
        ureq::get(format!("http://{http}{path}")).call().unwrap().body_mut().read_to_string().unwrap()
    }

    /// Whether `/readyz` says that a journal does not accept.
    pub fn is_unready(&self) -> bool {
        let http = self.receiver_http().expect("the receiver has said where it listens");
        match ureq::get(format!("http://{http}/readyz")).call() {
            Ok(_) => false,
            Err(ureq::Error::StatusCode(503)) => true,
            Err(error) => panic!("/readyz: {error}"),
        }
    }

    /// The receiver's status.
    pub fn status(&self) -> Status {
        serde_json::from_str(&self.get("/status")).unwrap()
    }

    /// The status of a DPI's `fullflow`.
    pub fn stream(&self, dpi: u16) -> StreamStatus {
        self.stream_of(dpi, "fullflow")
    }

    /// The status of a DPI's stream.
    pub fn stream_of(&self, dpi: u16, stream: &str) -> StreamStatus {
        let dpi = self.status().dpis.into_iter().find(|status| status.id == dpi).unwrap();
        dpi.streams.into_iter().find(|status| status.name == stream).unwrap()
    }

    /// The answer to a query, without the last line end; panics on an error.
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The answer to a query, without the last line end.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        self.try_query_shard(0, sql)
    }

    /// The answer of a shard; panics on an error.
    pub fn query_shard(&self, shard: usize, sql: &str) -> String {
        self.try_query_shard(shard, sql).unwrap_or_else(|error| panic!("shard {shard}: {sql}: {error}"))
    }

    fn try_query_shard(&self, shard: usize, sql: &str) -> Result<String, String> {
        let password =
            std::fs::read_to_string(&self.config.clickhouse.password_file).map_err(|e| e.to_string())?;
        self.databases[shard].query(password.trim(), sql)
    }

    /// A single number.
    pub fn number(&self, sql: &str) -> u64 {
        self.query(sql).parse().unwrap()
    }

    /// What `fullflow` holds of a DPI.
    pub fn stored(&self, dpi: u16) -> Stored {
        let answer = self.query(&format!(
            "SELECT count(), sum(octet_delta_count), sum(packet_delta_count), \
             uniqExact(session_id, flow_start_millisecond) FROM qoestor.fullflow WHERE dpi_id = {dpi}"
        ));
        let figures: Vec<u64> = answer.split('\t').map(|figure| figure.parse().unwrap()).collect();
        Stored { rows: figures[0], octets: figures[1], packets: figures[2], distinct: figures[3] }
    }

    /// Waits until so many records of a stream were decoded. What was sent by UDP may lie in the socket when the sender
    /// has ended.
    pub fn wait_until_decoded(&self, dpi: u16, stream: &str, records: u64) {
        wait_for("the records to be decoded", SOON * 4, || {
            (self.stream_of(dpi, stream).sequence.decoded >= records).then_some(())
        });
    }

    /// Waits until everything that the journal of a DPI's `fullflow` holds is stored.
    pub fn wait_until_stored(&self, dpi: u16) -> StreamStatus {
        self.wait_until_stored_of(dpi, "fullflow")
    }

    /// Waits until everything that a stream's journal holds is stored.
    pub fn wait_until_stored_of(&self, dpi: u16, stream: &str) -> StreamStatus {
        let mut last = String::new();
        let begun = std::time::Instant::now();
        loop {
            let status = self.stream_of(dpi, stream);
            if status.journal.waiting_frames == 0 && status.destination.waiting == 0 {
                return status;
            }
            if begun.elapsed() > SOON * 4 {
                last.push_str(&self.receiver_log_text());
                panic!("not stored: {status:?}\n{last}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until everything that a stream's journal holds is in its aggregates, all of them.
    pub fn wait_until_aggregated(&self, dpi: u16, stream: &str) -> StreamStatus {
        self.wait_until_stored_of(dpi, stream);
        wait_for("the aggregates", SOON * 4, || {
            let status = self.stream_of(dpi, stream);
            let is_there = |aggregate: &AggregateStatus| {
                aggregate.groups == 0
                    && aggregate.destination.waiting == 0
                    && aggregate.destination.decoded == status.destination.decoded
            };
            (!status.aggregates.is_empty() && status.aggregates.iter().all(is_there)).then_some(status)
        })
    }

    /// Where the receiver's log goes.
    pub fn receiver_log(&self) -> PathBuf {
        self.dir.path().join("receiver.log")
    }

    /// The end of the receiver's log.
    pub fn receiver_log_text(&self) -> String {
        let text = std::fs::read_to_string(self.receiver_log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

fn dpi(id: u16, transport: Transport, streams: &[StreamType], elements: &[CustomElement]) -> DpiConfig {
    let stream = |stream: &StreamType| StreamConfig {
        name: stream.table().to_string(),
        stream: *stream,
        listen: ([127, 0, 0, 1], free_port()).into(),
        transport,
        allow_from: Vec::new(),
        tls: None,
        domains: Vec::new(),
        elements: elements.to_vec(),
    };
    DpiConfig {
        id,
        name: None,
        streams: streams.iter().map(stream).collect(),
        journal: JournalConfig { keep_after_commit_ms: 1_000, ..JournalConfig::default() },
        max_delay_ms: 500,
        inserters: 2,
        flush_interval_ms: Some(500),
    }
}
