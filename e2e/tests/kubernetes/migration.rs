//! A database that version 0.1.0 has left, with receivers of that version still inserting, is migrated by the
//! operator, which is killed again and again on the way. Nothing is lost, and in the end nothing is left to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use e2e::Simulator;
use e2e::cluster::{ClickHouse, Scenario, wait_until};
use serde_json::json;

use crate::support::{
    DEADLINE, address, collector, dpi, main_collector, start_operator, wait_ready, wait_rows,
};

const SCHEMA: &str = include_str!("../../../schema/fixtures/0.1.0/schema.sql");
const DATA: &str = include_str!("../../../schema/fixtures/0.1.0/data.sql");
const INSERT_COLUMNS: &str = include_str!("../../../schema/fixtures/0.1.0/insert_columns.txt");
const KILLS: usize = 4;

/// The whole migration.
pub fn an_old_database_is_migrated(scenario: &Scenario) {
    let clickhouse = ClickHouse::start(scenario);
    for statement in statements(SCHEMA).chain(statements(DATA)) {
        clickhouse.query(statement);
    }
    let before = contents(&clickhouse);
    let old = OldReceivers::start(&clickhouse);
    scenario.apply(&collector(&clickhouse, json!([dpi(0, 1500, "TCP")])).to_string());
    for _ in 0..KILLS {
        let recorded = recorded(&clickhouse);
        let mut operator = start_operator(scenario);
        // As soon as it has begun to do something, or has nothing more to do.
        wait_until("a step, or the end", DEADLINE, || {
            let now = self::recorded(&clickhouse);
            let ready = main_collector(scenario)?["status"].to_string().contains("UpToDate");
            if now > recorded || ready { Ok(()) } else { Err(format!("{now} steps recorded")) }
        });
        operator.kill();
        // A killed operator's Lease would run out by itself.
        scenario.kubectl(&["delete", "lease", "qoeplane-operator", "--ignore-not-found"]).unwrap();
    }
    let mut operator = start_operator(scenario);
    wait_ready(scenario);
    old.some_more();
    let rounds = old.stop();
    assert!(rounds > 2, "old receivers have inserted {rounds} times");

    assert_eq!(contents(&clickhouse), before, "rows of before have changed");
    for (table, columns) in INSERT_COLUMNS.lines().map(|line| line.split_once(": ").unwrap()) {
        if columns.contains("dpi_id") && table != "ledger" {
            let per_round =
                clickhouse.number(&format!("SELECT count() FROM qoestor.{table} WHERE dpi_id < 100"));
            let found = clickhouse.number(&format!("SELECT count() FROM qoestor.{table} WHERE dpi_id = 100"));
            assert_eq!(found, per_round * rounds, "rows that old receivers sent to {table}");
        }
    }
    let new = clickhouse.number(
        "SELECT count() FROM system.columns WHERE database = 'qoestor' AND table = 'ledger' AND name IN ('collector', 'version')",
    );
    assert_eq!(new, 2);

    // The next plan is empty: nothing is recorded any more.
    let steps = recorded(&clickhouse);
    assert!(operator.stop(Duration::from_secs(60)).success());
    let _operator = start_operator(scenario);
    scenario.kubectl(&["annotate", "qoec", "main", "looked-at=now"]).unwrap();
    wait_ready(scenario);
    let to = address(scenario, 0, 1500);
    let sent = Simulator::start(&["--to", &to, "--records", "20000"]).finish(DEADLINE);
    let there =
        clickhouse.number("SELECT count() FROM qoestor.fullflow WHERE dpi_id = 0 AND journal_id < 10");
    wait_rows(&clickhouse, "fullflow", 0, sent.records + there);
    assert_eq!(recorded(&clickhouse), steps, "the second plan is not empty");
}

fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}

fn recorded(clickhouse: &ClickHouse<'_>) -> u64 {
    clickhouse.number("SELECT count() FROM qoestor.schema_steps")
}

/// The fixture's rows by the columns that 0.1.0 knows.
fn contents(clickhouse: &ClickHouse<'_>) -> Vec<String> {
    let lines = INSERT_COLUMNS.lines().map(|line| line.split_once(": ").unwrap());
    lines
        .filter(|(table, _)| *table != "schema_steps")
        .map(|(table, columns)| {
            clickhouse.query(&format!(
                "SELECT '{table}', count(), groupBitXor(cityHash64(toString(tuple({columns})))) FROM qoestor.{table} \
                 WHERE dpi_id < 100"
            ))
        })
        .collect()
}

/// Inserts with 0.1.0's column lists, over and over.
struct OldReceivers {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl OldReceivers {
    fn start(clickhouse: &ClickHouse<'_>) -> OldReceivers {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (stop.clone(), rounds.clone());
        let url = clickhouse.url();
        let inserts: Vec<String> = statements(DATA)
            .filter(|statement| statement.contains(" AS dpi_id"))
            .map(|statement| statement.replace("number % 3 AS dpi_id", "100 AS dpi_id"))
            .collect();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for insert in &inserts {
                    ureq::post(&url)
                        .header("X-ClickHouse-User", "qoe")
                        .header("X-ClickHouse-Key", "secret-of-a-test")
                        .send(insert)
                        .unwrap_or_else(|error| panic!("{error}\n{insert}"));
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        OldReceivers { stop, rounds, thread }
    }

    /// Waits until every table has taken rows that were sent from now on.
    fn some_more(&self) {
        let begun = self.rounds.load(Ordering::Relaxed);
        wait_until("old receivers to go on", DEADLINE, || {
            assert!(!self.thread.is_finished(), "an insert of an old receiver was refused");
            let now = self.rounds.load(Ordering::Relaxed);
            if now >= begun + 2 { Ok(()) } else { Err(format!("{now} rounds")) }
        });
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.rounds.load(Ordering::Relaxed)
    }
}
