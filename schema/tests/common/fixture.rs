//! A database as an earlier version has left it.

use std::path::Path;

/// The fixture of one version.
pub struct Fixture {
    pub version: &'static str,
}

impl Fixture {
    fn read(&self, name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(self.version).join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Statements that make its tables.
    pub fn schema(&self) -> Vec<String> {
        statements(&self.read("schema.sql"))
    }

    /// Statements that fill them; all times are relative to now.
    pub fn data(&self) -> Vec<String> {
        statements(&self.read("data.sql"))
    }

    /// Each table with the columns that its writer names.
    pub fn insert_columns(&self) -> Vec<(String, String)> {
        let text = self.read("insert_columns.txt");
        text.lines()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(table, columns)| (table.to_owned(), columns.to_owned()))
            .collect()
    }
}

fn statements(text: &str) -> Vec<String> {
    text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}
