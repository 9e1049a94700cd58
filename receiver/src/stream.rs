//! One stream of one DPI, put together: listener, journal, pipeline, and the thread that keeps house.

mod aggregates;
mod nat;

pub use aggregates::flush_after;
pub use nat::DIRECTORY as NAT_DIRECTORY;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crds::StreamType;
use crds::receiver::{AggregatesConfig, DpiConfig, JournalConfig, StreamConfig};

use crate::aggregate::Aggregator;
use crate::dictionaries::Known;
use crate::insert::{Pipeline, PipelineOptions, Shards};
use crate::intent_log::{IntentLog, Recovered, Wire};
use crate::journal::{Fsync, Journal, JournalWriter, OpenError, Options, Quota, lock};
use crate::listen::{Allowed, Listener, ListenerOptions, Tls, WireCounters};

/// How often the house is kept.
const HOUSEKEEPING: Duration = Duration::from_millis(100);
/// A little longer than a planned stop takes.
const OTHER_MAY_STOP: Duration = Duration::from_secs(12);
const CHECKPOINT_LOOK: Duration = Duration::from_secs(1);
/// The rate of the journal's growth is taken over so long.
const RATE_INTERVAL: Duration = Duration::from_secs(30);

/// Why a stream cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Its journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// Files of its journal.
    #[error("{label}: {path}")]
    Io {
        /// The stream.
        label: String,
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Its port.
    #[error(
        "{label}: cannot listen on {address}/{transport} (another program may use this port, and one below 1024 needs a privilege)"
    )]
    Bind {
        /// The stream.
        label: String,
        /// Where it was to listen.
        address: std::net::SocketAddr,
        /// TCP or UDP.
        transport: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A value that the configuration should not have.
    #[error("{label}: {problem}")]
    Config {
        /// The stream.
        label: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// A running stream.
pub struct StreamHandle {
    /// The DPI's id.
    pub dpi: u16,
    /// The stream's configuration.
    pub config: StreamConfig,
    /// The bound address.
    pub address: std::net::SocketAddr,
    /// Its journal.
    pub journal: Arc<Journal>,
    /// What the listener counts.
    pub wire: Arc<WireCounters>,
    /// Who may send.
    pub allowed: Arc<Allowed>,
    /// Its TLS.
    pub tls: Option<Arc<Tls>>,
    /// On the way to the table.
    pub pipeline: Arc<Pipeline>,
    /// On the way to natflow, where fullflow records become rows of it too: another reader of the journal.
    pub nat: Option<Arc<Pipeline>>,
    /// On the way to the aggregates: more readers of the journal.
    pub aggregators: Vec<Arc<Aggregator>>,
    /// Journal bytes a second, of the last half minute.
    pub bytes_per_second: AtomicU64,
    listening: AtomicBool,
    listener: Mutex<Option<JoinHandle<()>>>,
    /// Once its threads are started.
    runtime: OnceLock<tokio::runtime::Handle>,
}

/// A stream whose files are open and whose port is bound.
pub struct Prepared {
    handle: Arc<StreamHandle>,
    listener: Listener,
    writer: JournalWriter,
}

/// The directory of a stream's journal.
pub fn journal_dir(data_dir: &Path, dpi: u16, stream: &str) -> PathBuf {
    data_dir.join("journal").join(format!("dpi-{dpi}-{stream}"))
}

/// What a stream is given besides its configuration.
pub struct Surroundings {
    /// Of the DPI's journals.
    pub quota: Arc<Quota>,
    /// Where rows go.
    pub shards: Shards,
    /// Who may send.
    pub allowed: Arc<Allowed>,
    /// TLS of its listener.
    pub tls: Option<Arc<Tls>>,
    /// What its records are enriched by.
    pub known: Arc<Known>,
    /// Whether fullflow records become rows of natflow too.
    pub nat_from_fullflow: bool,
    /// What is gathered besides.
    pub aggregates: AggregatesConfig,
    /// Name of the collector.
    pub collector: String,
    /// Set when the process is to end.
    pub stop: Arc<AtomicBool>,
}

/// Opens everything that a stream needs; nothing is received or sent yet.
pub fn prepare(
    data_dir: &Path,
    dpi: &DpiConfig,
    config: &StreamConfig,
    surroundings: Surroundings,
) -> Result<Prepared, StreamError> {
    let Surroundings { quota, shards, allowed, tls, known, nat_from_fullflow, aggregates, collector, stop } =
        surroundings;
    let label = format!("dpi {} {}", dpi.id, config.name);
    let dir = journal_dir(data_dir, dpi.id, &config.name);
    // The declaration lives as long as the process, which reads its configuration once.
    let declared: &'static schema::Stream = match crds::declare::stream(config.stream, &config.elements) {
        Ok(declared) => Box::leak(Box::new(declared)),
        Err(error) => return Err(StreamError::Config { label, problem: format!("elements: {error}") }),
    };
    let of = label.clone();
    let io = |source| StreamError::Io { label: of.clone(), path: dir.clone(), source };
    let journal = open_journal(&dir, options(&dpi.journal), &quota)?;
    let (log, recovered) = IntentLog::open(&dir, journal.id()).map_err(io)?;
    let with_nat = nat_from_fullflow && config.stream == StreamType::Fullflow;
    let nat_notes = nat::notes(&dir, &journal, with_nat).map_err(io)?;
    let domains: Arc<BTreeMap<u32, u16>> =
        Arc::new(config.domains.iter().map(|domain| (domain.id, domain.dpi)).collect());
    let readers = aggregates::options(&aggregates::Of {
        config: &aggregates,
        dpi,
        stream: config,
        declared,
        with_nat,
        domains: &domains,
        known: &known,
        collector: &collector,
        dir: &dir,
    });
    let readers = aggregates::open(readers).map_err(io)?;
    let mut newest = recovered.newest();
    let others = nat_notes.iter().map(|(_, recovered)| recovered.newest());
    for other in others.chain(readers.iter().map(|(_, opened)| opened.newest())) {
        newest.last_number = newest.last_number.max(other.last_number);
        newest.last_arrival_us = newest.last_arrival_us.max(other.last_arrival_us);
    }
    let (writer, found) = JournalWriter::recover(journal.clone(), newest, stop).map_err(io)?;

    let listener_options = ListenerOptions {
        address: config.listen,
        transport: config.transport,
        allowed: allowed.clone(),
        tls: tls.clone(),
        label: label.clone(),
    };
    let listener = Listener::bind(listener_options).map_err(|source| StreamError::Bind {
        label: label.clone(),
        address: config.listen,
        transport: config.transport.as_str(),
        source,
    })?;

    let wire = wire_so_far(&recovered, found.messages);
    let pipeline_options = PipelineOptions {
        stream: declared,
        dpi: dpi.id,
        domains,
        known,
        max_delay: Duration::from_millis(dpi.max_delay_ms),
        label,
        inserters: dpi.inserters.max(1),
        ..PipelineOptions::of(declared)
    };
    let nat = match nat_notes {
        Some(notes) => {
            let options = nat::options(&pipeline_options, &dir);
            let shards = shards.clone();
            Some(Pipeline::resume(options, &journal, shards, notes, found.last_number).map_err(io)?)
        }
        None => None,
    };
    let mut aggregators = Vec::new();
    for (options, opened) in readers {
        let aggregator = Aggregator::resume(options, &journal, shards.clone(), opened).map_err(io)?;
        aggregators.push(Arc::new(aggregator));
    }
    let pipeline = Pipeline::resume(pipeline_options, &journal, shards, (log, recovered), found.last_number)
        .map_err(io)?;
    let handle = StreamHandle {
        dpi: dpi.id,
        config: config.clone(),
        address: listener.local_address(),
        journal,
        wire: Arc::new(WireCounters::continued(wire)),
        allowed,
        tls,
        pipeline: Arc::new(pipeline),
        nat: nat.map(Arc::new),
        aggregators,
        bytes_per_second: AtomicU64::new(0),
        listening: AtomicBool::new(false),
        listener: Mutex::new(None),
        runtime: OnceLock::new(),
    };
    Ok(Prepared { handle: Arc::new(handle), listener, writer })
}

/// Opens the journal. A receiver that lost its parent may still be stopping in it.
fn open_journal(dir: &Path, options: Options, quota: &Arc<Quota>) -> Result<Arc<Journal>, OpenError> {
    let begun = Instant::now();
    loop {
        match Journal::open(dir, options, quota.clone()) {
            Err(OpenError::InUse(_)) if begun.elapsed() < OTHER_MAY_STOP => {
                std::thread::sleep(HOUSEKEEPING);
            }
            opened => return opened,
        }
    }
}

/// The wire balance of earlier lives: `journaled` messages are in the journal or were, and refusals are
/// as the log knows them.
fn wire_so_far(recovered: &Recovered, journaled: u64) -> Wire {
    let checkpoint = recovered.checkpoint.as_ref();
    let mut wire = checkpoint.map(|checkpoint| checkpoint.wire.clone()).unwrap_or_default();
    let noted = recovered.ledger_row.as_ref().map(|row| &row.mark);
    if let Some(mark) = noted.or(checkpoint.map(|checkpoint| &checkpoint.ledger)) {
        crate::ledger::continue_refusals(&mut wire, &mark.cumulative);
    }
    let refused: u64 = wire.refused.values().sum();
    Wire { arrived: journaled + refused, journaled, ..wire }
}

/// The smallest segment: templates at its head, the largest batch of datagrams, and some frames.
const MIN_SEGMENT_BYTES: u64 = 16 << 20;

/// Size and durability of a stream's journal.
pub fn options(config: &JournalConfig) -> Options {
    let (fsync, keep_after_commit) = durability(config);
    Options { segment_bytes: config.segment_bytes.max(MIN_SEGMENT_BYTES), fsync, keep_after_commit }
}

/// When frames are forced to the disk, and how long segments are kept.
pub fn durability(config: &JournalConfig) -> (Fsync, Duration) {
    let fsync = match config.fsync {
        crds::dpi::Fsync::Never => Fsync::Never,
        crds::dpi::Fsync::Interval => Fsync::Interval(Duration::from_millis(config.fsync_interval_ms)),
        crds::dpi::Fsync::Always => Fsync::Always,
    };
    (fsync, Duration::from_millis(config.keep_after_commit_ms))
}

impl Prepared {
    /// Starts the threads of the stream. `runtime` must have threads of its own.
    pub fn start(
        self,
        stop: &Arc<AtomicBool>,
        runtime: &tokio::runtime::Handle,
    ) -> io::Result<Arc<StreamHandle>> {
        let Prepared { handle, listener, writer } = self;
        let thread = |role: &str| handle.thread(role);
        handle.listening.store(true, Ordering::Relaxed);
        let (listening, stop_listening) = (handle.clone(), stop.clone());
        let joined = thread("listen").spawn(move || {
            listener.run(writer, listening.wire.clone(), &stop_listening);
            listening.listening.store(false, Ordering::Relaxed);
        })?;
        *lock(&handle.listener) = Some(joined);
        // Set once: a stream is started once.
        let _ = handle.runtime.set(runtime.clone());
        handle.start_inserters()?;
        for aggregator in &handle.aggregators {
            let (aggregator, runtime) = (aggregator.clone(), runtime.clone());
            thread("aggregate").spawn(move || aggregator.work(&runtime))?;
        }
        let kept = handle.clone();
        thread("keep").spawn(move || kept.keep_house())?;
        Ok(handle)
    }
}

impl StreamHandle {
    fn thread(&self, role: &str) -> std::thread::Builder {
        std::thread::Builder::new().name(format!("{role} {}-{}", self.dpi, self.config.name))
    }

    /// Starts the inserters that are missing: all at first, and more when shards have come.
    pub fn start_inserters(&self) -> io::Result<()> {
        let Some(runtime) = self.runtime.get() else { return Ok(()) };
        for pipeline in self.pipelines() {
            for _ in 0..pipeline.take_vacancies() {
                let (pipeline, runtime) = (pipeline.clone(), runtime.clone());
                self.thread("insert").spawn(move || pipeline.work(&runtime))?;
            }
        }
        Ok(())
    }

    /// Whether it listens and its journal takes what comes.
    pub fn accepts(&self) -> bool {
        self.listening.load(Ordering::Relaxed) && self.journal.accepts()
    }

    /// The readers of its journal.
    pub fn pipelines(&self) -> impl Iterator<Item = &Arc<Pipeline>> {
        std::iter::once(&self.pipeline).chain(&self.nat)
    }

    /// Whether everything that is in the journal is in the tables.
    pub fn is_drained(&self) -> bool {
        self.pipelines().all(|pipeline| pipeline.is_drained())
            && self.aggregators.iter().all(|aggregator| aggregator.is_drained())
    }

    /// From now on nothing waits to become a larger insert.
    pub fn hurry(&self) {
        self.pipelines().for_each(|pipeline| pipeline.hurry());
        self.aggregators.iter().for_each(|aggregator| aggregator.hurry());
    }

    /// Ends the readers of the journal.
    pub fn stop_readers(&self) {
        self.pipelines().for_each(|pipeline| pipeline.stop());
        self.aggregators.iter().for_each(|aggregator| aggregator.stop());
    }

    /// Whether the listener has ended although it was not told to.
    pub fn has_died(&self) -> bool {
        lock(&self.listener).as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Waits for the listener's end, once `stop` is set.
    pub fn join_listener(&self) {
        // Not locked while we wait: `/livez` asks meanwhile.
        let listener = lock(&self.listener).take();
        if let Some(listener) = listener {
            // A panic of the thread was reported by the panic hook.
            let _ = listener.join();
        }
    }

    /// Forces frames to the disk, writes checkpoints, recycles segments; for the process's life.
    fn keep_house(&self) {
        let mut synced = Instant::now();
        let mut looked = Instant::now();
        let mut measured = (Instant::now(), self.journal.published().bytes);
        loop {
            let interval = match self.journal.options().fsync {
                Fsync::Interval(interval) => Some(interval),
                Fsync::Never | Fsync::Always => None,
            };
            std::thread::sleep(interval.unwrap_or(HOUSEKEEPING).min(HOUSEKEEPING));
            if interval.is_some_and(|interval| synced.elapsed() >= interval) {
                self.tell("the journal cannot be forced to the disk", self.journal.sync());
                synced = Instant::now();
            }
            if looked.elapsed() >= CHECKPOINT_LOOK {
                self.checkpoint(false);
                looked = Instant::now();
            }
            let (since, bytes) = measured;
            if since.elapsed() >= RATE_INTERVAL {
                let grown = self.journal.published().bytes - bytes;
                self.bytes_per_second.store(grown / RATE_INTERVAL.as_secs(), Ordering::Relaxed);
                measured = (Instant::now(), bytes + grown);
            }
        }
    }

    /// Writes a checkpoint if one is due, if it makes room in a full journal, or `now`; gives back
    /// segments that nobody needs.
    pub fn checkpoint(&self, now: bool) {
        let (mut keep_from, mut pinned) = (u64::MAX, Vec::new());
        for pipeline in self.pipelines() {
            // Messages arrive once, whoever reads them: the stream's own reader accounts for them.
            let is_own = Arc::ptr_eq(pipeline, &self.pipeline);
            let wire = if is_own { self.wire.balance() } else { Wire::default() };
            let mut book = lock(pipeline.book());
            let wanted = now || (self.journal.is_full() && book.has_moved());
            let written = book.checkpoint(&wire, wanted);
            let (from, segments) = book.releasable();
            drop(book);
            self.tell("the checkpoint cannot be written", written);
            keep_from = keep_from.min(from);
            pinned.extend(segments);
        }
        for aggregator in &self.aggregators {
            let (from, segments) = aggregator.releasable();
            keep_from = keep_from.min(from);
            pinned.extend(segments);
        }
        self.tell("a journal segment cannot be recycled", self.journal.release(keep_from, &pinned));
    }

    fn tell(&self, what: &'static str, result: io::Result<()>) {
        if let Err(error) = result
            && crate::log_limit::allow(what)
        {
            tracing::error!(dpi = self.dpi, stream = self.config.name, %error, "{what}: it is tried again");
        }
    }
}
