//! The schemas are complete and bounded, accept what we accept, and lose nothing.
#![cfg(feature = "kubernetes")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::LazyLock;

use crds::kubernetes::{self, Collector, Dictionary};
use crds::{QoeCollector, QoeDictionary, validate};
use proptest::prelude::*;
use serde_json::{Value, json};

static SCHEMAS: LazyLock<[(&str, Value); 2]> = LazyLock::new(|| {
    [
        ("QoeCollector", common::schema(&kubernetes::collector_definition())),
        ("QoeDictionary", common::schema(&kubernetes::dictionary_definition())),
    ]
});

/// Calls `look` for every schema in a schema, with its path.
fn walk(path: &str, schema: &Value, look: &mut impl FnMut(&str, &Value)) {
    look(path, schema);
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), below, look);
    }
    for (suffix, below) in [("[]", &schema["items"]), ("{}", &schema["additionalProperties"])] {
        if below.is_object() {
            walk(&format!("{path}{suffix}"), below, look);
        }
    }
}

#[test]
fn every_field_is_described_and_bounded() {
    let mut wrong = Vec::new();
    for (kind, schema) in SCHEMAS.iter() {
        let mut fields = 0;
        walk(kind, schema, &mut |path, schema| {
            fields += 1;
            let has = |name: &str| schema.get(name).is_some();
            let is_element = path.ends_with("[]") || path.ends_with("{}");
            if !is_element && schema["description"].as_str().is_none_or(|text| text.trim().is_empty()) {
                wrong.push(format!("{path} has no description"));
            }
            let bounded = match schema["type"].as_str() {
                Some("string") => has("maxLength") || has("enum") || schema["format"] == "date-time",
                Some("array") => has("maxItems") && has("x-kubernetes-list-type"),
                Some("object") => !has("additionalProperties") || has("maxProperties"),
                Some("integer" | "boolean") => true,
                _ => has("x-kubernetes-int-or-string"),
            };
            if !bounded {
                wrong.push(format!("{path} has no bound"));
            }
            for unwanted in ["default", "nullable", "$ref", "oneOf", "title"] {
                if has(unwanted) {
                    wrong.push(format!("{path} has {unwanted}"));
                }
            }
            if let Some(format) = schema["format"].as_str()
                && !["int32", "int64", "date-time"].contains(&format)
            {
                wrong.push(format!("{path} has the format {format}, which the API server does not know"));
            }
            for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
                if !schema["items"]["required"].as_array().unwrap().contains(key) {
                    wrong.push(format!("{path}: {key} is a key and not required"));
                }
            }
        });
        assert!(fields > 30, "{kind}: {fields}");
    }
    assert_eq!(wrong, Vec::<String>::new());
}

fn documents(file: &str) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

fn problems(object: &Value) -> Vec<String> {
    let kind = object["kind"].as_str().unwrap();
    common::problems(&SCHEMAS.iter().find(|(name, _)| *name == kind).unwrap().1, object)
}

#[test]
fn the_examples_are_accepted_and_unknown_fields_are_not() {
    for file in ["kubernetes.yaml", "minimal.yaml", "standalone.yaml"] {
        for mut document in documents(file) {
            assert_eq!(problems(&document), Vec::<String>::new(), "{file}");
            document["spec"]["typo"] = json!(1);
            assert_eq!(problems(&document), ["spec.typo: unknown field"]);
        }
    }
}

#[test]
fn the_largest_collector_is_accepted() {
    let stream = |port: u16| json!({ "name": format!("s{port}"), "type": "Fullflow", "port": port });
    let streams: Vec<Value> = (1_500..1_508).map(stream).collect();
    let dpis: Vec<Value> = (0..64).map(|id| json!({ "id": id, "streams": streams })).collect();
    let mut document = documents("minimal.yaml").remove(0);
    document["spec"]["dpis"] = Value::Array(dpis);
    assert_eq!(problems(&document), Vec::<String>::new());
}

/// A value with every field that the schema knows, none of them at its default.
fn filled(path: &str, schema: &Value) -> Value {
    if let Some(choices) = schema["enum"].as_array() {
        return choices.last().unwrap().clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let mut object = serde_json::Map::new();
            for (name, below) in schema["properties"].as_object().into_iter().flatten() {
                object.insert(name.clone(), filled(&format!("{path}.{name}"), below));
            }
            if schema["additionalProperties"].is_object() {
                object.insert("key".to_owned(), filled(path, &schema["additionalProperties"]));
            }
            Value::Object(object)
        }
        Some("array") => json!([filled(path, &schema["items"])]),
        Some("boolean") => json!(true),
        Some("integer") => json!(7),
        Some("string") => {
            let samples =
                ["a1", "1h", "1.2.3", "sha256:ab12", "http://example.org:8123/x", "2026-11-21T10:00:00Z"];
            let time = schema["format"] == "date-time";
            let pattern = regex::Regex::new(schema["pattern"].as_str().unwrap_or("")).unwrap();
            let fits = |sample: &&&str| if time { sample.ends_with('Z') } else { pattern.is_match(sample) };
            json!(samples.iter().find(fits).unwrap_or_else(|| panic!("no sample for {path}")))
        }
        _ => json!("1500Mi"),
    }
}

