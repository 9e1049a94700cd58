//! Reads from a server what there is of one database. It only reads, and it judges nothing: that is
//! [`mod@crate::plan`]'s.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::{Client, Row};
use serde::Deserialize;

use crate::clauses::{Clauses, clauses};
use crate::owner::collector_of;

/// What a server has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The database; `None` if there is none of this name.
    pub database: Option<ObservedDatabase>,
    /// The server's storage policies with the names of their volumes, first the one where rows arrive. `None`:
    /// our user may not see them.
    pub storage: Option<BTreeMap<String, Vec<String>>>,
    /// Names of the functions that people have made.
    pub functions: BTreeSet<String>,
    /// The clusters in the server's configuration, each with the number of its shards. `None`: our user may not see
    /// them.
    pub clusters: Option<BTreeMap<String, u32>>,
}

impl Observed {
    /// The collector that the database belongs to, if it is ours and names one.
    pub fn owner(&self) -> Option<&str> {
        collector_of(&self.database.as_ref()?.comment)
    }
}

/// A database that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedDatabase {
    /// Its comment, where the owner mark is.
    pub comment: String,
    /// Its tables, views and dictionaries by name.
    pub tables: BTreeMap<String, ObservedTable>,
}

/// A table that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedTable {
    /// Engine, without arguments.
    pub engine: String,
    /// Engine with arguments and clauses, as the server prints it.
    pub engine_full: String,
    /// Partition expression as the server prints it.
    pub partition_key: String,
    /// Sorting key as the server prints it.
    pub sorting_key: String,
    /// TTL and settings as the server prints them.
    pub clauses: Clauses,
    /// Comment.
    pub comment: String,
    /// Columns by name.
    pub columns: BTreeMap<String, ObservedColumn>,
    /// Names of its data skipping indices.
    pub indices: Vec<String>,
}

/// A column that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedColumn {
    /// Type as the server prints it.
    pub sql_type: String,
    /// Empty, DEFAULT, MATERIALIZED, ALIAS or EPHEMERAL.
    pub default_kind: String,
    /// Arguments of CODEC as the server prints them; empty for the default.
    pub codec: String,
    /// Comment.
    pub comment: String,
}

#[derive(Row, Deserialize)]
struct VolumeRow {
    policy_name: String,
    volume_name: String,
}

#[derive(Row, Deserialize)]
struct ClusterRow {
    cluster: String,
    shards: u32,
}

#[derive(Row, Deserialize)]
struct TableRow {
    name: String,
    engine: String,
    engine_full: String,
    partition_key: String,
    sorting_key: String,
    comment: String,
}

#[derive(Row, Deserialize)]
struct ColumnRow {
    table: String,
    name: String,
    r#type: String,
    default_kind: String,
    compression_codec: String,
    comment: String,
}

#[derive(Row, Deserialize)]
struct IndexRow {
    table: String,
    name: String,
}

/// Reads the state of `database`.
///
/// # Errors
/// Whatever the server or the connection answers.
pub async fn observe(client: &Client, database: &str) -> Result<Observed, clickhouse::error::Error> {
    let storage = observe_storage(client).await?;
    let functions = observe_functions(client).await?;
    let clusters = observe_clusters(client).await?;
    let comment = client
        .query("SELECT comment FROM system.databases WHERE name = ?")
        .bind(database)
        .fetch_optional::<String>()
        .await?;
    let Some(comment) = comment else {
        return Ok(Observed { database: None, storage, functions, clusters });
    };
    let mut tables = observe_tables(client, database).await?;
    let columns = client
        .query(
            "SELECT table, name, type, toString(default_kind) AS default_kind, compression_codec, comment \
             FROM system.columns WHERE database = ?",
        )
        .bind(database)
        .fetch_all::<ColumnRow>()
        .await?;
    for row in columns {
        let Some(table) = tables.get_mut(&row.table) else { continue };
        let codec = row.compression_codec.strip_prefix("CODEC(").and_then(|rest| rest.strip_suffix(')'));
        let column = ObservedColumn {
            sql_type: row.r#type,
            default_kind: row.default_kind,
            codec: codec.unwrap_or_default().to_owned(),
            comment: row.comment,
        };
        table.columns.insert(row.name, column);
    }
    let indices = client
        .query("SELECT table, name FROM system.data_skipping_indices WHERE database = ? ORDER BY table, name")
        .bind(database)
        .fetch_all::<IndexRow>()
        .await?;
    for row in indices {
        if let Some(table) = tables.get_mut(&row.table) {
            table.indices.push(row.name);
        }
    }
    Ok(Observed { database: Some(ObservedDatabase { comment, tables }), storage, functions, clusters })
}

async fn observe_storage(
    client: &Client,
) -> Result<Option<BTreeMap<String, Vec<String>>>, clickhouse::error::Error> {
    let volumes = client
        .query(
            "SELECT policy_name, volume_name FROM system.storage_policies ORDER BY policy_name, volume_priority",
        )
        .fetch_all::<VolumeRow>()
        .await;
    let volumes = match volumes {
        // A server may hide its disks from our user, who needs only to name them.
        Err(error) if is_access_denied(&error) => return Ok(None),
        other => other?,
    };
    let mut policies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in volumes {
        policies.entry(row.policy_name).or_default().push(row.volume_name);
    }
    Ok(Some(policies))
}

async fn observe_clusters(
    client: &Client,
) -> Result<Option<BTreeMap<String, u32>>, clickhouse::error::Error> {
    let sql =
        "SELECT cluster, toUInt32(uniqExact(shard_num)) AS shards FROM system.clusters GROUP BY cluster";
    match client.query(sql).fetch_all::<ClusterRow>().await {
        Ok(rows) => Ok(Some(rows.into_iter().map(|row| (row.cluster, row.shards)).collect())),
        // One server alone needs none.
        Err(error) if is_access_denied(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn observe_functions(client: &Client) -> Result<BTreeSet<String>, clickhouse::error::Error> {
    let sql = "SELECT name FROM system.functions WHERE origin = 'SQLUserDefined'";
    Ok(client.query(sql).fetch_all::<String>().await?.into_iter().collect())
}

/// Server error 497, ACCESS_DENIED.
fn is_access_denied(error: &clickhouse::error::Error) -> bool {
    matches!(error, clickhouse::error::Error::BadResponse(text) if text.starts_with("Code: 497."))
}

async fn observe_tables(
    client: &Client,
    database: &str,
) -> Result<BTreeMap<String, ObservedTable>, clickhouse::error::Error> {
    let rows = client
        .query(
            "SELECT name, engine, engine_full, partition_key, sorting_key, comment \
             FROM system.tables WHERE database = ?",
        )
        .bind(database)
        .fetch_all::<TableRow>()
        .await?;
    let mut tables = BTreeMap::new();
    for row in rows {
        let table = ObservedTable {
            engine: row.engine,
            partition_key: row.partition_key,
            sorting_key: row.sorting_key,
            clauses: clauses(&row.engine_full),
            engine_full: row.engine_full,
            comment: row.comment,
            ..ObservedTable::default()
        };
        tables.insert(row.name, table);
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_other_answers() {
        let answer = |text: &str| clickhouse::error::Error::BadResponse(text.to_owned());
        assert!(is_access_denied(&answer(
            "Code: 497. DB::Exception: x: Not enough privileges. (ACCESS_DENIED)"
        )));
        assert!(!is_access_denied(&answer("Code: 516. DB::Exception: x: Authentication failed")));
        assert!(!is_access_denied(&clickhouse::error::Error::TimedOut));
    }
}
