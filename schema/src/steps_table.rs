//! The record of migrations: each step that [`crate::execute()`] carries out leaves a row before and a row
//! after, so that a killed or failed run can be read afterwards. Rows are never deleted.

use crate::owner::owned_comment;
use crate::table::{MERGE_TREE, Table, TableColumn};

/// Name of the table.
pub const SCHEMA_STEPS: &str = "schema_steps";

/// The table of executed steps.
pub fn schema_steps(database: &str) -> Table {
    let columns = [
        ("at", "DateTime64(6, 'UTC')", "when the row was written, by the server's clock"),
        ("version", "LowCardinality(String)", "version of Qoeplane that made the plan"),
        ("action", "LowCardinality(String)", "kind of step"),
        ("risk", "LowCardinality(String)", "risk class of the step"),
        ("object", "String", "what was changed"),
        ("sql", "String", "the statement"),
        ("state", "LowCardinality(String)", "started, done or failed"),
        ("error", "String", "the server's answer to a failed step"),
        ("plan", "String", "the plan that the step belongs to: a hash of all its steps"),
        ("number", "UInt32", "number of the step in its plan, from 1"),
        ("of", "UInt32", "number of steps in the plan"),
    ];
    Table {
        database: database.to_owned(),
        name: SCHEMA_STEPS.to_owned(),
        engine: MERGE_TREE,
        columns: columns
            .into_iter()
            .map(|(name, sql_type, comment)| TableColumn {
                name: name.to_owned(),
                sql_type: sql_type.to_owned(),
                alias: None,
                codec: String::new(),
                comment: comment.to_owned(),
            })
            .collect(),
        indices: Vec::new(),
        partition_by: String::new(),
        order_by: vec!["at".to_owned()],
        ttl: String::new(),
        settings: Vec::new(),
        comment: owned_comment("steps that changed this database"),
        is_shared: false,
    }
}
