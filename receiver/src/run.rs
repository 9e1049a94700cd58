//! A receiver process from its configuration to its planned stop.

use std::collections::BTreeMap;
use std::fs;
use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use crds::collector::NodePolicy;
use crds::receiver::{ReceiverConfig, hash_of};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, ConfigError};
use crate::dictionaries::{DictionariesState, Follower, Known};
use crate::http::{self, Shared};
use crate::insert::{Access, Shards, now_us};
use crate::journal::Quota;
use crate::listen::{self, Allowed, Tls, TlsPem};
use crate::reload::{self, ConfigState, Watcher};
use crate::stream::{self, Prepared, StreamError, StreamHandle, Surroundings};
use crate::{cpu, ledger, metrics};

/// From the signal to the exit. Listeners read on for five seconds of it at most.
const STOP_WITHIN: Duration = Duration::from_secs(9);
/// What each stream's last row of the ledger has at least.
const LAST_ROW_WITHIN: Duration = Duration::from_millis(500);
const LEDGER_INTERVAL: Duration = Duration::from_secs(60);
/// They only move bytes; decoding has threads of its own.
const RUNTIME_THREADS: usize = 2;

/// Why a receiver cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// One of its streams.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its CPU.
    #[error(
        "{model} lacks {missing}, and the configuration requires it: run on another machine, or set the policy to Prefer"
    )]
    Cpu {
        /// What the CPU calls itself.
        model: String,
        /// Names of features.
        missing: String,
    },
    /// The address of metrics and status.
    #[error("cannot serve metrics and status on {address}")]
    Http {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Threads, signals, the data directory.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What a process started with.
struct Started {
    config: ReceiverConfig,
    accesses: Vec<Access>,
    state: Arc<Mutex<ConfigState>>,
    dictionaries: Arc<Mutex<DictionariesState>>,
    stop: Arc<AtomicBool>,
}

/// Receives as the configuration in a file says until SIGTERM or SIGINT, then stops in order.
pub fn run(path: &Path) -> Result<(), RunError> {
    // One runtime with threads of its own: a connection to the server is used by whoever needs one, and
    // must go on while the thread that made it is busy or waits for a lock.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build()?;
    // Before any port is bound: from there on a signal must not cut anything off. They stay ours to the end,
    // so that a second one changes nothing.
    let signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    let started = start(path)?;
    let Started { config, accesses, state, dictionaries, stop } = &started;
    let clickhouse = &config.clickhouse;
    let shards = Shards::new(accesses, &clickhouse.closed_shards, &clickhouse.database);
    let shards = shards.map_err(ConfigError::from)?;
    let known: BTreeMap<u16, Arc<Known>> = config.dpis.iter().map(|dpi| (dpi.id, Arc::default())).collect();
    let mut streams = Vec::new();
    for stream in prepare_all(config, &shards, &known, stop)? {
        streams.push(stream.start(stop, runtime.handle())?);
    }
    let follower = Follower::start(
        &config.data_dir,
        shards.clone(),
        known,
        config.enrichment,
        dictionaries.clone(),
        runtime.handle().clone(),
    )?;
    let watcher = Watcher::new(
        path.to_path_buf(),
        config.clone(),
        accesses.clone(),
        streams.clone(),
        (shards.clone(), follower),
        state.clone(),
    );
    let served = runtime.block_on(serve(&started, streams.clone(), shards, watcher, signals));
    if served.is_ok() {
        stop_in_order(&streams, &config.collector, stop, &runtime);
    }
    // Inserters may still wait for an answer, which they cannot do without it: it ends with the process.
    std::mem::forget(runtime);
    served
}

/// Reads and checks the configuration.
fn start(path: &Path) -> Result<Started, RunError> {
    let bytes = config::read(path)?;
    let (config, unknown) = config::parse(path, &bytes)?;
    reload::note_unknown(&unknown);
    let missing = cpu::missing(&config.cpu_features, config.cpu_policy).map_err(ConfigError::from)?;
    if config.cpu_policy == NodePolicy::Require && !missing.is_empty() {
        return Err(RunError::Cpu { model: cpu::model(), missing: missing.join(", ") });
    }
    reload::warn_of_missing(config.cpu_policy, &missing);
    let accesses = config::accesses(&config.clickhouse)?;
    let state = ConfigState {
        hash: hash_of(&bytes),
        cpu_missing: reload::shown(config.cpu_policy, missing),
        ..ConfigState::default()
    };
    let stop = Arc::new(AtomicBool::new(false));
    let state = Arc::new(Mutex::new(state));
    Ok(Started { config, accesses, state, dictionaries: Arc::default(), stop })
}

fn prepare_all(
    config: &ReceiverConfig,
    shards: &Shards,
    known: &BTreeMap<u16, Arc<Known>>,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<Prepared>, RunError> {
    let mut networks = config::networks(config)?;
    let mut prepared = Vec::new();
    for dpi in &config.dpis {
        let quota = Quota::new(dpi.journal.quota_bytes);
        for stream in &dpi.streams {
            let tls = |source| ConfigError::Tls { dpi: dpi.id, stream: stream.name.clone(), source };
            let surroundings = Surroundings {
                quota: quota.clone(),
                shards: shards.clone(),
                allowed: Allowed::new(networks.remove(&(dpi.id, stream.name.clone())).unwrap_or_default()),
                tls: match &stream.tls {
                    Some(files) => Some(Tls::new(&TlsPem::read(files).map_err(tls)?).map_err(tls)?),
                    None => None,
                },
                known: known.get(&dpi.id).cloned().unwrap_or_default(),
                nat_from_fullflow: config.enrichment.nat_from_fullflow,
                aggregates: config.aggregates.clone(),
                collector: config.collector.clone(),
                stop: stop.clone(),
            };
            prepared.push(stream::prepare(&config.data_dir, dpi, stream, surroundings)?);
        }
    }
    Ok(prepared)
}

/// The signals that mean something to us.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Answers requests, follows the configuration and writes the ledger until a signal comes. Requests are answered
/// to the end of the process.
async fn serve(
    started: &Started,
    streams: Vec<Arc<StreamHandle>>,
    shards: Shards,
    watcher: Watcher,
    mut signals: Signals,
) -> Result<(), RunError> {
    let config = &started.config;
    let http = |source| RunError::Http { address: config.http, source };
    let bound = TcpListener::from_std(listen::listen(config.http).map_err(http)?).map_err(http)?;
    let address = bound.local_addr()?;
    write_addresses(&config.data_dir, address, &streams)?;
    for stream in &streams {
        let (transport, tls) = (stream.config.transport.as_str(), stream.tls.is_some());
        tracing::info!(dpi = stream.dpi, stream = stream.config.name, address = %stream.address, transport, tls, "listening");
    }
    tracing::info!(%address, "metrics and status");
    let shared = Arc::new(Shared {
        collector: config.collector.clone(),
        started_at: now_us() / 1000,
        registry: metrics::registry(
            streams.clone(),
            shards.clone(),
            started.state.clone(),
            started.dictionaries.clone(),
        ),
        shards,
        streams: streams.clone(),
        config: started.state.clone(),
        dictionaries: started.dictionaries.clone(),
        stop: started.stop.clone(),
    });
    let server = axum::serve(bound, http::router(shared));
    let mut server = tokio::spawn(server.into_future());
    let (wake, woken) = mpsc::channel();
    std::thread::Builder::new().name("reload".to_string()).spawn(move || watcher.watch(&woken))?;
    let look_at_hangup = async {
        while signals.hangup.recv().await.is_some() {
            let _ = wake.send(());
        }
    };
    tokio::select! {
        served = &mut server => served.map_err(io::Error::other)??,
        () = write_ledger(&streams, &config.collector) => {}
        () = look_at_hangup => {}
        _ = signals.terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = signals.interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    started.stop.store(true, Ordering::Relaxed);
    Ok(())
}

/// Where this process listens, for whoever started it: ports may have been left to the system.
fn write_addresses(data_dir: &Path, http: SocketAddr, streams: &[Arc<StreamHandle>]) -> io::Result<()> {
    let mut addresses = BTreeMap::from([("http".to_string(), http.to_string())]);
    for stream in streams {
        addresses.insert(format!("dpi-{}-{}", stream.dpi, stream.config.name), stream.address.to_string());
    }
    let fresh = data_dir.join("receiver.json.new");
    fs::write(&fresh, serde_json::to_vec_pretty(&addresses)?)?;
    fs::rename(fresh, data_dir.join("receiver.json"))
}

async fn write_ledger(streams: &[Arc<StreamHandle>], collector: &str) {
    loop {
        let into_the_minute = Duration::from_micros(now_us()).as_millis() as u64 % 60_000;
        let to_the_next = LEDGER_INTERVAL.as_millis() as u64 - into_the_minute;
        tokio::time::sleep(Duration::from_millis(to_the_next)).await;
        for stream in streams {
            write_ledger_row(stream, collector).await;
        }
    }
}

async fn write_ledger_row(stream: &StreamHandle, collector: &str) {
    for pipeline in stream.pipelines() {
        let is_own = Arc::ptr_eq(pipeline, &stream.pipeline);
        let wire = if is_own { Some(stream.wire.balance()) } else { None };
        let name = match is_own {
            true => stream.config.name.clone(),
            false => format!("{} to {}", stream.config.name, pipeline.table()),
        };
        let of = ledger::Of { collector, dpi: stream.dpi, stream: &name, journal: stream.journal.identity() };
        if let Err(error) = ledger::write_row(pipeline, wire.as_ref(), &of).await
            && crate::log_limit::allow("ledger")
        {
            tracing::warn!(dpi = stream.dpi, stream = name, %error, "the ledger's row was not written; it is tried again in a minute");
        }
    }
}

/// Reads on what exporters still send, stores what is journaled, accounts for everything. What cannot
/// be stored in time stays in the journal for the next start.
fn stop_in_order(
    streams: &[Arc<StreamHandle>],
    collector: &str,
    stop: &AtomicBool,
    runtime: &tokio::runtime::Runtime,
) {
    let deadline = Instant::now() + STOP_WITHIN;
    stop.store(true, Ordering::Relaxed);
    streams.iter().for_each(|stream| stream.hurry());
    for stream in streams {
        stream.join_listener();
    }
    let drained = || streams.iter().all(|stream| stream.is_drained());
    while !drained() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    for stream in streams {
        stream.stop_readers();
        if stream.is_drained() {
            let row = write_ledger_row(stream, collector);
            // The last row is a courtesy: the next start goes on where this one ends.
            let time = deadline.saturating_duration_since(Instant::now()).max(LAST_ROW_WITHIN);
            let _ = runtime.block_on(async { tokio::time::timeout(time, row).await });
        } else {
            let frames = crate::status::of_stream(stream).journal.waiting_frames;
            tracing::warn!(
                dpi = stream.dpi,
                stream = stream.config.name,
                frames,
                "stopped before everything was stored; the rest is in the journal and is stored at the next start"
            );
        }
        stream.checkpoint(true);
    }
}
