//! All tiers and the peers, in rounds that take turns, each with another order of fields: noise of the machine meets
//! all alike. A round whose sums are not those of what was sent ends everything.

mod cores;
mod dictionaries;
mod machine;
mod nfacctd;
mod nfcapd;
mod outside;
mod process;
mod qoe;
mod report;
mod single;
mod stored;
mod stored_sums;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;

use report::Report;

/// What is run, from the command line or the environment.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What to measure: t0 t1 t2 t3 t4 t5 fresh peers
    #[arg(long, env = "BENCH_TIERS", default_value = "t0 t1 t2 t3 t4 t5 fresh peers")]
    pub tiers: String,
    /// Rounds
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 5)]
    pub rounds: u64,
    /// Records of a round of t0 to t3 and of decoding in memory
    #[arg(long, env = "BENCH_RECORDS", default_value_t = 10_000_000)]
    pub records: u64,
    /// Records of a round of t4 and t5
    #[arg(long, env = "BENCH_STORED_RECORDS", default_value_t = 5_000_000)]
    pub stored_records: u64,
    /// Records of a round over UDP
    #[arg(long, env = "BENCH_UDP_RECORDS", default_value_t = 2_000_000)]
    pub udp_records: u64,
    /// Records a second over UDP to begin with; slower, step by step, where datagrams are lost
    #[arg(long, env = "BENCH_UDP_RATE", default_value_t = 1_000_000)]
    pub udp_rate: u64,
    /// Records in the pools of t0 to t3 and of peers, which are sent again and again
    #[arg(long, env = "BENCH_POOL", default_value_t = 2_000_000)]
    pub pool: u64,
    /// How long records are sent for freshness, in seconds
    #[arg(long, env = "BENCH_FRESH_SECONDS", default_value_t = 60)]
    pub fresh_seconds: u64,
    /// The qoe program [default: beside this one]
    #[arg(long)]
    pub qoe: Option<PathBuf>,
    /// The program with other people's decoders; without it they are left out
    #[arg(long)]
    pub peers: Option<PathBuf>,
    /// Where pools, journals and databases are while it runs [default: a temporary directory]
    #[arg(long, env = "BENCH_DIR")]
    pub dir: Option<PathBuf>,
    /// The result as JSON
    #[arg(long, default_value = "target/bench.json")]
    pub out: PathBuf,
}

/// What every measurement needs.
struct Bench {
    options: Options,
    /// This program, which is sender and collector too.
    own: PathBuf,
    qoe: PathBuf,
    dir: PathBuf,
    cores: cores::Cores,
    /// The rate that a row over UDP was last measured with.
    udp_rates: BTreeMap<String, u64>,
    report: Report,
}

/// What can be measured.
const TIERS: [&str; 8] = ["t0", "t1", "t2", "t3", "t4", "t5", "fresh", "peers"];

/// The streams: who makes them, and what they are called.
const FIXED: &str = "fixed";
const VENDOR: &str = "vendor";

/// Measures everything that is asked for.
///
/// # Errors
/// Sums differ, or something does not run.
pub fn run(options: &Options) -> anyhow::Result<()> {
    for tier in options.tiers.split_whitespace() {
        ensure!(TIERS.contains(&tier), "{tier} is none of {}", TIERS.join(" "));
    }
    let temporary = match &options.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let own = std::env::current_exe()?;
    let beside = own.with_file_name("qoe");
    let qoe = options.qoe.clone().unwrap_or(beside);
    ensure!(qoe.exists(), "{} is not built", qoe.display());
    let dir = temporary.path().to_path_buf();
    let report = Report::new(machine::describe(), options);
    let cores = cores::Cores::of_this_machine();
    cores.leave_to_collector()?;
    let mut bench =
        Bench { options: options.clone(), own, qoe, dir, cores, udp_rates: BTreeMap::new(), report };
    let result = bench.all();
    // What was measured until then is worth keeping, and the error says that it is not all.
    bench.report.print();
    bench.report.write(&options.out)?;
    result
}

impl Bench {
    fn has(&self, tier: &str) -> bool {
        self.options.tiers.split_whitespace().any(|wanted| wanted == tier)
    }

    fn all(&mut self) -> anyhow::Result<()> {
        let has_single = ["t0", "t1", "t2", "t3", "peers"].iter().any(|tier| self.has(tier));
        for round in 1..=if has_single { self.options.rounds } else { 0 } {
            eprintln!("round {round} of {}", self.options.rounds);
            let records = self.options.pool;
            let pools = [self.pool(FIXED, round, records)?, self.pool(VENDOR, round, records)?];
            self.single_processes(&pools)?;
            if self.has("peers") {
                self.peers(&pools)?;
            }
        }
        self.stored()
    }

    /// Makes a pool, the order of its fields by the round, and says where it is.
    fn pool(&self, stream: &str, round: u64, records: u64) -> anyhow::Result<PathBuf> {
        let file = self.dir.join(format!("{stream}.pool"));
        let (records, order) = (records.to_string(), round.to_string());
        let status = Command::new(&self.own)
            .args([
                "pool",
                "--stream",
                stream,
                "--records",
                &records,
                "--seed",
                &order,
                "--order-seed",
                &order,
            ])
            .arg("--file")
            .arg(&file)
            .arg("--qoe")
            .arg(&self.qoe)
            .status()
            .context("cannot make a pool")?;
        ensure!(status.success(), "no pool was made: {status}");
        Ok(file)
    }

    fn peers(&mut self, pools: &[PathBuf; 2]) -> anyhow::Result<()> {
        self.decoders(pools)?;
        let [fixed, _] = pools;
        nfcapd::round(self, fixed)?;
        nfacctd::round(self, fixed)
    }
}

/// A file's name without directory and extension: the stream of a pool.
fn stream_of(pool: &Path) -> &str {
    pool.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}
