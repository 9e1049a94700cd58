//! Fetches the rows of one version into a file. Counts them: a version whose rows are on their way out, because a
//! newer one has come, is noticed and not used.

use std::fs::{self, File};
use std::io::{self, Write};

use clickhouse::Client;
use schema::sql::{identifier, qualified};
use schema::{Dictionary, DictionaryVersion};

use super::build;
use super::cache::{Cache, Kept, checksum};

/// Why rows could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server.
    #[error("{dictionary}: its rows cannot be fetched: {source}")]
    Server {
        /// The dictionary.
        dictionary: &'static str,
        /// The answer.
        source: clickhouse::error::Error,
    },
    /// The file.
    #[error("{dictionary}: its file cannot be written or read: {source}")]
    File {
        /// The dictionary.
        dictionary: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// Not as many rows as the version has.
    #[error(
        "{dictionary}: version {version} has {expected} rows, {found} came: a newer one may have taken its place"
    )]
    Count {
        /// The dictionary.
        dictionary: &'static str,
        /// The version.
        version: u32,
        /// Rows that it has.
        expected: u64,
        /// Rows that came.
        found: u64,
    },
}

/// Fetches the rows of `version`, with the columns that enrichment needs.
pub async fn fetch(
    client: &Client,
    database: &str,
    dictionary: &'static Dictionary,
    version: &DictionaryVersion,
    cache: &Cache,
) -> Result<Kept, FetchError> {
    let name = dictionary.name;
    let io = |source| FetchError::File { dictionary: name, source };
    if version.rows == 0 {
        return Ok(Kept { version: version.clone(), file: None, crc: 0 });
    }
    let columns: Vec<String> = build::columns(dictionary).map(|field| identifier(field.name)).collect();
    let sql = format!(
        "SELECT dpis, {} FROM {} WHERE version = {}",
        columns.join(", "),
        qualified(database, &dictionary.rows_name()),
        version.version
    );
    let file = format!("{name}-{}.rows", version.version);
    let path = cache.path(&file);
    let server = |source| FetchError::Server { dictionary: name, source };
    let mut rows = client.query_raw(&sql).fetch_bytes("RowBinary").map_err(server)?;
    let mut output = File::create(&path).map_err(io)?;
    while let Some(bytes) = rows.next().await.map_err(server)? {
        output.write_all(&bytes).map_err(io)?;
    }
    output.sync_all().map_err(io)?;
    let found = build::count(dictionary, &path).map_err(io)?;
    if found != version.rows {
        // What is left of it is of no use to anybody.
        let _ = fs::remove_file(&path);
        return Err(FetchError::Count {
            dictionary: name,
            version: version.version,
            expected: version.rows,
            found,
        });
    }
    let crc = checksum(&path).map_err(io)?;
    Ok(Kept { version: version.clone(), file: Some(file), crc })
}
