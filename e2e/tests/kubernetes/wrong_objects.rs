//! Wrong objects: each is refused by the API server, or reported in a condition, with the field's path.

use std::fs;
use std::path::Path;

use e2e::cluster::{Scenario, wait_until};

use crate::support::{DEADLINE, condition, start_operator};

/// Every file of the crate's collection; its first line says who refuses it, and how.
pub fn each_is_refused_with_its_path(scenario: &Scenario) {
    let _operator = start_operator(scenario);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/tests/wrong");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "{} files", files.len());
    let mut failures = Vec::new();
    for file in files {
        if let Err(failure) = check(scenario, &file) {
            failures.push(format!("{}: {failure}", file.file_name().unwrap().display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn check(scenario: &Scenario, file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).unwrap();
    let expected = text.lines().next().unwrap().trim_start_matches("# ").to_string();
    let mut parts = expected.splitn(3, ": ");
    let (who, path, fragment) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    // As a person does it: the words of a server-side apply differ.
    let answer = scenario.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    if who == "api-server" {
        let error = answer.err().ok_or("it was accepted")?;
        let said = error.to_lowercase();
        let there = said.contains(&fragment.to_lowercase()) && said.contains(&path.to_lowercase());
        return if there { Ok(()) } else { Err(format!("{path} and {fragment:?} are not in: {error}")) };
    }
    answer?;
    let kind = if text.contains("kind: QoeDictionary") { "qoedictionary" } else { "qoecollector" };
    let name = text.lines().rev().find_map(|line| line.strip_prefix("  name: ")).unwrap();
    let found = wait_until(&format!("{name} to be stalled"), DEADLINE, || {
        let object = scenario.get(kind, name)?;
        let (status, reason, message) = condition(&object, "Stalled")?;
        if status == "True" { Ok((reason, message)) } else { Err(object["status"].to_string()) }
    });
    let good = match who {
        "condition" => found.0 == fragment,
        _ => found.1.contains(path) && found.1.contains(fragment),
    };
    if good { Ok(()) } else { Err(format!("{path} and {fragment:?} are not in: {found:?}")) }
}
