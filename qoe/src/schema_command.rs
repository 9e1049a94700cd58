//! `qoe schema`: what the tables look like, without asking a server.

use clap::Args;

/// Options of `qoe schema`.
#[derive(Args)]
pub struct Options {}

/// Prints the DDL of every table of this version.
#[allow(clippy::print_stdout, reason = "this is the program's output")]
pub fn run(_options: &Options) -> anyhow::Result<()> {
    print!("{}", schema::reference::schema_sql());
    Ok(())
}
