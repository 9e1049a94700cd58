//! `qoe up`: everything on one machine. A supervisor with two children, the receiver and ClickHouse;
//! reads the configuration, makes the schema true, starts both, starts them again if they end, stops
//! both in order. Records never pass through this process.

mod configuration;
mod database;
mod dictionaries;
mod live;
mod receiver;
mod secrets;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use nix::sys::signal::{SigSet, Signal};

use crate::data_dir::DataDir;
use crate::{file_limit, logging};
use database::Database;
use dictionaries::Dictionaries;
use receiver::ReceiverChild;

/// How often the children are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Options of `qoe up`.
#[derive(Args)]
pub struct Options {
    /// The configuration: a QoeCollector and its QoeDictionaries
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    data: DataDir,
    /// Address that DPIs send to; 0.0.0.0 or :: for all of this machine's
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Address of metrics and status
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    http: SocketAddr,
    /// HTTP port of the embedded ClickHouse on 127.0.0.1; 0: a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    clickhouse_http_port: u16,
    /// Native port of the embedded ClickHouse on 127.0.0.1; 0: a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    clickhouse_tcp_port: u16,
    /// A clickhouse binary or libchdb.so [default: $QOE_CLICKHOUSE, else the fetched library]
    #[arg(long, value_name = "FILE")]
    clickhouse: Option<PathBuf>,
    /// Directory of the cold volume [default: beside the hot one]
    #[arg(long, value_name = "DIR")]
    cold: Option<PathBuf>,
    /// Login at an external ClickHouse
    #[arg(long, value_name = "NAME", default_value = "default")]
    clickhouse_user: String,
    /// File with the password for an external ClickHouse
    #[arg(long, value_name = "FILE")]
    clickhouse_password_file: Option<PathBuf>,
}

/// Runs until Ctrl-C or SIGTERM.
pub fn run(options: &Options) -> anyhow::Result<()> {
    logging::start("warn");
    file_limit::raise();
    // Taken by the thread below only, so that no other is interrupted in the middle of something.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().context("cannot block signals")?;
    let stop = Arc::new(AtomicBool::new(false));
    wait_for_signals(signals, stop.clone())?;

    let documents = configuration::load(&options.file)?;
    let _lock = options.data.lock()?;
    let mut database = Database::start(options, &documents)?;
    say(&format!("ready: {database}"));
    let (steps, config) = database.prepare(options, &documents)?;
    say(&format!("ready: database {} ({steps} schema steps)", config.clickhouse.database));
    let mut dictionaries =
        Dictionaries::new(&options.file, &options.data.path, &documents, &config.clickhouse)?;
    let (objects, rows) = dictionaries.load()?;
    say(&format!("ready: {objects} dictionaries ({rows} rows)"));
    let mut receiver = ReceiverChild::start(&options.data, &config)?;
    let waited = receiver.wait_ready(&stop);
    if waited.is_ok() && !stop.load(Ordering::Relaxed) {
        for line in receiver.addresses()? {
            say(&format!("ready: {line}"));
        }
        say(&format!(
            "ready: everything; stop with Ctrl-C, ask with: qoe query --data {} 'SELECT ...'",
            options.data.path.display()
        ));
    }
    let following = dictionaries.follow(stop.clone())?;
    let supervised = waited.and_then(|()| supervise(&stop, &mut database, &mut receiver, options));
    // Both are stopped whatever has happened: the receiver first, it needs the database to finish.
    stop.store(true, Ordering::Relaxed);
    let receiver_stopped = receiver.stop();
    // It does nothing that the database would miss.
    let _ = following.join();
    let database_stopped = database.stop();
    supervised.and(receiver_stopped).and(database_stopped)?;
    say("stopped");
    Ok(())
}

/// One line of the program's output. Nobody may be reading any more, which is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn supervise(
    stop: &AtomicBool,
    database: &mut Database,
    receiver: &mut ReceiverChild,
    options: &Options,
) -> anyhow::Result<()> {
    let mut live = live::Live::new();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        database.restart_if_ended()?;
        receiver.restart_if_ended()?;
        live.show(&options.data);
    }
    live.end();
    Ok(())
}

fn wait_for_signals(signals: SigSet, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    std::thread::Builder::new()
        .name("signals".to_string())
        .spawn(move || {
            while signals.wait().is_ok() {
                if stop.swap(true, Ordering::Relaxed) {
                    // The second Ctrl-C: at once. The children end with us, and nothing that is
                    // journaled is lost.
                    std::process::exit(130);
                }
            }
        })
        .context("cannot start the thread that waits for signals")?;
    Ok(())
}
