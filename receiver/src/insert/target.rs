//! A server: one client with every setting pinned that decides whether an insert is all or
//! nothing, is deduplicated and is acknowledged only when it is stored, and what the server has said of
//! itself. Must never retry by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::insert_formatted::InsertFormatted;
use schema::{ConnectError, LEDGER, LedgerRow, local_name};

use super::failure::Failure;
use crate::journal::lock;

/// How long the server may take to accept one chunk.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the server may take to acknowledge an insert whose body it has.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a question may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

/// How a server is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
    /// Login.
    pub user: String,
    /// Its password.
    pub password: String,
    /// PEM certificates that are trusted instead of the system's.
    pub ca: Option<Vec<u8>>,
}

impl Access {
    /// A client; nothing is sent yet.
    pub fn client(&self) -> Result<Client, ConnectError> {
        let client = schema::connect(&self.url, &self.user, &self.password, self.ca.as_deref())?;
        Ok(client.with_validation(false))
    }
}

/// Settings of each insert. A server or profile default must not be able to change any of them.
pub const PINNED: [(&str, &str); 11] = [
    // The default became 1 in ClickHouse 26.2 and would batch us with others.
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    // One request becomes one block and so one part per partition: all of it or nothing.
    ("min_insert_block_size_rows", "100000000"),
    ("min_insert_block_size_bytes", "100000000000"),
    ("max_insert_block_size", "100000000"),
    ("input_format_parallel_parsing", "0"),
    // A user's broken view must not fail an insert whose rows are stored.
    ("materialized_views_ignore_errors", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("max_partitions_per_insert_block", "100"),
    ("wait_end_of_query", "1"),
    // Bounds how late a request may complete that we have given up, in seconds; see docs/guarantees.md.
    ("max_execution_time", "300"),
];

/// What a server says when it is asked, the same for all that talk to it.
#[derive(Clone, Default)]
struct Said {
    /// Its version; empty: it has to be asked before it gets anything new.
    version: String,
    /// Names of tables that hold the rows of distributed ones.
    local: BTreeSet<String>,
}

/// Why a server takes nothing.
#[derive(Default)]
struct Trouble {
    text: Option<String>,
    /// It did not answer even the simplest question.
    is_silence: bool,
}

/// A ClickHouse server, one shard. Clones are the same one: what is replaced in one is in all.
#[derive(Clone)]
pub struct Target {
    client: Arc<Mutex<Client>>,
    said: Arc<Mutex<Said>>,
    trouble: Arc<Mutex<Trouble>>,
    rows: Arc<AtomicU64>,
    /// The database of all tables.
    pub database: String,
}

impl Target {
    /// The server as these credentials reach it; nothing is sent yet.
    pub fn new(access: &Access, database: &str) -> Result<Target, ConnectError> {
        Ok(Target::of(access.client()?, database))
    }

    pub(super) fn of(client: Client, database: &str) -> Target {
        Target {
            client: Arc::new(Mutex::new(client)),
            said: Arc::default(),
            trouble: Arc::default(),
            rows: Arc::default(),
            database: database.to_string(),
        }
    }

    /// Reaches the server in another way from the next request on. One that is on its way ends as it has
    /// begun.
    pub(super) fn replace(&self, client: Client) {
        *lock(&self.client) = client;
        self.doubt();
    }

    /// A client of the server as it is reached now.
    pub fn client(&self) -> Client {
        lock(&self.client).clone()
    }

    /// Asks the server for its version and for its tables.
    pub async fn greet(&self) -> Result<(), Failure> {
        let sql = format!(
            "SELECT arrayStringConcat(arrayPushFront(groupArray(name), version()), '\\n') FROM system.tables \
             WHERE database = {} AND endsWith(name, {})",
            schema::sql::literal(&self.database),
            schema::sql::literal(&local_name(""))
        );
        match self.ask(self.client().query_raw(&sql).fetch_one::<String>()).await {
            Ok(answer) => {
                let mut lines = answer.lines().map(str::to_string);
                let version = lines.next().unwrap_or_default();
                *lock(&self.said) = Said { version, local: lines.collect() };
                let mut trouble = lock(&self.trouble);
                if trouble.is_silence {
                    *trouble = Trouble::default();
                }
                Ok(())
            }
            Err(failure) => {
                self.doubt();
                *lock(&self.trouble) = Trouble { text: Some(failure.to_string()), is_silence: true };
                Err(failure)
            }
        }
    }

    /// Asks the server if it has to be asked.
    pub async fn greet_if_unknown(&self) -> Result<(), Failure> {
        if self.is_known() { Ok(()) } else { self.greet().await }
    }

    /// Whether the server has answered and nothing has failed since.
    pub fn is_known(&self) -> bool {
        !lock(&self.said).version.is_empty()
    }

    /// The server's version; empty if it has to be asked.
    pub fn version(&self) -> String {
        lock(&self.said).version.clone()
    }

    /// Something has failed: what the server has said may be so no more.
    pub fn doubt(&self) {
        lock(&self.said).version.clear();
    }

    /// A request has failed, for this reason.
    pub fn has_failed(&self, failure: &Failure) {
        self.doubt();
        if let Failure::Wait(reason) = failure {
            *lock(&self.trouble) = Trouble { text: Some(reason.clone()), is_silence: false };
        }
    }

    /// It has taken an insert, with so many raw rows.
    pub fn has_taken(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        *lock(&self.trouble) = Trouble::default();
    }

    /// Raw rows that it has taken since the process began.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Why it takes nothing at the moment.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).text.clone()
    }

    /// The table of this server that holds the rows of a table: itself, or where it is distributed another.
    pub fn physical(&self, table: &str) -> String {
        let local = local_name(table);
        if lock(&self.said).local.contains(&local) { local } else { table.to_string() }
    }

    /// A statement that inserts into a table, for the table that holds its rows on this server.
    pub fn physical_sql(&self, sql: &str) -> String {
        let said = lock(&self.said).clone();
        for local in &said.local {
            let Some(table) = local.strip_suffix(&local_name("")) else { continue };
            let into =
                |table: &str| format!("INSERT INTO {} ", schema::sql::qualified(&self.database, table));
            if let Some(rest) = sql.strip_prefix(&into(table)) {
                return into(local) + rest;
            }
        }
        sql.to_string()
    }

    /// Begins an insert; `sql` ends in `FORMAT Native`.
    pub fn begin(&self, sql: &str, token: &str) -> Insert {
        let mut insert =
            self.client().insert_formatted_with(sql).with_setting("insert_deduplication_token", token);
        for (name, value) in PINNED {
            insert = insert.with_setting(name, value);
        }
        Insert { inner: insert.with_timeouts(Some(SEND_TIMEOUT), Some(ACKNOWLEDGE_TIMEOUT)) }
    }

    /// Rows of one journal that arrived within a closed interval (microseconds since 1970), by the
    /// arrival of their frame.
    pub async fn stored_rows(
        &self,
        table: &str,
        journal: u32,
        from_us: u64,
        to_us: u64,
    ) -> Result<BTreeMap<u64, u64>, Failure> {
        // Not by what it said long ago: a table that was renamed since would answer for other servers.
        self.greet().await?;
        let sql = format!(
            "SELECT toUnixTimestamp64Micro(received_at) AS arrival, count() FROM {} {} GROUP BY arrival",
            schema::sql::qualified(&self.database, &self.physical(table)),
            where_arrived(journal, from_us, to_us)
        );
        let counted = self.ask(self.client().query_raw(&sql).fetch_all::<(i64, u64)>()).await;
        let rows = counted.inspect_err(|failure| self.has_failed(failure))?;
        Ok(rows
            .into_iter()
            .filter_map(|(arrival, rows)| Some((u64::try_from(arrival).ok()?, rows)))
            .collect())
    }

    /// Inserts one row of the ledger with the pinned settings.
    pub async fn insert_ledger_row(&self, row: &LedgerRow, token: &str) -> Result<(), Failure> {
        self.greet_if_unknown().await?;
        let sent = self.send_ledger_row(row, token).await;
        sent.inspect(|()| self.has_taken(0)).inspect_err(|failure| self.has_failed(failure))
    }

    async fn send_ledger_row(&self, row: &LedgerRow, token: &str) -> Result<(), Failure> {
        let ledger = self.physical(LEDGER);
        let mut insert = self.client().with_database(&self.database).insert::<LedgerRow>(&ledger).await?;
        insert = insert.with_setting("insert_deduplication_token", token);
        for (name, value) in PINNED {
            insert = insert.with_setting(name, value);
        }
        let mut insert = insert.with_timeouts(Some(SEND_TIMEOUT), Some(QUERY_TIMEOUT));
        insert.write(row).await?;
        insert.end().await.map_err(Failure::from)
    }

    async fn ask<T>(&self, answer: impl Future<Output = clickhouse::error::Result<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(QUERY_TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::wait("no answer within a minute")),
        }
    }
}

