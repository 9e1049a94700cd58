//! The server: one client with every setting pinned that decides whether an insert is all or
//! nothing, is deduplicated and is acknowledged only when it is stored. Must never retry by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::insert_formatted::InsertFormatted;
use schema::{ConnectError, LEDGER, LedgerRow};

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

/// A ClickHouse server, one shard. Clones are the same one: what is replaced in one is in all.
#[derive(Clone)]
pub struct Target {
    client: Arc<Mutex<Client>>,
    /// The database of all tables.
    pub database: String,
}

impl Target {
    /// The server as these credentials reach it; nothing is sent yet.
    pub fn new(access: &Access, database: &str) -> Result<Target, ConnectError> {
        let client = Arc::new(Mutex::new(access.client()?));
        Ok(Target { client, database: database.to_string() })
    }

    /// Reaches the server in another way from the next request on. One that is on its way ends as it has
    /// begun.
    pub fn replace(&self, access: &Access) -> Result<(), ConnectError> {
        let client = access.client()?;
        *lock(&self.client) = client;
        Ok(())
    }

    /// A client of the server as it is reached now.
    pub fn client(&self) -> Client {
        lock(&self.client).clone()
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

    /// The server's version.
    pub async fn version(&self) -> Result<String, Failure> {
        self.ask(self.client().query("SELECT version()").fetch_one::<String>()).await
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
        let sql = format!(
            "SELECT toUnixTimestamp64Micro(received_at) AS arrival, count() FROM {} {} GROUP BY arrival",
            self.qualified(table),
            where_arrived(journal, from_us, to_us)
        );
        let rows = self.ask(self.client().query_raw(&sql).fetch_all::<(i64, u64)>()).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(arrival, rows)| Some((u64::try_from(arrival).ok()?, rows)))
            .collect())
    }

    /// Inserts one row of the ledger with the pinned settings.
    pub async fn insert_ledger_row(&self, row: &LedgerRow, token: &str) -> Result<(), Failure> {
        let mut insert = self.client().with_database(&self.database).insert::<LedgerRow>(LEDGER).await?;
        insert = insert.with_setting("insert_deduplication_token", token);
        for (name, value) in PINNED {
            insert = insert.with_setting(name, value);
        }
        let mut insert = insert.with_timeouts(Some(SEND_TIMEOUT), Some(QUERY_TIMEOUT));
        insert.write(row).await?;
        insert.end().await.map_err(Failure::from)
    }

    /// A table's name with its database, quoted.
    pub fn qualified(&self, table: &str) -> String {
        format!("`{}`.`{table}`", self.database)
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
