//! Rows that ClickHouse refuses are set aside, and only they; a table that is not as it should be is
//! waited for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::process::{Command, Output};
use std::time::Duration;

use e2e::{
    Sent, Simulator, System, SystemOptions, assert_balanced, assert_stored_exactly, qoe_binary, wait_for,
};

const LONG: Duration = Duration::from_secs(600);

#[test]
fn only_the_guilty_rows_are_set_aside() {
    let system = System::start(&SystemOptions::default());
    // Session ids of a run begin at a number that its seed decides.
    let first = ((61u64 << 40) + 1).to_string();
    let guilty = "(0, 1, 7777, 20000, 29999)";
    system.query(&format!(
        "ALTER TABLE qoestor.fullflow ADD CONSTRAINT bad CHECK session_id - {first} NOT IN {guilty}"
    ));
    let sent = simulate(&system, "30000", "61");
    assert_eq!(sent.first_session_id.to_string(), first);
    let status = system.wait_until_stored(0);
    assert_balanced(&status);
    assert_eq!(status.destination.set_aside, 5);
    assert_eq!(status.destination.stored, sent.records - 5);
    let stored = system.stored(0);
    assert_eq!((stored.rows, stored.distinct), (sent.records - 5, sent.records - 5));
    let refused =
        format!("SELECT count() FROM qoestor.fullflow WHERE session_id - {first} IN {guilty} AND dpi_id = 0");
    assert_eq!(system.number(&refused), 0);

    // Innocent records still pass beside it.
    let later = simulate(&system, "10000", "62");
    let status = system.wait_until_stored(0);
    assert_eq!(status.destination.set_aside, 5);
    assert_eq!(system.stored(0).rows, sent.records + later.records - 5);

    let listed = journal(&system, "ls");
    let text = String::from_utf8_lossy(&listed.stdout);
    let pieces: Vec<_> = text.lines().filter(|line| line.contains("set aside: ")).collect();
    assert_eq!(pieces.len(), 5, "{text}");
    for piece in pieces {
        assert!(piece.contains("set aside: 1 rows for fullflow") && piece.contains("bad"), "{piece}");
    }
    // As long as the cause is there, sending them again changes nothing and says so.
    let refused_again = journal(&system, "retry");
    assert!(!refused_again.status.success());
    assert!(String::from_utf8_lossy(&refused_again.stdout).contains("0 rows stored, 5 still set aside"));

    system.query("ALTER TABLE qoestor.fullflow DROP CONSTRAINT bad");
    let retried = journal(&system, "retry");
    assert!(retried.status.success(), "{retried:?}");
    assert!(String::from_utf8_lossy(&retried.stdout).contains("5 rows stored, 0 still set aside"));
    assert_stored_exactly(&system, 0, &[sent, later]);
    journal(&system, "retry");
    assert_stored_exactly(&system, 0, &[sent, later]);
}

#[test]
fn nothing_is_lost_when_most_rows_are_guilty() {
    let system = System::start(&SystemOptions::default());
    let first = (63u64 << 40) + 1;
    system.query(&format!(
        "ALTER TABLE qoestor.fullflow ADD CONSTRAINT bad CHECK session_id < {}",
        first + 1_000
    ));
    let sent = simulate(&system, "3000", "63");
    let status = system.wait_until_stored(0);
    assert_balanced(&status);
    assert!(status.destination.set_aside >= 2_000, "{status:?}");
    assert_eq!(status.destination.stored + status.destination.set_aside, sent.records);
    assert_eq!(system.stored(0).rows, status.destination.stored);
    system.query("ALTER TABLE qoestor.fullflow DROP CONSTRAINT bad");
    assert!(journal(&system, "retry").status.success());
    assert_stored_exactly(&system, 0, &[sent]);
}

/// The cause is repaired in the middle: pieces that were stored before are not stored again.
#[test]
fn the_cause_is_repaired_while_rows_are_set_aside() {
    let mut system = System::start(&SystemOptions::default());
    let first = (64u64 << 40) + 1;
    let constraint = format!("CHECK (session_id - {first}) % 1000 != 999");
    system.query(&format!("ALTER TABLE qoestor.fullflow ADD CONSTRAINT bad {constraint}"));
    let sent = simulate(&system, "60000", "64");
    wait_for("the first pieces", LONG, || (system.stored(0).rows > 0).then_some(()));
    system.kill_receiver();
    system.query("ALTER TABLE qoestor.fullflow DROP CONSTRAINT bad");
    system.start_receiver();
    system.wait_until_stored(0);
    assert!(journal(&system, "retry").status.success());
    assert_stored_exactly(&system, 0, &[sent]);
}

#[test]
fn a_table_that_is_missing_is_waited_for() {
    let system = System::start(&SystemOptions::default());
    let before = system.stored(0);
    assert_eq!(before.rows, 0);
    // As it is, without the escapes of the text format.
    let ddl = system.query("SHOW CREATE TABLE qoestor.fullflow FORMAT TSVRaw");
    system.query("DROP TABLE qoestor.fullflow SYNC");
    let first = simulate(&system, "200000", "65");
    wait_for("a retry", LONG, || (system.stream(0).destination.retries > 1).then_some(()));
    let status = system.stream(0);
    assert_eq!(status.destination.set_aside, 0);
    assert!(status.last_error.as_deref().unwrap_or_default().contains("fullflow"), "{status:?}");
    assert_eq!(system.get("/readyz"), "ok\n");
    system.query(&ddl);
    system.wait_until_stored(0);
    assert_stored_exactly(&system, 0, &[first]);

    // A column that comes later: the newer receiver was there before the newer schema.
    system.query("ALTER TABLE qoestor.fullflow DROP COLUMN dropped_bytes");
    let second = simulate(&system, "50000", "66");
    let retries = system.stream(0).destination.retries;
    wait_for("a retry", LONG, || (system.stream(0).destination.retries > retries + 1).then_some(()));
    system.query("ALTER TABLE qoestor.fullflow ADD COLUMN dropped_bytes UInt64");
    let status = system.wait_until_stored(0);
    assert_stored_exactly(&system, 0, &[first, second]);
    assert_balanced(&status);
    assert_eq!(status.destination.set_aside, 0);
}

fn simulate(system: &System, records: &str, seed: &str) -> Sent {
    let to = system.address(0);
    Simulator::start(&["--to", &to, "--records", records, "--seed", seed]).finish(LONG)
}

/// `qoe journal` on a data directory as `qoe up` would have made it.
fn journal(system: &System, command: &str) -> Output {
    let data = system.path().join("as-one");
    if !data.exists() {
        std::fs::create_dir(&data).unwrap();
        let link = |from, to| std::os::unix::fs::symlink(from, data.join(to)).unwrap();
        link(system.config.data_dir.join("journal"), "journal");
        link(system.path().join("clickhouse"), "clickhouse");
    }
    let mut journal = Command::new(qoe_binary());
    journal.arg("journal").arg(command).arg("--data").arg(&data).output().unwrap()
}