fn where_arrived(journal: u32, from_us: u64, to_us: u64) -> String {
    format!(
        "WHERE journal_id = {journal} AND received_at >= fromUnixTimestamp64Micro({from_us}, 'UTC') \
         AND received_at <= fromUnixTimestamp64Micro({to_us}, 'UTC')"
    )
}

/// An insert that is being sent.
pub struct Insert {
    inner: InsertFormatted,
}

impl Insert {
    /// Sends one chunk.
    pub async fn send(&mut self, chunk: Bytes) -> Result<(), Failure> {
        self.inner.send(chunk).await.map_err(Failure::from)
    }

    /// Ends the body and waits for the acknowledgement.
    pub async fn end(self) -> Result<(), Failure> {
        self.inner.end().await.map_err(Failure::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_goes_to_the_table_that_holds_the_rows() {
        let access = Access {
            url: "http://127.0.0.1:1".to_string(),
            user: "qoe".to_string(),
            password: String::new(),
            ca: None,
        };
        let target = Target::new(&access, "qoestor").unwrap();
        let sql = "INSERT INTO qoestor.fullflow (login, host) FORMAT Native";
        assert_eq!(target.physical("fullflow"), "fullflow");
        assert_eq!(target.physical_sql(sql), sql);
        let local = ["fullflow_local".to_string(), "fullflow_agg_local".to_string()].into();
        *lock(&target.said) = Said { version: "26.7".to_string(), local };
        assert_eq!(target.physical("fullflow"), "fullflow_local");
        assert_eq!(target.physical("natflow"), "natflow");
        assert_eq!(
            target.physical_sql(sql),
            "INSERT INTO qoestor.fullflow_local (login, host) FORMAT Native"
        );
        let already = "INSERT INTO qoestor.fullflow_local (login, host) FORMAT Native";
        assert_eq!(target.physical_sql(already), already);
        let other = "INSERT INTO qoestor.natflow (login) FORMAT Native";
        assert_eq!(target.physical_sql(other), other);
        target.doubt();
        assert!(!target.is_known());
    }
}
