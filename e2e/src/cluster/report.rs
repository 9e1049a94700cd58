//! What is shown of a scenario that failed: events, objects, ends of logs. Never fails itself.

use std::fmt::Write;

use super::{Scenario, daemon};

/// The state of the scenario's namespace, as text.
pub(super) fn of(scenario: &Scenario) -> String {
    let mut text = String::new();
    for arguments in [
        &["get", "all,configmaps,persistentvolumeclaims", "-o", "wide"] as &[&str],
        &["get", "qoecollectors,qoedictionaries", "-o", "yaml"],
        &["get", "events", "--sort-by=.lastTimestamp"],
    ] {
        let answer = scenario.kubectl(arguments).unwrap_or_else(|error| error);
        let _ = writeln!(text, "--- kubectl {}\n{}", arguments.join(" "), answer.trim_end());
    }
    for pod in scenario.list("pods", "").unwrap_or_default() {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        for previous in ["false", "true"] {
            let previous = format!("--previous={previous}");
            if let Ok(log) = scenario.kubectl(&["logs", name, "--all-containers", "--tail=30", &previous]) {
                let _ = writeln!(text, "--- log of {name} {previous}\n{}", log.trim_end());
            }
        }
    }
    let logs = scenario.cluster.directory().join("logs");
    let mut operators: Vec<_> = std::fs::read_dir(logs)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("operator-")))
        .collect();
    operators.sort();
    for path in operators {
        let tail = daemon::tail(&path, 400);
        // Each operator serves one namespace, which it names, but not when it ends.
        let ours: Vec<&str> = tail.lines().filter(|line| line.contains(&scenario.namespace)).collect();
        let _ =
            writeln!(text, "--- {}\n{}\n...\n{}", path.display(), ours.join("\n"), daemon::tail(&path, 5));
    }
    text
}
