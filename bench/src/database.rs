//! Asks the ClickHouse of a data directory, over HTTP as a user does.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

/// The server of one `qoe up`.
pub struct Database {
    url: String,
    user: String,
    password: String,
    database: String,
    agent: ureq::Agent,
}

/// `clickhouse/connection.json` of a data directory.
#[derive(Deserialize)]
struct Connection {
    url: String,
    user: String,
    password_file: PathBuf,
    database: String,
}

impl Database {
    /// The server that `qoe up` has started for a data directory.
    ///
    /// # Errors
    /// It has not.
    pub fn of(data: &Path) -> anyhow::Result<Database> {
        let path = data.join("clickhouse").join("connection.json");
        let text = fs::read_to_string(&path).with_context(|| format!("no database in {}", data.display()))?;
        let Connection { url, user, password_file, database } = serde_json::from_str(&text)?;
        let password = fs::read_to_string(password_file)?.trim_end().to_owned();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Ok(Database { url, user, password, database, agent })
    }

    /// The answer to a statement, tabs between values.
    ///
    /// # Errors
    /// Nobody answers, or ClickHouse refuses, in its words.
    pub fn ask(&self, sql: &str) -> anyhow::Result<String> {
        let mut answer = self
            .agent
            .post(&format!("{}/", self.url))
            .query("database", &self.database)
            .query("default_format", "TSV")
            .query("wait_end_of_query", "1")
            .header("X-ClickHouse-User", &self.user)
            .header("X-ClickHouse-Key", &self.password)
            .send(sql.as_bytes())
            .context("the database does not answer")?;
        let text = answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            bail!("{}", text.trim_end());
        }
        Ok(text)
    }

    /// One row of numbers.
    ///
    /// # Errors
    /// As above, or it is something else.
    pub fn numbers(&self, sql: &str) -> anyhow::Result<Vec<u64>> {
        let answer = self.ask(sql)?;
        let mut lines = answer.lines();
        let line = lines.next().unwrap_or_default();
        ensure!(lines.next().is_none(), "more than one row: {sql}");
        line.split('\t').map(|number| number.parse().with_context(|| format!("{number} of: {sql}"))).collect()
    }

    /// One number.
    ///
    /// # Errors
    /// As above.
    pub fn number(&self, sql: &str) -> anyhow::Result<u64> {
        self.numbers(sql)?.first().copied().context("no answer")
    }
}
