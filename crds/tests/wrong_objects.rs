//! Each file of `wrong/` is refused by whom its first line says. What takes an API server (CEL) is only
//! checked to be a rule here; the scenarios on a cluster apply the files.
//!
//! First line: `# WHO: PATH: FRAGMENT`. WHO is `api-server` (kubectl apply fails and prints both), `operator`
//! (our validation finds it; a condition names path and message) or `condition` (PATH is a condition that is
//! True, FRAGMENT its reason). With several documents, the last is the wrong one.
#![cfg(feature = "kubernetes")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use crds::{QoeCollector, QoeDictionary, kubernetes, load, validate};
use serde_json::Value;

/// What is wrong on Kubernetes only.
const GOOD_ON_ONE_MACHINE: [&str; 1] = ["port-of-the-receiver"];

struct Wrong {
    name: String,
    who: String,
    path: String,
    fragment: String,
    documents: Vec<String>,
}

fn wrong() -> Vec<Wrong> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let parts: Vec<&str> = first.strip_prefix("# ").unwrap().splitn(3, ": ").collect();
        Wrong {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            who: parts[0].to_owned(),
            path: parts[1].to_owned(),
            fragment: parts[2].to_owned(),
            documents: rest.split("---\n").map(str::to_owned).collect(),
        }
    };
    files.iter().map(read).collect()
}

fn schema(object: &Value) -> Value {
    common::schema(&if object["kind"] == "QoeCollector" {
        kubernetes::collector_definition()
    } else {
        kubernetes::dictionary_definition()
    })
}

/// `spec.dpis[3].id` becomes `spec.dpis[].id`.
fn without_indices(path: &str) -> String {
    let parts: Vec<&str> = path.split('[').collect();
    let mut plain = parts[0].to_owned();
    for part in &parts[1..] {
        plain.push_str("[]");
        plain.push_str(part.split_once(']').unwrap().1);
    }
    plain
}

/// Path and message of every CEL rule below a schema.
fn rules(path: &str, schema: &Value, found: &mut Vec<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let at = format!("{path}{}", rule["fieldPath"].as_str().unwrap_or_default());
        found.push((at, rule["message"].as_str().unwrap().to_owned()));
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        rules(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, below, found);
    }
    if schema["items"].is_object() {
        rules(&format!("{path}[]"), &schema["items"], found);
    }
}

fn own_problems(object: &Value) -> Vec<String> {
    let problems = if object["kind"] == "QoeCollector" {
        validate::collector(&serde_json::from_value::<QoeCollector>(object.clone()).unwrap())
    } else {
        validate::dictionary(&serde_json::from_value::<QoeDictionary>(object.clone()).unwrap())
    };
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn each_is_refused_as_it_says() {
    let mut complaints = Vec::new();
    let all = wrong();
    assert!(all.len() >= 20);
    for wrong in &all {
        let objects: Vec<Value> =
            wrong.documents.iter().map(|text| serde_saphyr::from_str(text).unwrap()).collect();
        let (last, earlier) = objects.split_last().unwrap();
        let schema = schema(last);
        for object in earlier {
            let problems = common::problems(&schema, object);
            if !problems.is_empty() || !own_problems(object).is_empty() {
                complaints.push(format!("{}: an earlier document is wrong: {problems:?}", wrong.name));
            }
        }
        let by_schema = common::problems(&schema, last);
        let refused = match wrong.who.as_str() {
            "api-server" => {
                let mut by_rule = Vec::new();
                rules("", &schema, &mut by_rule);
                // The name is the one field that a rule cannot point to.
                let path = without_indices(&wrong.path).replace("metadata.name", "");
                by_schema
                    .iter()
                    .any(|found| found.starts_with(&wrong.path) && found.contains(&wrong.fragment))
                    || by_schema.is_empty()
                        && by_rule
                            .iter()
                            .any(|(at, message)| *at == path && message.contains(&wrong.fragment))
            }
            "operator" => {
                by_schema.is_empty()
                    && own_problems(last)
                        .iter()
                        .any(|found| found.starts_with(&wrong.path) && found.contains(&wrong.fragment))
            }
            "condition" => by_schema.is_empty() && own_problems(last).is_empty(),
            other => panic!("{}: {other} refuses nothing", wrong.name),
        };
        if !refused {
            complaints.push(format!("{}: {by_schema:?}, {:?}", wrong.name, last["spec"]));
        }
    }
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn what_the_api_server_refuses_is_refused_on_one_machine() {
    let mut accepted = Vec::new();
    for wrong in wrong() {
        let new_mistake = wrong.documents.len() == 1 && wrong.who != "condition";
        if new_mistake && load::documents(&wrong.documents[0], "wrong.yaml").is_ok() {
            accepted.push(wrong.name);
        }
    }
    assert_eq!(accepted, GOOD_ON_ONE_MACHINE);
}
