//! ConfigMaps and Secrets as documents of a file, for one machine: what a reference finds there. On Kubernetes
//! the API server has them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::collector::Metadata;

/// A Kubernetes ConfigMap or Secret, `apiVersion: v1`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyValues {
    /// Always `v1`.
    pub api_version: String,
    /// `ConfigMap` or `Secret`.
    pub kind: String,
    /// Its name.
    pub metadata: Metadata,
    /// Values; in a Secret as base64.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    /// Values of a Secret as they are.
    #[serde(default)]
    pub string_data: BTreeMap<String, String>,
}

/// A value may be a password: names only.
impl fmt::Debug for KeyValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.data.keys().chain(self.string_data.keys()).collect();
        write!(f, "{} {} {keys:?}", self.kind, self.metadata.name)
    }
}

/// The kind of a document that holds values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValuesKind {
    /// Plain ones.
    ConfigMap,
    /// Secret ones.
    Secret,
}

impl ValuesKind {
    /// The name in YAML.
    pub fn as_str(self) -> &'static str {
        match self {
            ValuesKind::ConfigMap => "ConfigMap",
            ValuesKind::Secret => "Secret",
        }
    }
}

/// All values of the object of this kind and name among `documents`.
///
/// # Errors
/// There is none, or a value of a Secret is not base64; for a person.
pub fn values(
    documents: &[KeyValues],
    kind: ValuesKind,
    name: &str,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let found = documents.iter().find(|found| found.kind == kind.as_str() && found.metadata.name == name);
    let Some(found) = found else {
        return Err(format!("{} {name} is not in this file: add it as a document", kind.as_str()));
    };
    let mut values = BTreeMap::new();
    for (key, text) in &found.data {
        let value = match kind {
            ValuesKind::ConfigMap => text.clone().into_bytes(),
            ValuesKind::Secret => {
                let packed: String = text.split_whitespace().collect();
                STANDARD.decode(packed).map_err(|_| {
                    format!("Secret {name}, data.{key}: not base64: put plain values under stringData")
                })?
            }
        };
        values.insert(key.clone(), value);
    }
    values.extend(found.string_data.iter().map(|(key, text)| (key.clone(), text.clone().into_bytes())));
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(data: &str) -> KeyValues {
        KeyValues {
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            metadata: Metadata { name: "s".to_owned(), ..Metadata::default() },
            data: [("password".to_owned(), data.to_owned())].into(),
            string_data: [("user".to_owned(), "qoe".to_owned())].into(),
        }
    }

    #[test]
    fn values_of_a_secret_are_unpacked_and_never_shown() {
        let documents = [secret("c2Vj\ncmV0")];
        let found = values(&documents, ValuesKind::Secret, "s").unwrap();
        assert_eq!(found["password"], b"secret");
        assert_eq!(found["user"], b"qoe");
        assert!(!format!("{documents:?}").contains("c2Vj"));
        let wrong = values(&[secret("not base64!")], ValuesKind::Secret, "s").unwrap_err();
        assert!(wrong.contains("stringData"), "{wrong}");
        let other = values(&documents, ValuesKind::ConfigMap, "s").unwrap_err();
        assert!(other.contains("ConfigMap s is not in this file"), "{other}");
    }
}
