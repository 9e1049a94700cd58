//! What the types alone cannot say: what must differ, what excludes what, what must be smaller
//! than what. The same rules hold on one machine and on Kubernetes.
//!
//! Every function is pure and returns all problems it finds.

mod collector;
mod dictionary;
mod names;
mod path;
mod tables;
pub mod words;

use std::fmt;

pub use collector::{collector, collectors_of_one_host};
pub use dictionary::{dictionaries_of_one_file, dictionary};
pub use path::{FieldPath, Segment};

/// One rule that is broken, and by which field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field.
    pub path: FieldPath,
    /// What was expected and what is there.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Problems in one line of text.
pub fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// Collects problems.
#[derive(Debug, Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: FieldPath, message: impl Into<String>) {
        self.0.push(Problem { path, message: message.into() });
    }
}
