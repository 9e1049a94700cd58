//! What is wrong with a file, and where.

use std::fmt;

use crate::validate::FieldPath;

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// Line, counted from 1; 0 if no line is to blame.
    pub line: u64,
    /// Column, counted from 1; 0 if no line is to blame.
    pub column: u64,
    /// The field; empty if no field is to blame.
    pub path: FieldPath,
    /// What was expected and what is there.
    pub message: String,
}

impl LoadError {
    pub(super) fn general(message: String) -> LoadError {
        LoadError { line: 0, column: 0, path: FieldPath::root(), message }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        if !self.path.is_root() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a file, in the order of its lines. Prints one line each, as
/// `file:line:column: field: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadErrors {
    file_name: String,
    errors: Vec<LoadError>,
}

impl LoadErrors {
    pub(super) fn new(file_name: &str, errors: Vec<LoadError>) -> LoadErrors {
        LoadErrors { file_name: file_name.to_owned(), errors }
    }

    /// One by one.
    pub fn errors(&self) -> &[LoadError] {
        &self.errors
    }
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            let separator = if error.line > 0 { "" } else { " " };
            write!(f, "{}:{separator}{error}", self.file_name)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadErrors {}
