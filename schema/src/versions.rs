//! Which version of each dictionary is in force: reads `dictionary_versions`. It only reads; what is made of a
//! version is the loader's and the receiver's.

use std::collections::BTreeMap;

use clickhouse::error::Error as ClickHouseError;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use crate::dictionary::DICTIONARY_VERSIONS;
use crate::sql::qualified;

/// A row of `dictionary_versions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct DictionaryVersion {
    /// Number of the version, counted over all dictionaries.
    pub version: u32,
    /// The dictionary, without `_dic`.
    pub dictionary: String,
    /// When it became current, seconds since 1970, UTC.
    pub loaded_at: u32,
    /// Rows of the version.
    pub rows: u64,
    /// Lines that were wrong and are left out.
    pub bad_rows: u64,
    /// Hash of the sources' contents.
    pub content: String,
    /// Names of the objects that it was made from.
    pub sources: Vec<String>,
}

/// The current version of each dictionary that has one, by its name; one moment's state. `None` if the
/// database has no such table yet.
///
/// # Errors
/// Whatever else the server or the connection answers.
pub async fn current_versions(
    client: &Client,
    database: &str,
) -> Result<Option<BTreeMap<String, DictionaryVersion>>, ClickHouseError> {
    let sql = format!(
        "SELECT version, dictionary, loaded_at, rows, bad_rows, content, sources FROM {} \
         ORDER BY dictionary, version DESC LIMIT 1 BY dictionary",
        qualified(database, DICTIONARY_VERSIONS)
    );
    match client.query_raw(&sql).fetch_all::<DictionaryVersion>().await {
        Ok(rows) => Ok(Some(rows.into_iter().map(|row| (row.dictionary.clone(), row)).collect())),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Server errors 60, UNKNOWN_TABLE, and 81, UNKNOWN_DATABASE.
fn is_missing(error: &ClickHouseError) -> bool {
    matches!(error, ClickHouseError::BadResponse(text) if text.starts_with("Code: 60.") || text.starts_with("Code: 81."))
}
