//! `qoe clickhouse-server`: the process that becomes the embedded engine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// Options of `qoe clickhouse-server`.
#[derive(Args)]
pub struct Options {
    /// The settings file that `qoe up` wrote
    #[arg(long)]
    settings: PathBuf,
}

/// Becomes the server; returns only if it cannot.
pub fn run(options: &Options) -> ExitCode {
    match embedded::Settings::read(&options.settings) {
        Ok(settings) => embedded::run_here(&settings),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
