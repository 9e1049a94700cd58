//! Rules for one dictionary, and for all dictionaries of one file.

use std::collections::HashSet;

use super::{FieldPath, Problem, Problems, names, words};
use crate::dictionary::QoeDictionary;

/// All that is wrong with one dictionary.
pub fn dictionary(dictionary: &QoeDictionary) -> Vec<Problem> {
    let mut problems = Problems::default();
    let root = FieldPath::root();
    names::object_name(root.field("metadata").field("name"), &dictionary.metadata.name, &mut problems);

    let source = &dictionary.spec.source;
    let path = root.field("spec").field("source");
    let given = source.given();
    match given.as_slice() {
        [_] => {}
        [] => problems.add(path.clone(), format!("{}, got none", words::ONE_SOURCE)),
        several => {
            let message = format!("{}, got {}", words::ONE_SOURCE, several.join(" and "));
            problems.add(path.clone(), message);
        }
    }
    if let Some(http) = &source.http {
        names::http_url(path.field("http").field("url"), &http.url, &mut problems);
    }
    if let Some(file) = &source.file
        && file.is_empty()
    {
        problems.add(path.field("file"), "expected the path of a file, got nothing");
    }
    if let Some(table) = &source.table {
        names::identifier(path.field("table").field("name"), &table.name, &mut problems);
        if let Some(database) = &table.database {
            names::identifier(path.field("table").field("database"), database, &mut problems);
        }
    }
    let dpis = dictionary.spec.dpis.iter().flatten();
    let mut seen = HashSet::new();
    for (index, id) in dpis.enumerate() {
        if !seen.insert(*id) {
            problems.add(root.field("spec").field("dpis").index(index), format!("DPI {id} is listed twice"));
        }
    }
    problems.0
}

/// What is wrong between the dictionaries of one file; with the index of the one to blame.
pub fn dictionaries_of_one_file(dictionaries: &[QoeDictionary]) -> Vec<(usize, Problem)> {
    let mut problems = Vec::new();
    let mut seen = HashSet::new();
    for (index, dictionary) in dictionaries.iter().enumerate() {
        let metadata = &dictionary.metadata;
        if !seen.insert((metadata.namespace.as_deref(), metadata.name.as_str())) {
            let path = FieldPath::root().field("metadata").field("name");
            let message = format!("a dictionary named {} was given before", names::short(&metadata.name));
            problems.push((index, Problem { path, message }));
        }
    }
    problems
}
