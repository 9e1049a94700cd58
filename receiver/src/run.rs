//! A receiver process from its configuration to its planned stop.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crds::receiver::ReceiverConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::http::{self, Shared};
use crate::insert::{Target, now_us};
use crate::journal::Quota;
use crate::stream::{self, Prepared, StreamError, StreamHandle};
use crate::{ledger, metrics};

/// From the signal to the exit. Listeners read on for five seconds of it at most.
const STOP_WITHIN: Duration = Duration::from_secs(9);
const LEDGER_INTERVAL: Duration = Duration::from_secs(60);
/// They only move bytes; decoding has threads of its own.
const RUNTIME_THREADS: usize = 2;

/// Why a receiver cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// One of its streams.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The password file.
    #[error("the password file {path} cannot be read")]
    Password {
        /// Its path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
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

/// Receives until SIGTERM or SIGINT, then stops in order.
pub fn run(config: &ReceiverConfig) -> Result<(), RunError> {
    let password_file = &config.clickhouse.password_file;
    let password = fs::read_to_string(password_file)
        .map_err(|source| RunError::Password { path: password_file.clone(), source })?;
    let clickhouse = &config.clickhouse;
    let target = Target::new(&clickhouse.url, &clickhouse.user, password.trim(), &clickhouse.database);
    let stop = Arc::new(AtomicBool::new(false));
    let prepared = prepare_all(config, &target, &stop)?;
    // One runtime with threads of its own: a connection to the server is used by whoever needs one, and
    // must go on while the thread that made it is busy or waits for a lock.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build()?;
    let mut streams = Vec::new();
    for stream in prepared {
        streams.push(stream.start(&stop, runtime.handle())?);
    }
    let served = runtime.block_on(serve(config, streams.clone()));
    if served.is_ok() {
        stop_in_order(&streams, &config.collector, &stop, &runtime);
    }
    // Inserters may still wait for an answer, which they cannot do without it: it ends with the process.
    std::mem::forget(runtime);
    served
}

fn prepare_all(
    config: &ReceiverConfig,
    target: &Target,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<Prepared>, StreamError> {
    let mut prepared = Vec::new();
    for dpi in &config.dpis {
        let quota = Quota::new(dpi.journal.quota_bytes);
        for stream in &dpi.streams {
            let (quota, target, stop) = (quota.clone(), target.clone(), stop.clone());
            prepared.push(stream::prepare(&config.data_dir, dpi, stream, quota, target, stop)?);
        }
    }
    Ok(prepared)
}

/// Answers requests and writes the ledger until a signal comes.
async fn serve(config: &ReceiverConfig, streams: Vec<Arc<StreamHandle>>) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let bound = TcpListener::bind(config.http)
        .await
        .map_err(|source| RunError::Http { address: config.http, source })?;
    let address = bound.local_addr()?;
    write_addresses(&config.data_dir, address, &streams)?;
    for stream in &streams {
        tracing::info!(dpi = stream.dpi, stream = stream.config.name, address = %stream.address, transport = stream.config.transport.as_str(), "listening");
    }
    tracing::info!(%address, "metrics and status");
    let shared = Arc::new(Shared {
        collector: config.collector.clone(),
        started_at: now_us() / 1000,
        registry: metrics::registry(streams.clone()),
        streams: streams.clone(),
    });
    let server = axum::serve(bound, http::router(shared));
    tokio::select! {
        served = server => served?,
        () = write_ledger(&streams, &config.collector) => {}
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
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
    let wire = stream.wire.balance();
    let of = ledger::Of {
        collector,
        dpi: stream.dpi,
        stream: &stream.config.name,
        journal: stream.journal.identity(),
    };
    let written = ledger::write_row(&stream.pipeline, &wire, &of).await;
    if let Err(error) = written
        && crate::log_limit::allow("ledger")
    {
        tracing::warn!(dpi = stream.dpi, stream = stream.config.name, %error, "the ledger's row was not written; it is tried again in a minute");
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
    for stream in streams {
        stream.pipeline.hurry();
    }
    for stream in streams {
        stream.join_listener();
    }
    let drained = || streams.iter().all(|stream| stream.pipeline.is_drained());
    while !drained() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    for stream in streams {
        stream.pipeline.stop();
        if stream.pipeline.is_drained() {
            let row = write_ledger_row(stream, collector);
            // The last row is a courtesy: the next start goes on where this one ends.
            let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(500), row).await });
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
