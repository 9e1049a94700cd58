//! `qoe query`: SQL to the database of a data directory, the answer as it comes, errors in
//! ClickHouse's own words. `kubectl qoe query` asks in the same way.

use std::io::{self, Read, Write};

use anyhow::{Context, bail};
use clap::Args;

use crate::data_dir::DataDir;

/// Path of a question. An error in the middle of an answer is then an error and not a cut-off answer. Settings have no
/// place here: a user who may only read may not change them.
pub const PATH: &str = "/?wait_end_of_query=1";

/// A question to ClickHouse's HTTP interface, but for the statement, which is the body.
pub struct Question<'a> {
    /// Database of names that name none.
    pub database: &'a str,
    /// Format of a statement without FORMAT.
    pub format: &'a str,
    /// Login.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
}

impl Question<'_> {
    /// The request's headers.
    pub fn headers(&self) -> [(&'static str, &str); 4] {
        [
            ("X-ClickHouse-Database", self.database),
            ("X-ClickHouse-Format", self.format),
            ("X-ClickHouse-User", self.user),
            ("X-ClickHouse-Key", self.password),
        ]
    }
}

/// What is asked, for each command that asks.
#[derive(Args)]
pub struct Statement {
    /// The statement; `-` reads it from standard input
    sql: String,
    /// Output format for a statement without FORMAT
    #[arg(long, default_value = "PrettyCompactMonoBlock")]
    pub format: String,
    /// Database of names that name none [default: the collector's; where that does not exist, name another, such as `system`]
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
}

impl Statement {
    /// The text.
    pub fn sql(&self) -> anyhow::Result<String> {
        if self.sql != "-" {
            return Ok(self.sql.clone());
        }
        let mut sql = String::new();
        io::stdin().read_to_string(&mut sql).context("cannot read the statement from standard input")?;
        Ok(sql)
    }
}

/// What became of writing an answer to standard output.
pub fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        // `qoe query ... | head` ends early, which is no error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("the answer was cut off"),
    }
}

/// Options of `qoe query`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    data: DataDir,
    #[command(flatten)]
    statement: Statement,
}

/// Sends the statement and copies the answer to standard output.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let connection = options.data.connection()?;
    let sql = options.statement.sql()?;
    let password = connection.password()?;
    let question = Question {
        database: options.statement.database.as_ref().unwrap_or(&connection.database),
        format: &options.statement.format,
        user: &connection.user,
        password: &password,
    };
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.post(&format!("{}{PATH}", connection.url));
    for (name, value) in question.headers() {
        request = request.header(name, value);
    }
    let mut answer = request
        .send(sql.as_bytes())
        .with_context(|| format!("no database answers on {}: is qoe up running?", connection.url))?;
    if !answer.status().is_success() {
        bail!("{}", answer.body_mut().read_to_string()?.trim_end());
    }
    let mut output = io::stdout().lock();
    written(io::copy(&mut answer.body_mut().as_reader(), &mut output).and_then(|_| output.flush()))
}
