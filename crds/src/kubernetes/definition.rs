//! The two CustomResourceDefinitions, complete: schema, bounds, rules, printer columns.

use serde_json::{Map, Value, json};

use super::bounds::{self, Bound};
use super::rules::{self, Rule};
use super::schema;
use crate::collector::QoeCollectorSpec;
use crate::dictionary::QoeDictionarySpec;
use crate::status::{QoeCollectorStatus, QoeDictionaryStatus};

/// What is particular to one kind.
pub(super) struct Kind {
    pub name: &'static str,
    pub plural: &'static str,
    pub short: &'static str,
    pub description: &'static str,
    pub bounds: &'static [(&'static str, Bound)],
    pub rules: Vec<Rule>,
    pub columns: Value,
    pub spec: Value,
    pub status: Value,
}

/// The definition of QoeCollector.
pub fn collector_definition() -> Value {
    definition(&collector())
}

/// The definition of QoeDictionary.
pub fn dictionary_definition() -> Value {
    definition(&dictionary())
}

pub(super) fn collector() -> Kind {
    Kind {
        name: crate::collector::KIND,
        plural: "qoecollectors",
        short: "qoec",
        description: "Receives what DPIs send, stores it in ClickHouse, and keeps account of it.",
        bounds: bounds::COLLECTOR,
        rules: rules::collector(),
        columns: json!([
            condition("status", "Ready", 0),
            text("Receivers", ".status.receiversReady", "Receivers that are ready, of those wanted.", 0),
            text("Received", ".status.totals.received", "Records received.", 0),
            text("Stored", ".status.totals.stored", "Records that ClickHouse has acknowledged.", 0),
            text("Waiting", ".status.totals.waiting", "Records in the journals, not yet stored.", 0),
            text("Missing", ".status.totals.missing", "Records announced that never arrived.", 0),
            text("Version", ".status.version", "Version of the receivers.", 0),
            age(),
            text("Schema", ".status.schema.version", "Version of the schema in ClickHouse.", 1),
            condition("message", "Message", 1),
        ]),
        spec: schema::of::<QoeCollectorSpec>(),
        status: schema::of::<QoeCollectorStatus>(),
    }
}

pub(super) fn dictionary() -> Kind {
    Kind {
        name: crate::dictionary::KIND,
        plural: "qoedictionaries",
        short: "qoed",
        description: "Names and attributes for what records carry only as numbers and addresses.",
        bounds: bounds::DICTIONARY,
        rules: rules::dictionary(),
        columns: json!([
            text("Type", ".spec.type", "What the dictionary holds.", 0),
            condition("status", "Ready", 0),
            json!({ "name": "Rows", "type": "integer", "jsonPath": ".status.rows",
                "description": "Lines in use.", "priority": 0 }),
            text("Version", ".status.version", "Version of the contents in use.", 0),
            age(),
            condition("message", "Message", 1),
        ]),
        spec: schema::of::<QoeDictionarySpec>(),
        status: schema::of::<QoeDictionaryStatus>(),
    }
}

fn text(name: &str, path: &str, description: &str, priority: u8) -> Value {
    json!({ "name": name, "type": "string", "jsonPath": path, "description": description, "priority": priority })
}

/// A column that shows the `Ready` condition's status or message.
fn condition(field: &str, name: &str, priority: u8) -> Value {
    let path = format!(".status.conditions[?(@.type==\"Ready\")].{field}");
    text(name, &path, &format!("The {field} of the condition Ready."), priority)
}

fn age() -> Value {
    json!({ "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 0 })
}

impl Kind {
    /// The schema of the whole object, bounds and rules included, defaults still there.
    pub(super) fn schema(&self) -> Value {
        let mut whole = json!({
            "description": self.description,
            "type": "object",
            "required": ["spec"],
            "properties": { "spec": self.spec, "status": self.status },
        });
        schema::walk("", &mut whole, &mut |path, fields| {
            if let Some((_, bound)) = bounds::find([self.bounds, bounds::SHARED], path) {
                bound.apply(fields);
            }
            for rule in self.rules.iter().filter(|rule| rule.at == path) {
                add(fields, rule);
            }
        });
        whole
    }
}

fn add(fields: &mut Map<String, Value>, rule: &Rule) {
    let mut entry = json!({ "rule": rule.rule, "message": rule.message });
    if let (Some(field), Some(entry)) = (rule.field, entry.as_object_mut()) {
        entry.insert("fieldPath".to_owned(), Value::from(field));
    }
    let rules = fields.entry("x-kubernetes-validations").or_insert_with(|| Value::Array(Vec::new()));
    if let Some(rules) = rules.as_array_mut() {
        rules.push(entry);
    }
}

fn definition(kind: &Kind) -> Value {
    let mut schema = kind.schema();
    schema::without_defaults(&mut schema);
    sorted(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.qoeplane.io", kind.plural),
            "labels": { "app.kubernetes.io/part-of": "qoeplane" },
        },
        "spec": {
            "group": "qoeplane.io",
            "names": {
                "kind": kind.name,
                "listKind": format!("{}List", kind.name),
                "plural": kind.plural,
                "singular": kind.name.to_lowercase(),
                "shortNames": [kind.short],
                "categories": ["qoe"],
            },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "additionalPrinterColumns": kind.columns,
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    }))
}

/// With the fields of every object in alphabetical order, whatever order maps of JSON keep.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(fields.into_iter().map(|(name, value)| (name, sorted(value))).collect())
        }
        plain => plain,
    }
}
