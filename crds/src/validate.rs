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

/// Collects problems.
#[derive(Debug, Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: FieldPath, message: impl Into<String>) {
        self.0.push(Problem { path, message: message.into() });
    }
}
