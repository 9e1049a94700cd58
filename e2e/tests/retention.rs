//! `qoe up` and rows that would be deleted sooner than before: they stay until the file says that it is meant.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "cli/program.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod program;

use e2e::free_port;
use program::{Program, one_stream};

fn keep_for(fullflow: &str, natflow: &str) -> String {
    format!(
        "{}  tables: {{fullflow: {{keepFor: {fullflow}}}, natflow: {{keepFor: {natflow}}}}}\n",
        one_stream(free_port())
    )
}

/// Seconds after arrival when rows of a table are deleted.
fn seconds(program: &Program, table: &str) -> u64 {
    let statement = format!(
        "SELECT extract(engine_full, 'TTL toDateTime\\\\(received_at\\\\) \\\\+ toIntervalSecond\\\\((\\\\d+)\\\\)') \
         FROM system.tables WHERE database = 'qoestor' AND name = '{table}' FORMAT TSV"
    );
    let answer = program.run(&["query", &statement]);
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.out.trim().parse().unwrap()
}

#[test]
fn a_shorter_retention_waits_for_the_files_word() {
    let program = Program::new();
    program.up(&keep_for("24h", "24h")).stop();

    // One shorter, one longer: the longer is done at once.
    let shorter = keep_for("1h", "2d");
    let up = program.up(&shorter);
    assert_eq!((seconds(&program, "fullflow"), seconds(&program, "natflow")), (86_400, 172_800));
    let said: Vec<String> =
        up.err().lines().filter(|line| line.contains("keepFor")).map(str::to_owned).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    for words in [
        "collector.yaml: spec.tables.fullflow.keepFor: not yet",
        "after 1h, until now after 1d",
        "spec.approvals",
    ] {
        assert!(said[0].contains(words), "{words}: {}", said[0]);
    }
    let approval = said[0].split('"').find(|word| word.starts_with("sha256:")).unwrap().to_owned();
    up.stop();

    let other = "0".repeat(64);
    let up = program.up(&format!("{shorter}  approvals: [\"sha256:{other}\"]\n"));
    assert_eq!(seconds(&program, "fullflow"), 86_400);
    up.stop();

    let up = program.up(&format!("{shorter}  approvals: [\"{approval}\"]\n"));
    assert_eq!((seconds(&program, "fullflow"), seconds(&program, "natflow")), (3_600, 172_800));
    assert!(!up.err().contains("keepFor"), "{}", up.err());
    up.stop();
}
