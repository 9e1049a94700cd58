//! Makes typed values from a tree. An unknown field or a bad element of a list does not stop
//! the reading, so that a file with several mistakes is answered with all of them at once.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

use super::error::LoadError;
use super::node::{Key, Node, Value, quoted};
use super::suggest;
use crate::validate::FieldPath;

/// Objects whose unknown fields are Kubernetes' business and ignored, unless they look mistyped.
const OPEN_STRUCTS: [&str; 4] = ["KeyValues", "Metadata", "QoeCollector", "QoeDictionary"];

/// Makes a `T` of a document. Its own fields must be among `top`.
pub(super) fn decode<T: DeserializeOwned>(root: &Node, top: &[&'static str]) -> Result<T, Vec<LoadError>> {
    let found = RefCell::new(Vec::new());
    if let Value::Map(entries) = &root.value {
        for (key, _) in entries {
            if !top.contains(&key.name.as_str()) {
                found.borrow_mut().push(unknown_field(key, &FieldPath::root(), top));
            }
        }
    }
    let value = match T::deserialize(NodeDeserializer { node: root, path: FieldPath::root(), found: &found })
    {
        Ok(value) => Some(value),
        Err(failure) => {
            found.borrow_mut().push(failure.at(root, &FieldPath::root()).error);
            None
        }
    };
    let found = found.into_inner();
    match value {
        Some(value) if found.is_empty() => Ok(value),
        _ => Err(found),
    }
}

fn unknown_field(key: &Key, parent: &FieldPath, known: &[&'static str]) -> LoadError {
    let hint = suggest::hint(&key.name, known);
    let message = if known.is_empty() {
        "unknown field (there are none here)".to_owned()
    } else {
        format!("unknown field{hint} (known fields: {})", known.join(", "))
    };
    LoadError { line: key.line, column: key.column, path: parent.field(&key.name), message }
}

/// One complaint on its way up. The innermost node it passes is the one to blame.
#[derive(Debug)]
pub(super) struct Failure {
    error: LoadError,
    placed: bool,
    /// A field that should be below the node to blame.
    missing: Option<&'static str>,
}

impl Failure {
    fn new(message: String) -> Failure {
        Failure { error: LoadError::general(message), placed: false, missing: None }
    }

    fn at(mut self, node: &Node, path: &FieldPath) -> Failure {
        if !self.placed {
            self.placed = true;
            self.error.line = node.line;
            self.error.column = node.column;
            self.error.path = match self.missing {
                Some(field) => path.field(field),
                None => path.clone(),
            };
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error.message)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Failure {
        Failure::new(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Failure {
        Failure::new(format!("expected {expected}, got {}", describe(unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Failure {
        Failure::invalid_type(unexpected, expected)
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Failure {
        let hint = suggest::hint(variant, known);
        Failure::new(format!("expected one of {}, got {}{hint}", known.join(", "), quoted(variant)))
    }

    fn missing_field(field: &'static str) -> Failure {
        Failure { missing: Some(field), ..Failure::new("this field is required".to_owned()) }
    }
}

fn describe(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Str(text) => quoted(text),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

struct NodeDeserializer<'a> {
    node: &'a Node,
    path: FieldPath,
    found: &'a RefCell<Vec<LoadError>>,
}

impl<'a> NodeDeserializer<'a> {
    fn expected<T>(&self, what: &str) -> Result<T, Failure> {
        Err(Failure::new(format!("expected {what}, got {}", self.node.describe())).at(self.node, &self.path))
    }

    fn whole_number<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        lowest: i64,
        highest: u64,
    ) -> Result<V::Value, Failure> {
        let result = match self.node.value {
            Value::Unsigned(value) if value <= highest => visitor.visit_u64(value),
            Value::Signed(value) if value >= lowest => visitor.visit_i64(value),
            _ => return self.expected(&format!("a whole number from {lowest} to {highest}")),
        };
        result.map_err(|failure: Failure| failure.at(self.node, &self.path))
    }
}

impl<'de, 'a: 'de> Deserializer<'de> for NodeDeserializer<'a> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter(), index: 0, parent: &self }),
            Value::Map(entries) => visitor.visit_map(Entries {
                entries: entries.iter(),
                value: None,
                known: None,
                parent: &self,
            }),
        };
        result.map_err(|failure: Failure| failure.at(self.node, &self.path))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.node.value {
            Value::Bool(_) => self.deserialize_any(visitor),
            _ => self.expected("true or false"),
        }
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.whole_number(visitor, 0, u64::from(u8::MAX))
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.whole_number(visitor, 0, u64::from(u16::MAX))
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.whole_number(visitor, 0, u64::from(u32::MAX))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.whole_number(visitor, 0, u64::MAX)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.whole_number(visitor, i64::MIN, i64::MAX.unsigned_abs())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.node.value {
            Value::Text(_) => self.deserialize_any(visitor),
            Value::Bool(_) | Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => {
                let got = self.node.describe();
                Err(Failure::new(format!("expected a text, got {got}: put it in quotes"))
                    .at(self.node, &self.path))
            }
            _ => self.expected("a text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.node.value {
            Value::List(_) => self.deserialize_any(visitor),
            _ => self.expected("a list"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.node.value {
            Value::Map(_) => self.deserialize_any(visitor),
            _ => self.expected("a mapping"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let Value::Map(entries) = &self.node.value else {
            if fields.is_empty() {
                return self.expected("{}");
            }
            return self.expected(&format!("a mapping with the fields {}", fields.join(", ")));
        };
        let known = if OPEN_STRUCTS.contains(&name) { None } else { Some(fields) };
        for (key, _) in entries {
            let unknown = !fields.contains(&key.name.as_str());
            if unknown && (known.is_some() || suggest::nearest(&key.name, fields).is_some()) {
                self.found.borrow_mut().push(unknown_field(key, &self.path, fields));
            }
        }
        let access = Entries { entries: entries.iter(), value: None, known, parent: &self };
        visitor.visit_map(access).map_err(|failure: Failure| failure.at(self.node, &self.path))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Text(text) => visitor
                .visit_enum(Variant { name: text })
                .map_err(|failure| failure.at(self.node, &self.path)),
            _ => self.expected(&format!("one of {}", variants.join(", "))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'a, 'p> {
    items: std::slice::Iter<'a, Node>,
    index: usize,
    parent: &'p NodeDeserializer<'a>,
}

impl<'de, 'a: 'de> SeqAccess<'de> for Items<'a, '_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Some(node) = self.items.next() else {
            return Ok(None);
        };
        let path = self.parent.path.index(self.index);
        self.index += 1;
        match seed.deserialize(NodeDeserializer { node, path: path.clone(), found: self.parent.found }) {
            Ok(value) => Ok(Some(value)),
            Err(failure) => {
                // The list ends here, but what follows it in the document is still looked at.
                let failure = failure.at(node, &path);
                self.parent.found.borrow_mut().push(failure.error);
                Ok(None)
            }
        }
    }
}

struct Entries<'a, 'p> {
    entries: std::slice::Iter<'a, (Key, Node)>,
    value: Option<(&'a Key, &'a Node)>,
    /// Entries with other names are passed over: they have been reported.
    known: Option<&'static [&'static str]>,
    parent: &'p NodeDeserializer<'a>,
}

impl<'de, 'a: 'de> MapAccess<'de> for Entries<'a, '_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        for (key, node) in self.entries.by_ref() {
            if self.known.is_none_or(|known| known.contains(&key.name.as_str())) {
                self.value = Some((key, node));
                return seed.deserialize(StrDeserializer::<Failure>::new(&key.name)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((key, node)) = self.value.take() else {
            return Err(Failure::new("a value was asked for before its key".to_owned()));
        };
        let path = self.parent.path.field(&key.name);
        seed.deserialize(NodeDeserializer { node, path: path.clone(), found: self.parent.found })
            .map_err(|failure| failure.at(node, &path))
    }
}

struct Variant<'a> {
    name: &'a str,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        Ok((seed.deserialize(StrDeserializer::<Failure>::new(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Failure> {
        Err(Failure::new("this choice takes a value".to_owned()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Failure> {
        Err(Failure::new("this choice takes a value".to_owned()))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Failure> {
        Err(Failure::new("this choice takes a value".to_owned()))
    }
}
