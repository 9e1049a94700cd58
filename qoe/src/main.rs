//! The one binary.

use clap::{Parser, Subcommand};

mod simulate;

#[derive(Parser)]
#[command(name = "qoe", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Be a DPI: send flow records
    Simulate(simulate::Options),
}

#[allow(clippy::print_stdout, reason = "this is the program's output")]
fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Simulate(options) => {
            let summary = simulate::run(options)?;
            println!("{}", summary.to_json_line()?);
            match summary.error {
                Some(error) => anyhow::bail!(error),
                None => Ok(()),
            }
        }
    }
}
