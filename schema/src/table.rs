//! What a table of ours looks like in ClickHouse, and its CREATE statement. Expressions are kept exactly as
//! the server prints them in `system.tables`, so that the desired state can be compared with the observed
//! one as text; an expression written in another way would be planned again for ever.

use crate::distributed::local_name;
use crate::sql::{identifier, literal, qualified};

/// The engine of tables whose rows stay as they are.
pub const MERGE_TREE: &str = "MergeTree";

/// Settings of every table that takes inserts and forgets old rows.
///
/// Without a window the server remembers no token of an insert. `ttl_only_drop_parts` forgets whole parts
/// instead of rewriting them. `materialize_ttl_recalculate_only` makes a changed TTL cheap: without a new
/// calculation old parts would still go at their old time, also when rows shall be kept longer; with it only
/// the times in each part are written again, not its rows.
pub fn insert_settings() -> Vec<(String, String)> {
    let mut settings = aggregate_settings();
    settings.push(("ttl_only_drop_parts".to_owned(), "1".to_owned()));
    settings
}

/// Settings of a table whose TTL merges rows: its parts have to be rewritten.
pub fn aggregate_settings() -> Vec<(String, String)> {
    let settings =
        [("materialize_ttl_recalculate_only", "1"), ("non_replicated_deduplication_window", "10000")];
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What may differ between installations for one table.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// Database that holds the table.
    pub database: String,
    /// Name of the table.
    pub table: String,
    /// Seconds after arrival when rows are deleted; `None` keeps them for ever.
    pub keep_for: Option<u64>,
    /// Seconds after arrival when rows move to the cold volume; needs a storage policy that has it.
    pub move_to_cold_after: Option<u64>,
    /// Storage policy; `None` for the server's default.
    pub storage_policy: Option<String>,
    /// Name of the cold volume within the policy.
    pub cold_volume: String,
}

impl TableOptions {
    /// Options for a table that keeps its rows for ever on the default storage.
    pub fn new(database: &str, table: &str) -> Self {
        Self {
            database: database.to_owned(),
            table: table.to_owned(),
            keep_for: None,
            move_to_cold_after: None,
            storage_policy: None,
            cold_volume: "cold".to_owned(),
        }
    }
}

/// One column as ClickHouse sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Name.
    pub name: String,
    /// Type, as the server prints it.
    pub sql_type: String,
    /// Expression of an ALIAS column.
    pub alias: Option<String>,
    /// Arguments of CODEC, as the server prints them; empty for the default.
    pub codec: String,
    /// Comment with unit.
    pub comment: String,
}

impl TableColumn {
    /// Its `default_kind` in `system.columns`.
    pub(crate) fn default_kind(&self) -> &'static str {
        if self.alias.is_some() { "ALIAS" } else { "" }
    }

    /// The column's definition in CREATE TABLE or ADD COLUMN.
    pub fn definition(&self) -> String {
        let mut text = format!("{} {}", identifier(&self.name), self.sql_type);
        if let Some(alias) = &self.alias {
            text.push_str(&format!(" ALIAS {alias}"));
        }
        if !self.comment.is_empty() {
            text.push_str(&format!(" COMMENT {}", literal(&self.comment)));
        }
        if !self.codec.is_empty() {
            text.push_str(&format!(" CODEC({})", self.codec));
        }
        text
    }
}

/// A data skipping index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataIndex {
    /// Name.
    pub name: &'static str,
    /// Expression.
    pub expression: &'static str,
    /// Type, such as `minmax`.
    pub index_type: &'static str,
    /// Granules for one entry.
    pub granularity: u32,
}

impl DataIndex {
    /// The index's definition in CREATE TABLE or ADD INDEX.
    pub fn definition(&self) -> String {
        format!(
            "INDEX {} {} TYPE {} GRANULARITY {}",
            self.name, self.expression, self.index_type, self.granularity
        )
    }
}

