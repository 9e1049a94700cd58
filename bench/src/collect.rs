//! The tiers that are one process: each does what the receiver does up to some step, and nothing behind it.
//!
//! | Tier | What it does |
//! |---|---|
//! | T0 | receives, finds records, reads two fields of each |
//! | T1 | the same with all fields, into columns |
//! | T2 | the receiver's listener and journal |
//! | T3 | receives, decodes, enriches by nothing, gathers into groups |

mod groups;
mod journal;
mod memory;
mod receive;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use crds::Transport;
use ipfix::Element;
use serde::{Deserialize, Serialize};

use crate::decoding::{Decoding, What};
use crate::pool::Pool;
use crate::sums::Sums;
use crate::usage;

pub use receive::Socket;

/// How far records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tier {
    /// Two fields read.
    T0,
    /// All fields in columns.
    T1,
    /// In the journal.
    T2,
    /// In groups.
    T3,
}

/// By which keys groups are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Keys {
    /// Time and DPI alone.
    None,
    /// All of them.
    All,
}

/// What is collected, and until when.
#[derive(Clone, Debug)]
pub struct Options {
    /// How far.
    pub tier: Tier,
    /// TCP or UDP.
    pub transport: Transport,
    /// Where to listen.
    pub listen: SocketAddr,
    /// So many records, or until the sender ends.
    pub records: u64,
    /// For T3.
    pub keys: Keys,
    /// For T2: where the journal is; a temporary directory otherwise.
    pub dir: Option<PathBuf>,
}

/// What was collected, and what it took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Collected {
    /// User and system time of the collector, from the first byte to the last record.
    pub cpu_seconds: f64,
    /// How long that was.
    pub wall_seconds: f64,
    /// The most memory at a time.
    pub peak_bytes: u64,
    /// Sums over what it has; T0 and T3 have two fields only.
    #[serde(flatten)]
    pub sums: Sums,
}

/// Time from a moment on, without what checks have taken.
pub(crate) struct Stopwatch {
    begun: Instant,
    cpu: Duration,
    checks: Duration,
}

impl Stopwatch {
    fn start() -> Stopwatch {
        Stopwatch { begun: Instant::now(), cpu: usage::of_process(), checks: Duration::ZERO }
    }

    /// Does what is not the tier's own work; on this thread.
    fn without<T>(&mut self, check: impl FnOnce() -> T) -> T {
        let before = usage::of_thread();
        let result = check();
        self.checks += usage::of_thread().saturating_sub(before);
        result
    }

    fn stop(&self, sums: Sums) -> Collected {
        let cpu = usage::of_process().saturating_sub(self.cpu).saturating_sub(self.checks);
        Collected {
            cpu_seconds: cpu.as_secs_f64(),
            wall_seconds: self.begun.elapsed().as_secs_f64(),
            peak_bytes: usage::peak_bytes("self"),
            sums,
        }
    }
}

/// Octets and packets: what T0 reads and T3 is checked by.
const OCTETS: Element = Element::iana(1);
const PACKETS: Element = Element::iana(2);

/// Collects; `listening` is told the address as soon as the sender may begin.
///
/// # Errors
/// The network, the disk, or what came is not what our sender sends.
pub fn collect(options: &Options, listening: impl FnOnce(SocketAddr)) -> anyhow::Result<Collected> {
    match options.tier {
        Tier::T0 => {
            let tier = memory::Memory::new(What::Only(vec![OCTETS, PACKETS]));
            receive::run(options, tier, listening)
        }
        Tier::T1 => receive::run(options, memory::Memory::new(What::AllFields), listening),
        Tier::T2 => journal::run(options, listening),
        Tier::T3 => receive::run(options, groups::Grouping::new(options.keys), listening),
    }
}

/// Decodes a pool in memory, again and again until so many records are done: T1 without a network.
///
/// # Errors
/// The pool cannot be decoded.
pub fn decode(pool: &Pool, records: u64) -> anyhow::Result<Collected> {
    let portion = pool.portion(records);
    let mut sums = Sums::default();
    let mut decoding = Decoding::new(What::AllFields);
    let watch = Stopwatch::start();
    for whole in 0..=portion.whole {
        let messages = if whole == portion.whole { portion.messages } else { pool.messages.len() };
        pool.decode(&mut decoding, messages, |decoding| decoding.sum_up(&mut sums))?;
    }
    Ok(watch.stop(sums))
}
