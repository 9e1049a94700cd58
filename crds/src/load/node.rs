//! A YAML document as a tree that remembers where each value and each key stood.
//!
//! The types are read from this tree rather than from the text, so that every complaint, also
//! one of the validation long after reading, can name its line. Size, depth and the expansion
//! of aliases are bounded here.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Location, Spanned};

use super::error::LoadError;
use crate::validate::{FieldPath, Segment};

/// One value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) value: Value,
}

/// What a node holds. Text is what YAML calls a string: quoted, or neither number, boolean nor null.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) name: String,
}

/// Reads all documents of a text; documents that are empty are left out.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, LoadError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_documents: 1_000,
            max_nodes: 200_000,
        },
        // Mappings are handed over with every key they have; duplicates are found in the tree,
        // where their path is known.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    let documents: Vec<Node> = match serde_saphyr::from_multiple_with_options(text, options) {
        Ok(documents) => documents,
        Err(error) => return Err(syntax_error(&error)),
    };
    for document in &documents {
        document.refuse_duplicate_keys(&FieldPath::root())?;
    }
    Ok(documents)
}

fn syntax_error(error: &serde_saphyr::Error) -> LoadError {
    let (line, column) = match error.location() {
        Some(location) => (location.line(), location.column()),
        None => (0, 0),
    };
    let mut message = error.to_string();
    // The position is printed in front already.
    if let Some(end) = message.find(&format!(" at line {line}, column {column}")) {
        message.truncate(end);
    }
    let first = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
    LoadError { line, column, path: FieldPath::root(), message: format!("not readable as YAML: {first}") }
}

impl Node {
    /// A complaint about this node.
    pub(super) fn error(&self, path: FieldPath, message: String) -> LoadError {
        LoadError { line: self.line, column: self.column, path, message }
    }

    /// The value of a key of a mapping.
    pub(super) fn field(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The node at `path`, or the last one on the way to it that exists.
    pub(super) fn nearest(&self, path: &FieldPath) -> &Node {
        let mut node = self;
        for segment in path.segments() {
            let next = match (segment, &node.value) {
                (Segment::Field(name), _) => node.field(name),
                (Segment::Index(index), Value::List(items)) => items.get(*index),
                (Segment::Index(_), _) => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// How an error message calls this value.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Unsigned(value) => value.to_string(),
            Value::Signed(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(text) => quoted(text),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    fn refuse_duplicate_keys(&self, path: &FieldPath) -> Result<(), LoadError> {
        match &self.value {
            Value::Map(entries) => {
                let mut seen = std::collections::HashMap::new();
                for (key, node) in entries {
                    let path = path.field(&key.name);
                    if let Some(first) = seen.insert(key.name.as_str(), key.line) {
                        return Err(LoadError {
                            line: key.line,
                            column: key.column,
                            path,
                            message: format!("this field was given before, in line {first}"),
                        });
                    }
                    node.refuse_duplicate_keys(&path)?;
                }
            }
            Value::List(items) => {
                for (index, node) in items.iter().enumerate() {
                    node.refuse_duplicate_keys(&path.index(index))?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A text in quotes, shortened if it is long.
pub(super) fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    if text.chars().count() <= MAX_CHARS {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(MAX_CHARS).collect();
    format!("{start:?}...")
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let (line, column) = position(spanned.referenced);
        Ok(Node { line, column, value: spanned.value })
    }
}

fn position(location: Location) -> (u64, u64) {
    (location.line(), location.column())
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Float(value as f64))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Float(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let (line, column) = position(key.referenced);
            entries.push((Key { line, column, name: key.value }, access.next_value::<Node>()?));
        }
        Ok(Value::Map(entries))
    }
}
