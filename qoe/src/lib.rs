//! `qoe`, the one binary: a whole system on one machine (`up`), its parts (`receiver`,
//! `clickhouse-server`), and questions to it (`query`, `ledger`, `journal`, `dictionaries`, `kubectl`). This file only finds the
//! subcommand; each has a file of its own. A library, because the program is linked in two ways: dynamically for the
//! embedded engine, statically for the container image.

mod clickhouse_server;
mod data_dir;
mod dictionaries;
mod file_limit;
mod journal;
mod kubectl;
mod ledger;
mod logging;
mod operator_process;
mod query;
mod receiver_process;
mod schema_command;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Qoeplane: receives what DPIs say about subscribers' sessions and keeps it in ClickHouse.
#[derive(Parser)]
#[command(name = "qoe", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine, as a YAML file says
    Up(up::Options),
    /// Ask ClickHouse: any SQL, any FORMAT
    Query(query::Options),
    /// Show whether everything that was sent is stored
    Ledger(ledger::Options),
    /// Look into journals, send set-aside rows again
    Journal(journal::Options),
    /// Check files of dictionaries, show which are in force
    Dictionaries(dictionaries::Options),
    /// Print the tables' DDL
    Schema(schema_command::Options),
    /// Be a DPI: send flow records
    Simulate(simulator::Options),
    /// Run one receiver from its configuration file
    Receiver(receiver_process::Options),
    /// Run the Kubernetes operator
    Operator(operator_process::Options),
    /// Ask and steer what runs on Kubernetes; also as kubectl's plugin, by a link named kubectl-qoe
    Kubectl(kubectl::Options),
    /// Run the embedded ClickHouse; started by `qoe up`
    #[command(hide = true)]
    ClickhouseServer(clickhouse_server::Options),
}

/// The program: runs the subcommand that its arguments name.
pub fn main() -> ExitCode {
    // Two libraries may each bring one, and rustls panics rather than to choose. Fails only if there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if kubectl::is_plugin(std::env::args_os().next().as_deref()) {
        return exit_code(kubectl::run_plugin());
    }
    let result = match Arguments::parse().command {
        Command::Up(options) => up::run(&options),
        Command::Query(options) => query::run(&options),
        Command::Ledger(options) => ledger::run(&options),
        Command::Journal(options) => journal::run(&options),
        Command::Dictionaries(options) => dictionaries::run(&options),
        Command::Schema(options) => schema_command::run(&options),
        Command::Simulate(options) => run_simulator(options),
        Command::Receiver(options) => receiver_process::run(&options),
        Command::Operator(options) => operator_process::run(options),
        Command::Kubectl(options) => kubectl::run(&options),
        // Must be the first thing that this process does: no thread may exist before.
        Command::ClickhouseServer(options) => return clickhouse_server::run(&options),
    };
    exit_code(result)
}

fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qoe: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "this is the program's output")]
fn run_simulator(options: simulator::Options) -> anyhow::Result<()> {
    let summary = simulator::run(options)?;
    println!("{}", summary.to_json_line()?);
    match summary.error {
        Some(error) => anyhow::bail!(error),
        None => Ok(()),
    }
}
