//! Reads a configuration file: text in, checked documents or a full list of what is wrong out.
//!
//! Every complaint names file, line, column and field. Nothing here may panic, whatever the
//! text: files come from people and programs alike.

mod decode;
mod error;
mod node;
mod suggest;

use serde::de::DeserializeOwned;

pub use error::{LoadError, LoadErrors};

use crate::dictionary::QoeDictionary;
use crate::key_values::KeyValues;
use crate::validate::{self, FieldPath, Problem};
use crate::{API_VERSION, QoeCollector, collector, dictionary};
use node::{Node, Value};

/// The largest file that is read, in bytes: Kubernetes refuses objects that are larger.
pub const MAX_BYTES: usize = 1 << 20;

/// What a configuration file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents {
    /// In the order of the file.
    pub collectors: Vec<QoeCollector>,
    /// In the order of the file.
    pub dictionaries: Vec<QoeDictionary>,
    /// ConfigMaps and Secrets that the others refer to, in the order of the file.
    pub values: Vec<KeyValues>,
}

/// Reads every document of `text`, which was found in `file_name`, and checks each of them and
/// all of them together, as they would run on one machine.
///
/// # Errors
/// All that is wrong, in the order of the file. A document whose fields cannot be read is not
/// checked further, so a second look may find more.
pub fn documents(text: &str, file_name: &str) -> Result<Documents, LoadErrors> {
    let mut errors = Vec::new();
    let documents = read(text, &mut errors);
    if errors.is_empty() {
        return Ok(documents);
    }
    errors.sort_by_key(|error: &LoadError| (error.line, error.column));
    errors.dedup();
    Err(LoadErrors::new(file_name, errors))
}

fn read(text: &str, errors: &mut Vec<LoadError>) -> Documents {
    let mut documents = Documents::default();
    if text.len() > MAX_BYTES {
        errors.push(LoadError::general(format!(
            "the file has {} bytes, expected at most {MAX_BYTES}",
            text.len()
        )));
        return documents;
    }
    let roots = match node::parse(text) {
        Ok(roots) => roots,
        Err(error) => {
            errors.push(error);
            return documents;
        }
    };
    if roots.is_empty() {
        errors
            .push(LoadError::general(format!("the file is empty, expected a {} document", collector::KIND)));
        return documents;
    }

    let mut collector_roots = Vec::new();
    let mut dictionary_roots = Vec::new();
    for root in &roots {
        match kind(root) {
            Err(error) => errors.push(error),
            Ok(Kind::Collector) => {
                if let Some(collector) = typed::<QoeCollector>(root, errors) {
                    place(root, validate::collector(&collector), errors);
                    collector_roots.push(root);
                    documents.collectors.push(collector);
                }
            }
            Ok(Kind::Values) => {
                let top = ["apiVersion", "kind", "metadata", "data", "stringData", "type", "immutable"];
                match decode::decode::<KeyValues>(root, &top) {
                    Ok(values) => documents.values.push(values),
                    Err(mut found) => errors.append(&mut found),
                }
            }
            Ok(Kind::Dictionary) => {
                if let Some(dictionary) = typed::<QoeDictionary>(root, errors) {
                    place(root, validate::dictionary(&dictionary), errors);
                    dictionary_roots.push(root);
                    documents.dictionaries.push(dictionary);
                }
            }
        }
    }
    for (index, problem) in validate::collectors_of_one_host(&documents.collectors) {
        place_one(collector_roots.get(index).copied(), problem, errors);
    }
    for (index, problem) in validate::dictionaries_of_one_file(&documents.dictionaries) {
        place_one(dictionary_roots.get(index).copied(), problem, errors);
    }
    documents
}

enum Kind {
    Collector,
    Dictionary,
    /// A ConfigMap or Secret.
    Values,
}

/// Which type a document claims to be.
fn kind(root: &Node) -> Result<Kind, LoadError> {
    let Value::Map(_) = root.value else {
        return Err(root.error(FieldPath::root(), format!("expected a document, got {}", root.describe())));
    };
    let version = text_field(root, "apiVersion", &format!("`{API_VERSION}`"))?;
    let kind = text_field(root, "kind", "`QoeCollector` or `QoeDictionary`")?;
    if version.1 == "v1" && matches!(kind.1, "ConfigMap" | "Secret") {
        return Ok(Kind::Values);
    }
    if version.1 != API_VERSION {
        let path = FieldPath::root().field("apiVersion");
        return Err(version.0.error(path, format!("expected `{API_VERSION}`, got {:?}", version.1)));
    }
    match kind.1 {
        collector::KIND => Ok(Kind::Collector),
        dictionary::KIND => Ok(Kind::Dictionary),
        other => {
            let hint = suggest::hint(other, &[collector::KIND, dictionary::KIND]);
            let message = format!("unknown kind {other:?}, expected QoeCollector or QoeDictionary{hint}");
            Err(kind.0.error(FieldPath::root().field("kind"), message))
        }
    }
}

fn text_field<'a>(root: &'a Node, name: &str, expected: &str) -> Result<(&'a Node, &'a str), LoadError> {
    let path = FieldPath::root().field(name);
    match root.field(name) {
        None => Err(root.error(path, format!("this field is required: {expected}"))),
        Some(node) => match &node.value {
            Value::Text(text) => Ok((node, text)),
            _ => Err(node.error(path, format!("expected {expected}, got {}", node.describe()))),
        },
    }
}

fn typed<T: DeserializeOwned>(root: &Node, errors: &mut Vec<LoadError>) -> Option<T> {
    match decode::decode(root, &["apiVersion", "kind", "metadata", "spec", "status"]) {
        Ok(value) => Some(value),
        Err(mut found) => {
            errors.append(&mut found);
            None
        }
    }
}

/// Finds the line of each problem.
fn place(root: &Node, problems: Vec<Problem>, errors: &mut Vec<LoadError>) {
    for problem in problems {
        place_one(Some(root), problem, errors);
    }
}

fn place_one(root: Option<&Node>, problem: Problem, errors: &mut Vec<LoadError>) {
    errors.push(match root {
        Some(root) => root.nearest(&problem.path).error(problem.path, problem.message),
        None => LoadError { line: 0, column: 0, path: problem.path, message: problem.message },
    });
}
