//! Puts a version of a dictionary into ClickHouse: its rows first, then, once they are counted, the one row that
//! makes it current. Until then nobody sees it, whatever happens in between. Must never change the rows of a
//! version that was current.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::error::Error as ClickHouseError;
use schema::sql::qualified;
use schema::{DICTIONARY_VERSIONS, Dictionary, DictionaryVersion};

use crate::parse::Parsed;

/// Rows of one chunk of an insert.
const CHUNK_ROWS: usize = 20_000;
/// Versions that are kept: the current one, and the one that receivers may still be fetching.
const KEPT_VERSIONS: usize = 2;

/// Why a version did not become current. What was in force stays.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The server refused something or did not answer.
    #[error("{dictionary}: {what}: {source}")]
    Server {
        /// The dictionary.
        dictionary: &'static str,
        /// What was being done.
        what: &'static str,
        /// The answer.
        source: ClickHouseError,
    },
    /// Not as many rows arrived as were sent.
    #[error("{dictionary}: {sent} rows were sent and {found} are there: it is tried again")]
    Count {
        /// The dictionary.
        dictionary: &'static str,
        /// Rows sent.
        sent: u64,
        /// Rows counted.
        found: u64,
    },
}

/// Rows of one object.
pub struct Rows<'a> {
    /// The DPIs that they are limited to; empty: all.
    pub dpis: &'a [u16],
    /// The rows.
    pub parsed: &'a Parsed<'a>,
}

/// Loads `rows` as the version that `version` describes and makes it current. The rows of its number must
/// not be in use: it is greater than that of any current version.
///
/// # Errors
/// The version is then not current, and may be loaded again under the same number.
pub async fn load(
    client: &Client,
    database: &str,
    dictionary: &'static Dictionary,
    rows: &[Rows<'_>],
    version: &DictionaryVersion,
) -> Result<(), LoadError> {
    let table = qualified(database, &dictionary.rows_name());
    let failed = |what| move |source| LoadError::Server { dictionary: dictionary.name, what, source };
    let number = version.version;
    // An earlier attempt may have left some.
    let sql = format!("ALTER TABLE {table} DROP PARTITION {number}");
    client.query_raw(&sql).execute().await.map_err(failed("an earlier attempt cannot be removed"))?;
    insert(client, database, dictionary, rows, number)
        .await
        .map_err(failed("its rows cannot be inserted"))?;
    let sql = format!("SELECT count() FROM {table} WHERE version = {number}");
    let found: u64 =
        client.query_raw(&sql).fetch_one().await.map_err(failed("its rows cannot be counted"))?;
    if found != version.rows {
        return Err(LoadError::Count { dictionary: dictionary.name, sent: version.rows, found });
    }
    make_current(client, database, version).await.map_err(failed("it cannot be made current"))?;
    forget_old(client, &table, number).await.map_err(failed("old versions cannot be removed"))
}

async fn insert(
    client: &Client,
    database: &str,
    dictionary: &Dictionary,
    rows: &[Rows<'_>],
    number: u32,
) -> Result<(), ClickHouseError> {
    if rows.iter().all(|rows| rows.parsed.rows() == 0) {
        return Ok(());
    }
    let mut insert = client
        .insert_formatted_with(dictionary.insert_sql(database))
        .with_setting("async_insert", "0")
        .with_setting("insert_deduplicate", "0");
    for Rows { dpis, parsed } in rows {
        let mut first = 0;
        while first < parsed.rows() {
            let behind = (first + CHUNK_ROWS).min(parsed.rows());
            let mut chunk = Vec::new();
            parsed.write_tsv(number, dpis, first..behind, &mut chunk);
            insert.send(Bytes::from(chunk)).await?;
            first = behind;
        }
    }
    insert.end().await
}

async fn make_current(
    client: &Client,
    database: &str,
    version: &DictionaryVersion,
) -> Result<(), ClickHouseError> {
    let client = client.clone().with_database(database).with_setting("async_insert", "0");
    let mut insert = client.insert::<DictionaryVersion>(DICTIONARY_VERSIONS).await?;
    insert.write(version).await?;
    insert.end().await
}

async fn forget_old(client: &Client, table: &str, number: u32) -> Result<(), ClickHouseError> {
    let sql = format!("SELECT DISTINCT version FROM {table} WHERE version <= {number} ORDER BY version DESC");
    let versions: Vec<u32> = client.query_raw(&sql).fetch_all().await?;
    for old in versions.iter().skip(KEPT_VERSIONS) {
        client.query_raw(&format!("ALTER TABLE {table} DROP PARTITION {old}")).execute().await?;
    }
    Ok(())
}

/// Seconds since 1970, UTC.
pub fn now() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}
