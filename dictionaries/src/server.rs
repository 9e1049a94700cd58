//! The dictionaries of a ClickHouse server, which stand on the tables of versions: made where they are missing or
//! defined otherwise, made anew where their login does not work any more, reloaded when a version becomes
//! current. Must never show the password: a statement that fails is named, not printed.

use std::collections::BTreeMap;

use clickhouse::error::Error as ClickHouseError;
use clickhouse::{Client, Row};
use schema::sql::qualified;
use schema::{Dictionary, DictionaryLogin};
use serde::Deserialize;

/// The login of dictionaries, and which of them were made anew for it.
pub struct Server {
    client: Client,
    database: String,
    user: String,
    password: String,
    renewed: Vec<&'static str>,
}

/// A dictionary that ClickHouse could not be given.
#[derive(Debug, thiserror::Error)]
#[error("{dictionary}: {what}: {source}")]
pub struct ServerError {
    /// Its name on the server.
    pub dictionary: String,
    /// What was being done.
    pub what: &'static str,
    /// The answer, without the statement.
    pub source: ClickHouseError,
}

#[derive(Row, Deserialize)]
struct Observed {
    name: String,
    comment: String,
    status: String,
    last_exception: String,
}

impl Server {
    /// The server that `client` reaches; dictionaries log in as this user.
    pub fn new(client: Client, database: &str, user: &str, password: &str) -> Server {
        let [database, user, password] = [database, user, password].map(str::to_owned);
        Server { client, database, user, password, renewed: Vec::new() }
    }

    /// Makes the dictionaries that are missing, defined otherwise, or fail for the first time with this login.
    /// Returns how many.
    ///
    /// # Errors
    /// The first that cannot be made; it is tried again with the next call.
    pub async fn keep(&mut self) -> Result<usize, ServerError> {
        let observed = self.observe().await?;
        let mut made = 0;
        for dictionary in schema::dictionaries::all() {
            let found = observed.get(&dictionary.dictionary_name());
            let as_declared =
                found.is_some_and(|found| found.comment == dictionary.comment(&self.database, &self.user));
            let fails = found.is_some_and(|found| !found.last_exception.is_empty());
            if as_declared && (!fails || self.renewed.contains(&dictionary.name)) {
                continue;
            }
            self.make(dictionary).await?;
            if fails {
                self.renewed.push(dictionary.name);
            }
            made += 1;
        }
        Ok(made)
    }

    /// Loads the newest version of a dictionary that is in use; one that nobody has asked for yet is loaded when
    /// somebody does.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub async fn reload(&self, dictionary: &Dictionary) -> Result<(), ServerError> {
        let name = dictionary.dictionary_name();
        let unused = self.observe().await?.get(&name).is_none_or(|found| found.status == "NOT_LOADED");
        if unused {
            return Ok(());
        }
        let sql = format!("SYSTEM RELOAD DICTIONARY {}", qualified(&self.database, &name));
        let reloaded = self.client.query_raw(&sql).execute().await;
        reloaded.map_err(|source| ServerError { dictionary: name, what: "it cannot be reloaded", source })
    }

    async fn make(&self, dictionary: &'static Dictionary) -> Result<(), ServerError> {
        let login = DictionaryLogin { user: &self.user, password: &self.password };
        let sql = dictionary.create_sql(&self.database, login);
        let made = self.client.query_raw(&sql).execute().await;
        made.map_err(|source| ServerError {
            dictionary: dictionary.dictionary_name(),
            what: "it cannot be made",
            source,
        })
    }

    async fn observe(&self) -> Result<BTreeMap<String, Observed>, ServerError> {
        let sql = "SELECT name, comment, toString(status) AS status, last_exception FROM system.dictionaries \
                   WHERE database = ?";
        let rows = self.client.query(sql).bind(&self.database).fetch_all::<Observed>().await;
        let rows = rows.map_err(|source| ServerError {
            dictionary: self.database.clone(),
            what: "its dictionaries cannot be listed",
            source,
        })?;
        Ok(rows.into_iter().map(|row| (row.name.clone(), row)).collect())
    }
}
