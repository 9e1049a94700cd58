//! Golden files. Compared byte by byte as JSON, the form in which objects are sent.

use std::fmt::Write;

use serde::Serialize;

use crate::{built, golden_dir, input};

const INPUTS: [&str; 3] = ["contract", "exposures", "minimal"];

/// Versions of receivers that this operator can run.
fn versions() -> Vec<String> {
    let mut versions = Vec::new();
    for entry in std::fs::read_dir(golden_dir()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            versions.push(name);
        }
    }
    versions.sort();
    versions
}

pub(crate) fn compare(folder: &str, name: &str, content: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(golden_dir().join(folder));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name.to_owned(), content));
}

pub(crate) fn pretty(objects: &[impl Serialize]) -> String {
    let mut text = String::new();
    for object in objects {
        writeln!(text, "{}", serde_json::to_string_pretty(object).unwrap()).unwrap();
    }
    text
}

#[test]
fn receivers_of_each_version_keep_their_stateful_set() {
    assert!(versions().contains(&"0.2.0".to_owned()), "the first version's golden files are gone");
    for version in versions() {
        for name in INPUTS {
            let specs: Vec<_> = built(&input(name, &version))
                .receivers
                .into_iter()
                .map(|one| one.stateful_set.spec)
                .collect();
            assert!(!specs.is_empty() && specs.iter().all(Option::is_some));
            compare(&version, name, &pretty(&specs));
        }
    }
}

#[test]
fn the_other_objects_are_as_they_were() {
    for name in INPUTS {
        let mut text = String::new();
        let built = built(&input(name, "0.2.0"));
        for one in &built.receivers {
            text.push_str(&pretty(&[&one.config_map]));
            writeln!(text, "{}", one.config_map.data.as_ref().unwrap()["receiver.json"]).unwrap();
            text.push_str(&pretty(&[&one.service_account]));
            text.push_str(&pretty(&[&one.service]));
            text.push_str(&pretty(&[&one.disruption_budget]));
            text.push_str(&pretty(&[&one.stateful_set.metadata]));
        }
        for notice in &built.notices {
            writeln!(text, "notice: {notice}").unwrap();
        }
        compare("all", name, &text);
    }
}
