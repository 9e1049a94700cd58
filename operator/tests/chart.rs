//! Copies and renderings of the chart are those of what is committed. Helm itself is not needed here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::{Path, PathBuf};

use crds::receiver::hash_of;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn chart_and_manifests_have_the_generated_crds() {
    let mut files = 0;
    for entry in std::fs::read_dir(root().join("crds/manifests")).unwrap() {
        let file = entry.unwrap();
        files += 1;
        for copies in ["charts/qoeplane/files/crds", "manifests/crds"] {
            let copy = root().join(copies).join(file.file_name());
            assert!(
                read(&copy) == read(&file.path()),
                "{} is not up to date: run scripts/render-manifests",
                copy.display()
            );
        }
    }
    assert_eq!(files, 2);
    let chart = std::fs::read_dir(root().join("charts/qoeplane/files/crds")).unwrap().count();
    assert_eq!(chart, files, "the chart has a definition too many");
    // Where the template puts its annotation.
    let copy = read(&root().join("charts/qoeplane/files/crds/qoecollectors.qoeplane.io.yaml"));
    let text = String::from_utf8(copy).unwrap();
    assert_eq!(text.matches("\nmetadata:\n  labels:\n").count(), 1);
    assert_eq!(text.matches("\nmetadata:\n").count(), 1);
}

/// The same as the end of scripts/render-manifests computes.
#[test]
fn manifests_are_rendered_from_this_chart() {
    let chart = root().join("charts/qoeplane");
    let mut files = Vec::new();
    let mut directories = vec![chart.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.push(format!("./{}", path.strip_prefix(&chart).unwrap().to_str().unwrap()));
            }
        }
    }
    files.sort();
    let mut lines = String::new();
    for file in files {
        let hash = hash_of(&read(&chart.join(&file)));
        lines.push_str(&format!("{}  {file}\n", hash.strip_prefix("sha256:").unwrap()));
    }
    let rendered_from = String::from_utf8(read(&root().join("manifests/chart.sha256"))).unwrap();
    assert_eq!(
        format!("sha256:{}", rendered_from.trim()),
        hash_of(lines.as_bytes()),
        "the chart has changed since manifests/ was rendered: run scripts/render-manifests"
    );
}

/// `version`, `appVersion` and the image's tag are one.
#[test]
fn the_chart_has_the_version_of_the_release() {
    let chart = String::from_utf8(read(&root().join("charts/qoeplane/Chart.yaml"))).unwrap();
    for field in ["version", "appVersion"] {
        let line = format!("\n{field}: {}\n", env!("CARGO_PKG_VERSION"));
        assert!(chart.contains(&line), "Chart.yaml has another {field} than {}", env!("CARGO_PKG_VERSION"));
    }
}

fn leaves(path: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object().filter(|_| path != "resources") else {
        found.push(path.to_owned());
        return;
    };
    for (name, schema) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        leaves(&path, schema, found);
    }
}

#[test]
fn every_value_is_documented() {
    let schema: serde_json::Value =
        serde_json::from_slice(&read(&root().join("charts/qoeplane/values.schema.json"))).unwrap();
    let page = String::from_utf8(read(&root().join("docs/reference/chart.md"))).unwrap();
    let mut values = Vec::new();
    leaves("", &schema, &mut values);
    assert!(values.len() > 30, "{values:?}");
    // Helm's own, for charts of charts.
    for value in values.iter().filter(|value| *value != "global") {
        assert!(page.contains(&format!("`{value}`")), "docs/reference/chart.md does not mention {value}");
    }
}
