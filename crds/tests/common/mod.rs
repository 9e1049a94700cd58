//! Checks a value against the part of JSON schema that our definitions use, in the words of the API server.
//! CEL rules are not evaluated: only a real API server does.

use regex::Regex;
use serde_json::{Map, Value};

/// The whole object's schema of a definition.
pub fn schema(definition: &Value) -> Value {
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// All that is wrong with the spec (or status) of an object, each with its path.
pub fn problems(schema: &Value, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for part in ["spec", "status"] {
        if let Some(value) = object.get(part) {
            check(part, &schema["properties"][part], value, &mut found);
        }
    }
    found
}

fn check(path: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
    let kind = schema["type"].as_str();
    let fits = match kind {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some(other) => panic!("{path}: unknown type {other}"),
        None => {
            assert_eq!(schema["x-kubernetes-int-or-string"], true, "{path} has no type");
            value.is_i64() || value.is_u64() || value.is_string()
        }
    };
    if !fits {
        found.push(format!("{path}: must be of type {}", kind.unwrap_or("integer or string")));
        return;
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        found.push(format!("{path}: supported values: {choices:?}"));
    }
    match value {
        Value::Object(fields) => check_object(path, schema, fields, found),
        Value::Array(items) => check_list(path, schema, items, found),
        Value::String(text) => check_text(path, schema, text, found),
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            for (bound, wrong, words) in [
                ("minimum", schema["minimum"].as_f64().is_some_and(|least| number < least), "greater"),
                ("maximum", schema["maximum"].as_f64().is_some_and(|most| number > most), "less"),
            ] {
                if wrong {
                    found.push(format!("{path}: should be {words} than or equal to {}", schema[bound]));
                }
            }
        }
        _ => {}
    }
}

fn check_object(path: &str, schema: &Value, fields: &Map<String, Value>, found: &mut Vec<String>) {
    for required in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(required.as_str().unwrap()) {
            found.push(format!("{path}.{}: Required value", required.as_str().unwrap()));
        }
    }
    if over(schema, "maxProperties", fields.len()) {
        found.push(format!("{path}: Too many: {}", fields.len()));
    }
    for (name, value) in fields {
        let below = format!("{path}.{name}");
        if let Some(schema) = schema["properties"].get(name) {
            check(&below, schema, value, found);
        } else if schema["additionalProperties"].is_object() {
            check(&below, &schema["additionalProperties"], value, found);
        } else {
            found.push(format!("{below}: unknown field"));
        }
    }
}

fn check_list(path: &str, schema: &Value, items: &[Value], found: &mut Vec<String>) {
    if over(schema, "maxItems", items.len()) {
        found.push(format!("{path}: Too many: {}", items.len()));
    }
    if let Some(least) = schema["minItems"].as_u64()
        && (items.len() as u64) < least
    {
        found.push(format!("{path}: should have at least {least} items"));
    }
    let kind = schema["x-kubernetes-list-type"].as_str().unwrap_or_else(|| panic!("{path} has no list type"));
    let mut seen = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let key = match kind {
            "map" => schema["x-kubernetes-list-map-keys"]
                .as_array()
                .unwrap()
                .iter()
                .map(|key| item[key.as_str().unwrap()].clone())
                .collect(),
            _ => vec![item.clone()],
        };
        if kind != "atomic" && seen.contains(&key) {
            found.push(format!("{path}[{index}]: Duplicate value"));
        }
        seen.push(key);
        check(&format!("{path}[{index}]"), &schema["items"], item, found);
    }
}

fn check_text(path: &str, schema: &Value, text: &str, found: &mut Vec<String>) {
    if over(schema, "maxLength", text.chars().count()) {
        found.push(format!("{path}: Too long"));
    }
    if schema["minLength"].as_u64().is_some_and(|least| (text.len() as u64) < least) {
        found.push(format!("{path}: should be at least {} chars long", schema["minLength"]));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && !Regex::new(pattern).unwrap().is_match(text)
    {
        found.push(format!("{path}: should match '{pattern}'"));
    }
}

fn over(schema: &Value, name: &str, length: usize) -> bool {
    schema[name].as_u64().is_some_and(|most| length as u64 > most)
}
