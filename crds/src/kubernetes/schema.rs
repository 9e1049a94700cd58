//! Turns the schema of a Rust type into what Kubernetes calls structural: one type per field, no references,
//! no null. Says nothing about bounds and rules, which are added afterwards.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// The structural schema of `T`. Fields keep serde's `default`, for the reference; see [`without_defaults`].
pub(super) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value();
    rewrite(&mut schema);
    schema
}

/// Takes all defaults away. The API server would write them into every object, where tools that compare
/// objects with files in Git see fields that nobody wrote. The descriptions name them instead.
pub(super) fn without_defaults(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    let words = match fields.remove("default") {
        Some(Value::String(text)) => Some(text),
        Some(number @ Value::Number(_)) => Some(number.to_string()),
        _ => None,
    };
    if let Some(words) = words {
        let own = fields.get("description").and_then(Value::as_str).unwrap_or_default();
        let text = format!("{own} Default: {words}.");
        fields.insert("description".to_owned(), Value::String(text.trim().to_owned()));
    }
    for child in children(fields) {
        without_defaults(child);
    }
}

fn rewrite(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    for unwanted in ["title", "$schema", "writeOnly", "readOnly"] {
        fields.remove(unwanted);
    }
    merge_optional(fields);
    merge_choices(fields);
    if let Some(Value::Array(types)) = fields.get("type") {
        let only = types.iter().find(|name| name.as_str() != Some("null")).cloned();
        if let Some(only) = only {
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = fields.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
        // Unknown fields are refused, or dropped with a warning, without this.
        fields.remove("additionalProperties");
    }
    if fields.get("default") == Some(&Value::Null) {
        fields.remove("default");
    }
    number_format(fields);
    if let Some(text) = fields.get("description").and_then(Value::as_str) {
        // A line break within a paragraph is the source's, not the reader's.
        let text = text.split("\n\n").map(|part| part.replace('\n', " ")).collect::<Vec<_>>().join("\n");
        fields.insert("description".to_owned(), Value::String(text));
    }
    for child in children(fields) {
        rewrite(child);
    }
}

/// `anyOf: [X, null]` becomes X; what was said about the field wins over what was said about X.
fn merge_optional(fields: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = fields.get("anyOf") else {
        return;
    };
    let is_null = |choice: &Value| choice.get("type").and_then(Value::as_str) == Some("null");
    if !choices.iter().any(is_null) {
        return;
    }
    let inner = choices.iter().find(|choice| !is_null(choice)).and_then(Value::as_object).cloned();
    fields.remove("anyOf");
    for (name, value) in inner.unwrap_or_default() {
        if !fields.contains_key(&name) {
            fields.insert(name, value);
        }
    }
}

/// `oneOf` constants becomes an `enum`; the descriptions of the choices join the field's.
fn merge_choices(fields: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = fields.remove("oneOf") else {
        return;
    };
    let mut names = Vec::new();
    let mut words = Vec::new();
    for choice in &choices {
        let Some(name) = choice.get("const").and_then(Value::as_str) else {
            for name in choice.get("enum").and_then(Value::as_array).into_iter().flatten() {
                names.push(name.clone());
            }
            continue;
        };
        names.push(Value::String(name.to_owned()));
        if let Some(text) = choice.get("description").and_then(Value::as_str)
            && !text.starts_with('`')
        {
            words.push(format!("{name}: {}", in_a_sentence(&text.replace('\n', " "))));
        }
    }
    fields.insert("type".to_owned(), Value::String("string".to_owned()));
    fields.insert("enum".to_owned(), Value::Array(names));
    if !words.is_empty() {
        let own = fields.get("description").and_then(Value::as_str).unwrap_or_default();
        let text = format!("{own}\n\n{}", words.join(" "));
        fields.insert("description".to_owned(), Value::String(text.trim().to_owned()));
    }
}

/// `They stay.` becomes `they stay.`, but `HTTP requests` stays as it is.
fn in_a_sentence(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// The API server knows `int32` and `int64` only, and warns about others.
fn number_format(fields: &mut Map<String, Value>) {
    let Some(format) = fields.get("format").and_then(Value::as_str).map(str::to_owned) else {
        return;
    };
    match format.as_str() {
        "uint8" | "uint16" => {
            fields.remove("format");
        }
        "uint32" | "uint64" => {
            fields.insert("format".to_owned(), Value::String("int64".to_owned()));
        }
        _ => {}
    }
    if format == "uint32" && !fields.contains_key("maximum") {
        fields.insert("maximum".to_owned(), Value::from(u32::MAX));
    }
    if let Some(maximum) = fields.get("maximum").and_then(Value::as_f64)
        && maximum.fract() == 0.0
        && let Some(whole) = whole(maximum)
    {
        fields.insert("maximum".to_owned(), Value::from(whole));
    }
}

fn whole(number: f64) -> Option<u64> {
    format!("{number:.0}").parse().ok()
}

/// The schemas directly below one: fields, elements, values.
pub(super) fn children(fields: &mut Map<String, Value>) -> Vec<&mut Value> {
    let mut found = Vec::new();
    for (name, value) in fields.iter_mut() {
        match (name.as_str(), value) {
            ("properties", Value::Object(properties)) => found.extend(properties.values_mut()),
            ("items" | "additionalProperties", value @ Value::Object(_)) => found.push(value),
            _ => {}
        }
    }
    found
}

/// Calls `look` for the schema and everything below it, with the way to it: `dpis[].streams[].name`,
/// `nodeSelector{}`.
pub(super) fn walk(path: &str, schema: &mut Value, look: &mut impl FnMut(&str, &mut Map<String, Value>)) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    look(path, fields);
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        for (name, child) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(&path, child, look);
        }
    }
    if let Some(items) = fields.get_mut("items") {
        walk(&format!("{path}[]"), items, look);
    }
    if let Some(values @ Value::Object(_)) = fields.get_mut("additionalProperties") {
        walk(&format!("{path}{{}}"), values, look);
    }
}
