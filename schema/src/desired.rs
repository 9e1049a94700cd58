//! The desired state of one database: which tables, and what each looks like.

use crate::dictionaries;
use crate::dictionary::dictionary_versions;
use crate::function::Function;
use crate::ledger::{LEDGER, LEDGER_KEEP_FOR, ledger};
use crate::steps_table::schema_steps;
use crate::table::Table;

/// A database as it should be.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Name of the database.
    pub database: String,
    /// The collector that it belongs to, see [`crate::owner`]; `None` leaves that as it is.
    pub owner: Option<String>,
    /// Its tables; the record of steps comes first, so that all other steps can be recorded.
    pub tables: Vec<Table>,
    /// Functions that the server should have.
    pub functions: Vec<Function>,
    /// The servers that share the rows of our tables; `None`: this one has all.
    pub cluster: Option<Cluster>,
}

/// Several servers, each with a part of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name in the servers' configuration (`remote_servers`).
    pub name: String,
    /// How many servers the configuration has to know before tables are changed.
    pub shards: u32,
    /// Rows are to be on several servers. Where they have been once, tables stay as they are then.
    pub is_shared: bool,
}

impl Desired {
    /// A database with the tables that each has: the record of steps, the ledger (a year) and those of the
    /// dictionaries.
    pub fn new(database: &str) -> Self {
        let mut tables = vec![schema_steps(database), ledger(database, Some(LEDGER_KEEP_FOR))];
        tables.push(dictionary_versions(database));
        tables.extend(dictionaries::all().iter().map(|dictionary| dictionary.rows_table(database)));
        Self { database: database.to_owned(), owner: None, tables, functions: Vec::new(), cluster: None }
    }

    /// The same, belonging to this collector.
    #[must_use]
    pub fn with_owner(mut self, collector: &str) -> Self {
        self.owner = Some(collector.to_owned());
        self
    }

    /// The same on a server that is one of a cluster.
    #[must_use]
    pub fn with_cluster(mut self, cluster: Cluster) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// The same with one more table.
    #[must_use]
    pub fn with_table(mut self, table: Table) -> Self {
        self.tables.push(table);
        self
    }

    /// The same with a function.
    #[must_use]
    pub fn with_function(mut self, function: Function) -> Self {
        self.functions.push(function);
        self
    }

    /// The same with another time (seconds) that ledger rows are kept; `None` keeps them for ever.
    #[must_use]
    pub fn with_ledger_keep_for(mut self, keep_for: Option<u64>) -> Self {
        let database = self.database.clone();
        for table in self.tables.iter_mut().filter(|table| table.name == LEDGER) {
            *table = ledger(&database, keep_for);
        }
        self
    }
}
