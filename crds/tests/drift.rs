//! Generated files in the repository are what the types generate. `QOE_UPDATE=1` writes them.
#![cfg(feature = "kubernetes")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;

use crds::kubernetes;
use serde_json::Value;

/// A client-side apply keeps the whole object in an annotation, which may not be larger.
const MAX_BYTES: usize = 256 * 1024;

fn check(path: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("QOE_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found != expected {
        let first = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
        panic!(
            "{} differs from the types (line {:?}); run QOE_UPDATE=1 cargo test -p crds --features kubernetes \
             --test drift",
            path.display(),
            first.map(|line| line + 1),
        );
    }
}

fn yaml(definition: &Value) -> String {
    let text = format!(
        "# Generated from the types in crds/; do not edit.\n{}",
        serde_saphyr::to_string(definition).unwrap()
    );
    let read: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(&read, definition, "the YAML does not say what it was made from");
    assert!(text.len() < MAX_BYTES, "{} bytes", text.len());
    assert!(!text.contains("app.kubernetes.io/instance"), "Argo CD would take it for its own");
    text
}

#[test]
fn the_definition_of_collectors() {
    let definition = kubernetes::collector_definition();
    check("crds/manifests/qoecollectors.qoeplane.io.yaml", &yaml(&definition));
}

#[test]
fn the_definition_of_dictionaries() {
    let definition = kubernetes::dictionary_definition();
    check("crds/manifests/qoedictionaries.qoeplane.io.yaml", &yaml(&definition));
}

#[test]
fn the_reference_of_both() {
    check("docs/reference/collector.md", &kubernetes::collector_reference());
    check("docs/reference/dictionary.md", &kubernetes::dictionary_reference());
}

#[test]
fn words_that_yaml_misreads_are_quoted() {
    for text in
        ["on", "off", "yes", "no", "y", "n", "1_000", "~", "null", "1e3", "0x10", "01", "2026-11-21", "1:30"]
    {
        let written = serde_saphyr::to_string(&serde_json::json!({ "text": text })).unwrap();
        assert!(written.contains('"') || written.contains('\''), "{written}");
    }
}