#[test]
fn a_filled_object_is_accepted_read_and_written_without_loss() {
    for (kind, schema) in SCHEMAS.iter() {
        let mut object = filled("", schema);
        object["apiVersion"] = json!(crds::API_VERSION);
        object["kind"] = json!(kind);
        object["metadata"] = json!({ "name": "main", "namespace": "qoe" });
        assert_eq!(problems(&object), Vec::<String>::new(), "{kind}");
        let written = if *kind == "QoeCollector" {
            let read: Collector = serde_json::from_value(object.clone()).unwrap();
            let file = QoeCollector::from(&read);
            assert_eq!(
                (file.metadata.name.as_str(), file.metadata.namespace.as_deref()),
                ("main", Some("qoe"))
            );
            assert_eq!(serde_json::to_value(&file).unwrap()["spec"], object["spec"]);
            serde_json::to_value(&read).unwrap()
        } else {
            let read: Dictionary = serde_json::from_value(object.clone()).unwrap();
            assert_eq!(serde_json::to_value(QoeDictionary::from(&read)).unwrap()["spec"], object["spec"]);
            serde_json::to_value(&read).unwrap()
        };
        assert_eq!(written, object, "{kind}");
    }
}

/// Fields that both the schema and our own reading judge by their text.
const JUDGED: [&str; 13] = [
    "/spec/version",
    "/spec/timeZone",
    "/spec/approvals/0",
    "/spec/nodes/cpuFeatures/0",
    "/spec/clickhouse/database",
    "/spec/clickhouse/external/endpoints/0",
    "/spec/elements/0/column",
    "/spec/dpis/0/streams/0/name",
    "/spec/dpis/0/streams/0/export/targets/0/name",
    "/spec/dpis/0/streams/0/export/targets/0/host",
    "/spec/tables/natflow/keepFor",
    "/spec/dpis/0/receiver/tuning/segmentDelay",
    "/spec/dpis/0/receiver/journal/size",
];

fn judged() -> Value {
    json!({
        "apiVersion": crds::API_VERSION, "kind": "QoeCollector", "metadata": { "name": "main" },
        "spec": {
            "version": "1.2.3", "timeZone": "UTC", "approvals": ["sha256:ab"], "nodes": { "cpuFeatures": ["AVX2"] },
            "dpis": [{ "id": 0, "receiver": { "tuning": { "segmentDelay": "0s" }, "journal": { "size": "1Gi" } },
                "streams": [{ "name": "a", "type": "Fullflow", "port": 1500,
                    "export": { "targets": [{ "name": "a", "host": "a", "port": 1 }] } }] }],
            "clickhouse": { "database": "a",
                "external": { "endpoints": ["http://a"], "credentialsSecretRef": { "name": "a" } } },
            "elements": [{ "stream": "GTPFlow", "id": 1, "pen": 1, "name": "a", "type": "String", "column": "a" }],
            "tables": { "natflow": { "keepFor": "1d" } },
        },
    })
}

/// Whether our own reading takes the object, but for rules that only CEL knows to the API server.
fn taken(object: &Value) -> bool {
    let Ok(collector) = serde_json::from_value::<QoeCollector>(object.clone()) else {
        return false;
    };
    let elsewhere = |message: &str| message.contains("16Mi") || message.contains("column");
    validate::collector(&collector).iter().all(|problem| elsewhere(&problem.message))
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,3}",
        "[0-9]{0,7}",
        Just("http://".to_owned()),
        Just("sha256:".to_owned()),
        "[0-9]{1,2}[.][0-9]{1,6}[.]?",
        "[a-z]{1,3}",
        "[smhdkKMGTPi]{1,2}",
        "[-._/A-Z]{1,2}",
        "a{30,70}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn schema_and_reader_judge_alike(
        field in 0..JUDGED.len(),
        text in proptest::collection::vec(piece(), 0..4),
    ) {
        let mut object = judged();
        *object.pointer_mut(JUDGED[field]).unwrap() = json!(text.concat());
        let schema = problems(&object);
        prop_assert_eq!(schema.is_empty(), taken(&object), "{} = {:?}: {:?}", JUDGED[field], text.concat(), schema);
    }
}

#[test]
fn what_is_judged_is_good_to_begin_with() {
    assert!(taken(&judged()) && problems(&judged()).is_empty());
}
