//! `qoe query`: SQL to the database of a data directory, the answer as it comes, errors in
//! ClickHouse's own words.

use std::io::{self, Read, Write};

use anyhow::{Context, bail};
use clap::Args;

use crate::data_dir::DataDir;

/// Options of `qoe query`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    data: DataDir,
    /// The statement; `-` reads it from standard input
    sql: String,
    /// Output format for a statement without FORMAT
    #[arg(long, default_value = "PrettyCompactMonoBlock")]
    format: String,
}

/// Sends the statement and copies the answer to standard output.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let connection = options.data.connection()?;
    let mut sql = options.sql.clone();
    if sql == "-" {
        sql.clear();
        io::stdin().read_to_string(&mut sql).context("cannot read the statement from standard input")?;
    }
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent
        .post(&format!("{}/", connection.url))
        .query("database", &connection.database)
        .query("default_format", &options.format)
        // An error in the middle of an answer is then an error and not a cut-off answer.
        .query("wait_end_of_query", "1")
        .query("output_format_pretty_color", "0")
        .header("X-ClickHouse-User", &connection.user)
        .header("X-ClickHouse-Key", &connection.password()?)
        .send(sql.as_bytes())
        .with_context(|| format!("no database answers on {}: is qoe up running?", connection.url))?;
    if !answer.status().is_success() {
        bail!("{}", answer.body_mut().read_to_string()?.trim_end());
    }
    let mut output = io::stdout().lock();
    match io::copy(&mut answer.body_mut().as_reader(), &mut output).and_then(|_| output.flush()) {
        // `qoe query ... | head` ends early, which is no error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("the answer was cut off"),
    }
}
