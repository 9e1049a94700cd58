//! `kubectl qoe`, and the same as `qoe kubectl`: questions to what the operator runs, by way of the API server
//! and with the rights that the kubeconfig gives. A file per command. Nothing here listens, and nothing but
//! `plan --approve` and `pause` changes an object.

mod access;
mod collector;
mod forward;
mod http;
mod ledger;
mod pause;
mod plan;
mod query;
mod status;
mod table;

use std::ffi::OsStr;
use std::path::Path;

use clap::{Args, Parser, Subcommand};

/// Ask and steer Qoeplane on Kubernetes.
#[derive(Parser)]
#[command(name = "kubectl-qoe", bin_name = "kubectl qoe", version)]
pub struct Plugin {
    #[command(flatten)]
    options: Options,
}

/// Options of `qoe kubectl`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    target: access::Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ask the ClickHouse that the operator runs: any SQL, any FORMAT
    Query(query::Options),
    /// Show one collector: what is wrong first, then receivers, servers and tables
    Status(status::Options),
    /// Show whether everything that was sent is stored, as each receiver says
    Ledger(ledger::Options),
    /// Show the changes of tables that wait, and approve them
    Plan(plan::Options),
    /// Leave a collector as it is, whatever its object says, until it is resumed
    Pause(pause::Options),
}

/// Whether this program was called as kubectl's plugin: by way of a link named `kubectl-qoe`.
pub fn is_plugin(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == "kubectl-qoe")
}

/// Runs as kubectl's plugin.
pub fn run_plugin() -> anyhow::Result<()> {
    run(&Plugin::parse().options)
}

/// Does what is asked for.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let access = options.target.access().await?;
        match &options.command {
            Command::Query(options) => query::run(&access, options).await,
            Command::Status(options) => status::run(&access, options).await,
            Command::Ledger(options) => ledger::run(&access, options).await,
            Command::Plan(options) => plan::run(&access, options).await,
            Command::Pause(options) => pause::run(&access, options).await,
        }
    })
}

#[allow(clippy::print_stdout, reason = "this is the program's output")]
fn print(text: &str) {
    print!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_name_makes_it_a_plugin() {
        for (program, expected) in [
            ("kubectl-qoe", true),
            ("/usr/local/bin/kubectl-qoe", true),
            ("qoe", false),
            ("/opt/kubectl-qoe/qoe", false),
        ] {
            assert_eq!(is_plugin(Some(OsStr::new(program))), expected, "{program}");
        }
        assert!(!is_plugin(None));
    }

    #[test]
    fn options_stand_before_and_behind_the_command() {
        for line in [
            &["kubectl-qoe", "-n", "isp", "-c", "main", "status"][..],
            &["kubectl-qoe", "status", "--namespace", "isp", "--collector", "main"],
        ] {
            let plugin = Plugin::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(plugin.options.target.namespace.as_deref(), Some("isp"));
            assert_eq!(plugin.options.target.collector.as_deref(), Some("main"));
        }
    }
}
