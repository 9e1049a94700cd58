//! Rows that several servers share: each server's own part is the table that one server alone would have, under
//! [`local_name`]; under the table's own name stands a Distributed table, through which every server answers for
//! all. It must never take an insert: which server a row belongs to is decided by who sends it.

use crate::desired::Cluster;
use crate::observe::ObservedTable;
use crate::sql::{literal, qualified};
use crate::table::{Table, TableColumn};

/// The engine of the table that stands for all servers.
pub(crate) const DISTRIBUTED: &str = "Distributed";

/// What is behind the name of a table of which a server has a part.
const LOCAL: &str = "_local";

/// Name of the table with one server's part of the rows of `table`.
pub fn local_name(table: &str) -> String {
    format!("{table}{LOCAL}")
}

/// Whether a name is that of a table with one server's part.
pub fn is_local_name(table: &str) -> bool {
    table.ends_with(LOCAL)
}

/// The Distributed table over the parts of a table. It has the declared columns, and of those that are not
/// declared the ones that it has already: a column that it named and another server had not would fail every
/// `SELECT *`.
pub(crate) struct Distributed {
    name: String,
    engine: String,
    comment: String,
    columns: Vec<TableColumn>,
    kept: Vec<TableColumn>,
    insert_into: String,
}

impl Distributed {
    /// Over the parts of `table`, which is as declared for one server.
    pub fn new(table: &Table, cluster: &Cluster) -> Self {
        let local = local_name(&table.name);
        let plain = |column: &TableColumn| TableColumn { codec: String::new(), ..column.clone() };
        Self {
            name: table.qualified_name(),
            engine: format!(
                "{DISTRIBUTED}({}, {}, {})",
                literal(&cluster.name),
                literal(&table.database),
                literal(&local)
            ),
            comment: format!("{}; those of all servers", table.comment),
            columns: table.columns.iter().map(plain).collect(),
            kept: Vec::new(),
            insert_into: qualified(&table.database, &local),
        }
    }

    /// The same with the columns beyond the declared ones that `found` has and the `part` below it as well.
    #[must_use]
    pub fn with_columns_of(mut self, found: &ObservedTable, part: Option<&ObservedTable>) -> Self {
        for (name, column) in &found.columns {
            let is_declared = self.columns.iter().any(|declared| declared.name == *name);
            let below = part.and_then(|part| part.columns.get(name));
            if is_declared || below.is_none_or(|below| below.sql_type != column.sql_type) {
                continue;
            }
            self.kept.push(TableColumn {
                name: name.clone(),
                sql_type: column.sql_type.clone(),
                // What the part computes can be asked for like any other column.
                alias: None,
                codec: String::new(),
                comment: column.comment.clone(),
            });
        }
        self
    }

    /// Whether `found`, whose columns beyond the declared ones are known, is this table.
    pub fn is_like(&self, found: &ObservedTable) -> bool {
        let is_there = |column: &TableColumn| {
            found.columns.get(&column.name).is_some_and(|there| {
                there.sql_type == column.sql_type
                    && there.default_kind == column.default_kind()
                    && there.comment == column.comment
            })
        };
        found.engine_full.starts_with(&self.engine)
            && found.comment == self.comment
            && found.columns.len() == self.columns.len() + self.kept.len()
            && self.columns.iter().all(is_there)
    }

    /// The statement that makes it where there is no table of its name.
    pub fn create_sql(&self) -> String {
        self.sql("CREATE TABLE IF NOT EXISTS")
    }

    /// The statement that makes it in the place of another Distributed table; neither holds rows.
    pub fn replace_sql(&self) -> String {
        self.sql("CREATE OR REPLACE TABLE")
    }

    fn sql(&self, begin: &str) -> String {
        let columns = self.columns.iter().chain(&self.kept);
        let mut lines: Vec<String> = columns.map(TableColumn::definition).collect();
        // The server refuses an insert for want of a sharding key, but not in a cluster of one.
        lines.push(format!(
            "CONSTRAINT takes_no_inserts CHECK throwIf(1, {}) = 0",
            literal(&format!("insert into {}", self.insert_into))
        ));
        format!(
            "{begin} {}\n(\n    {}\n)\nENGINE = {}\nCOMMENT {}",
            self.name,
            lines.join(",\n    "),
            self.engine,
            literal(&self.comment)
        )
    }
}
