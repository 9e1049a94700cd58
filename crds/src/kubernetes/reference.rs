//! The reference of all fields, as a page of the documentation. It is made from the same schema that the
//! API server is given, so it cannot say anything else.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::definition::{self, Kind};

/// The page about QoeCollector.
pub fn collector_reference() -> String {
    page(&definition::collector())
}

/// The page about QoeDictionary.
pub fn dictionary_reference() -> String {
    page(&definition::dictionary())
}

fn page(kind: &Kind) -> String {
    let mut page = format!(
        "# {}\n\n<!-- Generated from the types; do not edit. -->\n\n{}\n\n\
         `apiVersion: qoeplane.io/v1alpha1`, `kind: {}`. With kubectl: `kubectl get {}` (short: `{}`), \
         `kubectl explain {}.spec`.\n\n\
         A duration is a whole number with one unit: `30s`, `10m`, `24h`, `30d`. A quantity is written as \
         Kubernetes does: `50Gi`, `2`, `500m`. The API server fills in no defaults: what is left out stays \
         out of the object, and the default below applies.\n",
        kind.name, kind.description, kind.name, kind.plural, kind.short, kind.plural,
    );
    let whole = kind.schema();
    section("", &whole, &mut page);
    page
}

/// The fields of an object that only names something, and needs no section of its own.
fn short_object(schema: &Value) -> Option<Vec<&str>> {
    let fields = schema.get("properties")?.as_object()?;
    let plain = |field: &Value| field.get("type").and_then(Value::as_str) == Some("string");
    let reference = fields.contains_key("name") && fields.len() <= 2 && fields.values().all(plain);
    reference.then(|| fields.keys().map(String::as_str).collect())
}

/// One object's fields as a table, its rules, then the objects below it.
fn section(path: &str, schema: &Value, page: &mut String) {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    if short_object(schema).is_some() {
        return;
    }
    if !path.is_empty() {
        let _ = write!(page, "\n## {path}\n\n{}\n", described(schema));
        if fields.is_empty() {
            page.push_str("\nNothing can be set here: write `{}`.\n");
        } else {
            page.push_str("\n| Field | Type | Default | Meaning |\n|---|---|---|---|\n");
        }
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !path.is_empty() {
        for (name, field) in sorted(fields) {
            let default = if required.contains(&name) { "required".to_owned() } else { default(field) };
            let meaning = described(field).replace('\n', "<br>").replace('|', "\\|");
            let _ = writeln!(page, "| `{name}` | {} | {default} | {meaning} |", type_words(field));
        }
    }
    rules(path, schema, page);
    for (name, field) in sorted(fields) {
        below(&if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }, field, page);
    }
}

/// Sections of what a field holds; its own rules if it is no object.
fn below(path: &str, field: &Value, page: &mut String) {
    section(path, field, page);
    if let Some(items) = field.get("items") {
        section(&format!("{path}[]"), items, page);
    }
}

fn rules(path: &str, schema: &Value, page: &mut String) {
    let mut lines = Vec::new();
    collect_rules("", schema, &mut lines);
    if lines.is_empty() {
        return;
    }
    page.push_str(if path.is_empty() {
        "\nThe API server refuses an object unless:\n\n"
    } else {
        "\nRules:\n\n"
    });
    for line in lines {
        let _ = writeln!(page, "- {line}");
    }
}

/// Rules of the object itself and of its fields that have no section of their own.
fn collect_rules(field: &str, schema: &Value, lines: &mut Vec<String>) {
    for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        let message = rule.get("message").and_then(Value::as_str).unwrap_or_default();
        let place = rule.get("fieldPath").and_then(Value::as_str).unwrap_or(field).trim_start_matches('.');
        lines.push(if place.is_empty() { message.to_owned() } else { format!("`{place}`: {message}") });
    }
    for (name, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if below.get("properties").is_none() {
            let place = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
            collect_rules(&place, below, lines);
            if let Some(items) = below.get("items").filter(|items| items.get("properties").is_none()) {
                collect_rules(&format!("{place}[]"), items, lines);
            }
        }
    }
}

fn sorted(fields: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let mut fields: Vec<(&str, &Value)> = fields.iter().map(|(name, field)| (name.as_str(), field)).collect();
    fields.sort_by_key(|(name, _)| *name);
    fields
}

fn described(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

/// Defaults that are values; those of whole objects say nothing.
fn default(field: &Value) -> String {
    match field.get("default") {
        Some(Value::String(text)) => format!("`{text}`"),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => format!("`{value}`"),
        _ => String::new(),
    }
}

fn number(schema: &Value, name: &str) -> Option<u64> {
    schema.get(name).and_then(Value::as_u64)
}

/// The type in words, with its bounds.
fn type_words(field: &Value) -> String {
    if field.get("x-kubernetes-int-or-string").is_some() {
        return "quantity".to_owned();
    }
    if let Some(choices) = field.get("enum").and_then(Value::as_array) {
        let names: Vec<String> =
            choices.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")).collect();
        return names.join(", ");
    }
    match field.get("type").and_then(Value::as_str).unwrap_or_default() {
        "string" => text_words(field),
        "integer" => match (number(field, "minimum"), number(field, "maximum")) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            _ => "number".to_owned(),
        },
        "boolean" => "`true`, `false`".to_owned(),
        "array" => list_words(field),
        "object" => match field.get("additionalProperties") {
            Some(values) => {
                let most = number(field, "maxProperties").unwrap_or_default();
                format!("map, at most {most} entries; values: {}", type_words(values))
            }
            None => match short_object(field) {
                Some(names) => format!("`{{{}}}`", names.join(", ")),
                None => "object".to_owned(),
            },
        },
        other => other.to_owned(),
    }
}

fn text_words(field: &Value) -> String {
    let pattern = field.get("pattern").and_then(Value::as_str);
    match pattern {
        _ if field.get("format").and_then(Value::as_str) == Some("date-time") => "time".to_owned(),
        Some(pattern) if pattern.ends_with("(s|m|h|d)$") => "duration".to_owned(),
        Some(pattern) if pattern.starts_with("^(0s|") => "duration or `0s`".to_owned(),
        _ => {
            let most = number(field, "maxLength").unwrap_or_default();
            match pattern {
                Some(pattern) => {
                    format!("text, at most {most} characters, `{}`", pattern.replace('|', "\\|"))
                }
                None => format!("text, at most {most} characters"),
            }
        }
    }
}

fn list_words(field: &Value) -> String {
    let least = number(field, "minItems").unwrap_or_default();
    let most = number(field, "maxItems").unwrap_or_default();
    let items = field.get("items").map(type_words).unwrap_or_default();
    let keys: Vec<&str> = field
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let kind = match field.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("map") => format!(", told apart by `{}`", keys.join("`, `")),
        Some("set") => ", all different".to_owned(),
        _ => String::new(),
    };
    format!("list, {least} to {most}{kind}; each: {items}")
}
