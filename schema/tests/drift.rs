//! Generated files in the repository are what the declarations generate. `QOE_UPDATE=1` writes them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::path::Path;

use schema::{dictionary_versions, ledger, reference, streams};

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
            "{} differs from the declaration (line {:?}); run QOE_UPDATE=1 cargo test -p schema --test drift",
            path.display(),
            first.map(|line| line + 1),
        );
    }
}

#[test]
fn the_reference_of_each_stream() {
    for stream in streams() {
        check(&format!("docs/reference/{}.md", stream.name), &reference::stream_markdown(stream));
    }
}

#[test]
fn the_reference_of_dictionaries() {
    check("docs/reference/dictionaries.md", &reference::dictionaries_markdown());
    let versions = dictionary_versions("qoestor");
    check("docs/reference/dictionary_versions.md", &reference::table_markdown(&versions));
}

#[test]
fn the_reference_of_aggregates() {
    check("docs/reference/aggregates.md", &reference::aggregates_markdown());
}

#[test]
fn the_reference_of_the_ledger() {
    check("docs/reference/ledger.md", &reference::table_markdown(&ledger("qoestor", None)));
}

/// The DDL of versions that are released: migrations begin with it, so it stays as it is.
const RELEASED: [&str; 4] = ["0.1.0", "0.2.0", "0.3.0", "0.4.0"];

#[test]
fn the_ddl_of_this_version() {
    if RELEASED.contains(&env!("CARGO_PKG_VERSION")) {
        return;
    }
    let path = format!("schema/fixtures/{}/schema.sql", env!("CARGO_PKG_VERSION"));
    check(&path, &reference::schema_sql());
}
