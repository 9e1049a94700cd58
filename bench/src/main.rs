//! `qoe-bench`: see the library. Each subcommand prints its result as one line of JSON.
#![allow(clippy::print_stdout)]

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bench::collect::{self, Keys, Tier, collect};
use bench::database::Database;
use bench::fresh::fresh;
use bench::pool::{self, Pool};
use bench::run;
use bench::send::{Way, send};
use clap::{Parser, Subcommand, ValueEnum};
use crds::Transport;

/// Measures the receiver step by step, and other programs beside it.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stream {
    /// 19 fields of fixed length
    Fixed,
    /// What the simulator sends
    Vendor,
}

#[derive(Clone, Copy, ValueEnum)]
enum TransportName {
    Tcp,
    Udp,
}

#[derive(Subcommand)]
enum Command {
    /// Make a file of messages
    Pool {
        #[arg(long, value_enum)]
        stream: Stream,
        #[arg(long)]
        records: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value_t = 1)]
        order_seed: u64,
        #[arg(long)]
        file: PathBuf,
        /// For the vendor's stream: who sends it
        #[arg(long, default_value = "target/release/qoe")]
        qoe: PathBuf,
    },
    /// Replay a file of messages
    Send {
        #[arg(long)]
        file: PathBuf,
        #[arg(long)]
        to: String,
        #[arg(long, value_enum, default_value = "tcp")]
        transport: TransportName,
        #[arg(long)]
        records: u64,
        /// Records a second; 0: as fast as it goes
        #[arg(long, default_value_t = 0)]
        rate: u64,
    },
    /// Receive records up to some step; says first where it listens
    Collect {
        #[arg(long, value_enum)]
        tier: Tier,
        #[arg(long, value_enum, default_value = "tcp")]
        transport: TransportName,
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        #[arg(long)]
        records: u64,
        #[arg(long, value_enum, default_value = "all")]
        keys: Keys,
        /// Directory of the journal
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Decode a file of messages in memory
    Decode {
        #[arg(long)]
        file: PathBuf,
        #[arg(long)]
        records: u64,
    },
    /// Ask until so many records are visible, and say how long it took each
    Fresh {
        /// Data directory of a qoe up that runs
        #[arg(long)]
        data: PathBuf,
        #[arg(long, default_value = "fullflow")]
        table: String,
        #[arg(long)]
        records: u64,
        /// Seconds after which to give up
        #[arg(long, default_value_t = 300)]
        patience: u64,
    },
    /// Everything, in rounds; a table, and JSON in a file
    Run(run::Options),
}

impl From<TransportName> for Transport {
    fn from(name: TransportName) -> Transport {
        match name {
            TransportName::Tcp => Transport::Tcp,
            TransportName::Udp => Transport::Udp,
        }
    }
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Pool { stream, records, seed, order_seed, file, qoe } => {
            let bytes = match stream {
                Stream::Fixed => pool::fixed::pool(records, seed, order_seed)?,
                Stream::Vendor => pool::vendor::pool(&qoe, records, seed, order_seed)?,
            };
            fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))
        }
        Command::Send { file, to, transport, records, rate } => {
            let to = to.to_socket_addrs()?.next().context("--to: expected HOST:PORT")?;
            print(&send(Pool::load(&file)?, Way { to, transport: transport.into(), rate }, records)?)
        }
        Command::Collect { tier, transport, listen, records, keys, dir } => {
            let options = collect::Options { tier, transport: transport.into(), listen, records, keys, dir };
            let collected = collect(&options, |address| {
                println!("{{\"listening\":\"{address}\"}}");
                let _ = std::io::stdout().flush();
            })?;
            print(&collected)
        }
        Command::Fresh { data, table, records, patience } => {
            print(&fresh(&Database::of(&data)?, &table, records, Duration::from_secs(patience))?)
        }
        Command::Run(options) => run::run(&options),
        Command::Decode { file, records } => print(&collect::decode(&Pool::load(&file)?, records)?),
    }
}

fn print(result: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(result)?);
    Ok(())
}