/// A MergeTree table as it should be.
#[derive(Clone, Debug)]
pub struct Table {
    /// Database.
    pub database: String,
    /// Name.
    pub name: String,
    /// Engine, one of the MergeTree family.
    pub engine: &'static str,
    /// Columns in order.
    pub columns: Vec<TableColumn>,
    /// Data skipping indices.
    pub indices: Vec<DataIndex>,
    /// Partition expression; empty for none.
    pub partition_by: String,
    /// Sorting key.
    pub order_by: Vec<String>,
    /// TTL rules as the server prints them, joined by `, `; empty for none.
    pub ttl: String,
    /// Settings with their values, unquoted.
    pub settings: Vec<(String, String)>,
    /// Comment, with the owner mark.
    pub comment: String,
    /// Of several servers each has a part of the rows; else each has all of them.
    pub is_shared: bool,
}

impl Table {
    /// The same as one server's part of rows that several share.
    #[must_use]
    pub fn local(&self) -> Table {
        Table { name: local_name(&self.name), ..self.clone() }
    }

    /// The statement that gives the table another one's name, with everything in it. It does nothing where there is
    /// no table of the old name, and is refused where there is one of the new.
    pub fn rename_sql(&self, to: &Table) -> String {
        // A dictionary that somebody made of it would forbid the new name; it goes on by the old one.
        format!(
            "RENAME TABLE IF EXISTS {} TO {} SETTINGS check_table_dependencies = 0",
            self.qualified_name(),
            to.qualified_name()
        )
    }

    /// `database.table` for use in statements.
    pub fn qualified_name(&self) -> String {
        qualified(&self.database, &self.name)
    }

    /// The sorting key as the server prints it; a single column in parentheses would keep them.
    pub fn sorting_key(&self) -> String {
        self.order_by.join(", ")
    }

    /// CREATE TABLE IF NOT EXISTS, one column a line.
    pub fn create_sql(&self) -> String {
        let mut lines: Vec<String> = self.columns.iter().map(TableColumn::definition).collect();
        lines.extend(self.indices.iter().map(DataIndex::definition));
        let ttl = if self.ttl.is_empty() { String::new() } else { format!("TTL {}\n", self.ttl) };
        let settings = if self.settings.is_empty() {
            String::new()
        } else {
            format!("SETTINGS {}\n", settings_list(&self.settings))
        };
        let partition = if self.partition_by.is_empty() {
            String::new()
        } else {
            format!("PARTITION BY {}\n", self.partition_by)
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {}\n(\n    {}\n)\nENGINE = {}\n{partition}ORDER BY {}\n\
             {ttl}{settings}COMMENT {}",
            self.qualified_name(),
            lines.join(",\n    "),
            self.engine,
            if self.order_by.len() == 1 { self.sorting_key() } else { format!("({})", self.sorting_key()) },
            literal(&self.comment),
        )
    }
}

/// Settings for CREATE TABLE or MODIFY SETTING, `a = 1, b = 'x'`.
pub fn settings_list(settings: &[(String, String)]) -> String {
    let texts: Vec<String> =
        settings.iter().map(|(name, value)| format!("{name} = {}", setting_value(value))).collect();
    texts.join(", ")
}

/// A setting's value in a statement: numbers as they are, anything else as a literal.
fn setting_value(value: &str) -> String {
    if !value.is_empty() && value.bytes().all(|each| each.is_ascii_digit()) {
        return value.to_owned();
    }
    literal(value)
}

/// TTL rules over the expression `from`, in the server's own words.
pub fn ttl_rules(from: &str, options: &TableOptions) -> String {
    retention_rules(from, options).join(", ")
}

/// When rows move and go, by the expression `from`, a rule each.
pub fn retention_rules(from: &str, options: &TableOptions) -> Vec<String> {
    let mut rules = Vec::new();
    if let Some(seconds) = options.move_to_cold_after {
        let volume = literal(&options.cold_volume);
        rules.push(format!("{} TO VOLUME {volume}", age_rule(from, seconds)));
    }
    if let Some(seconds) = options.keep_for {
        rules.push(age_rule(from, seconds));
    }
    rules
}

/// From an age of so many seconds on.
pub fn age_rule(from: &str, seconds: u64) -> String {
    format!("{from} + toIntervalSecond({seconds})")
}
