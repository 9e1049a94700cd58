//! A database of an earlier version becomes one of this version while receivers of that version insert.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Server, start};
use fixture::Fixture;
use schema::aggregate::AggregateOptions;
use schema::{
    Desired, Execution, LEDGER, LedgerRow, Observed, Plan, Risk, SCHEMA_STEPS, TableOptions, aggregates,
    execute, observe, plan, streams,
};
use tokio::task::JoinHandle;

const RELEASED: [Fixture; 4] = [
    Fixture { version: "0.1.0" },
    Fixture { version: "0.2.0" },
    Fixture { version: "0.3.0" },
    Fixture { version: "0.4.0" },
];
const ROWS: u64 = 1000;
const LEDGER_ROWS: u64 = 60;

#[test]
fn clickhouse_server() {
    embedded::testing::serve_if_asked();
}

/// What this version wants of the fixture's database: rows are kept as long as before, aggregates are switched on.
fn desired() -> Desired {
    let mut desired = Desired::new("qoestor").with_owner("isp/main");
    for stream in streams() {
        let options = TableOptions { keep_for: Some(86_400), ..TableOptions::new("qoestor", stream.name) };
        desired = desired.with_table(stream.table(&options));
    }
    let families = [
        aggregates::fullflow(),
        aggregates::clickstream(),
        aggregates::gtpflow(),
        aggregates::natflow(),
        aggregates::dnsflow(),
    ];
    for family in families {
        for table in &family.tables {
            desired = desired.with_table(family.table(table, &AggregateOptions::new("qoestor", table)));
        }
    }
    desired.with_function(schema::RTT_QUANTILE)
}

async fn observed(server: &Server) -> Observed {
    observe(&server.client, "qoestor").await.unwrap()
}

async fn planned(server: &Server) -> Plan {
    plan(&desired(), &observed(server).await).unwrap()
}

async fn old_database(old: &Fixture) -> Server {
    let server = start();
    for statement in old.schema().iter().chain(&old.data()) {
        server.run(statement).await;
    }
    server
}

/// All rows of the fixture in each table, read by the columns that the old version knows.
fn contents(server: &Server, old: &Fixture) -> Vec<String> {
    let mut contents = Vec::new();
    for (table, columns) in old.insert_columns() {
        let which = match table.as_str() {
            SCHEMA_STEPS => format!("version = '{}'", old.version),
            _ if columns.contains("dpi_id") => "dpi_id < 100".to_owned(),
            _ => "1".to_owned(),
        };
        contents.push(server.text(&format!(
            "SELECT '{table}', count(), groupBitXor(cityHash64(toString(tuple({columns})))) FROM qoestor.{table} \
             WHERE {which}"
        )));
    }
    contents
}

/// Inserts as receivers of the old version do, over and over, each table in turn.
struct OldReceivers {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl OldReceivers {
    fn start(server: &Server, old: &Fixture) -> Self {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = server.client.clone();
        let (stopped, counted) = (stop.clone(), rounds.clone());
        let mut statements = old.data();
        statements.retain(|statement| statement.contains(" AS dpi_id"));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                for statement in &statements {
                    let statement = statement.replace("number % 3 AS dpi_id", "100 AS dpi_id");
                    client
                        .query_raw(&statement)
                        .execute()
                        .await
                        .unwrap_or_else(|error| panic!("{error}\n{statement}"));
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, rounds, task }
    }

    /// Waits until every table has taken rows that were sent from now on.
    async fn next_round(&self) {
        let begun = self.rounds.load(Ordering::Relaxed);
        for _ in 0..30_000 {
            assert!(!self.task.is_finished(), "an insert was refused");
            if self.rounds.load(Ordering::Relaxed) >= begun + 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("inserts do not go on");
    }

    /// How often every table was inserted into.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.rounds.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_database_is_migrated_while_old_receivers_insert() {
    for old in &RELEASED {
        migrate_under_old_receivers(old).await;
    }
}

async fn migrate_under_old_receivers(old: &Fixture) {
    let server = old_database(old).await;
    let before = contents(&server, old);
    let first = planned(&server).await;
    assert!(!first.is_empty(), "this version changes nothing: the test tests nothing");
    assert_eq!(first.destructive().count(), 0);
    assert!(first.steps.iter().all(|step| matches!(step.risk, Risk::Additive | Risk::Metadata)));

    let receivers = OldReceivers::start(&server, old);
    receivers.next_round().await;
    // Killed after each step in turn: somebody else finds out anew what is left.
    let mut done = Vec::new();
    loop {
        let plan = planned(&server).await;
        let mut execution = Execution::new(&server.client, &plan);
        let Some(step) = execution.step().await.unwrap() else { break };
        done.push(step.clone());
        receivers.next_round().await;
    }
    assert_eq!(done, first.steps);
    receivers.next_round().await;
    let rounds = receivers.stop().await;

    assert_eq!(contents(&server, old), before);
    for stream in streams() {
        let stored = format!("SELECT count() FROM qoestor.{} WHERE dpi_id = 100", stream.name);
        assert_eq!(server.text(&stored), format!("{}\n", rounds * ROWS), "{}", stream.name);
        let ttl = &observed(&server).await.database.unwrap().tables[stream.name].clauses.ttl;
        assert_eq!(ttl, "toDateTime(received_at) + toIntervalSecond(86400)");
    }
    let stored = server.text("SELECT count() FROM qoestor.ledger WHERE dpi_id = 100");
    assert_eq!(stored, format!("{}\n", rounds * LEDGER_ROWS));
    assert_eq!(observed(&server).await.owner(), Some("isp/main"));
    steps_are_recorded(&server, done.len());
    both_versions_write_the_ledger(&server, old).await;
}

/// Each step twice, as started and done; with number and plan as soon as there are columns for them.
fn steps_are_recorded(server: &Server, steps: usize) {
    let recorded = server.text(&format!(
        "SELECT countIf(state = 'started'), countIf(state = 'done') FROM qoestor.schema_steps \
         WHERE version = '{}'",
        env!("CARGO_PKG_VERSION")
    ));
    assert_eq!(recorded, format!("{steps}\t{steps}\n"));
    // The last step was all that its plan held.
    let last = server.text(
        "SELECT startsWith(plan, 'sha256:'), number, of FROM qoestor.schema_steps ORDER BY at DESC LIMIT 1",
    );
    assert_eq!(last, "1\t1\t1\n");
}

async fn both_versions_write_the_ledger(server: &Server, old: &Fixture) {
    let written = server.text("SELECT DISTINCT collector, version FROM qoestor.ledger");
    let by_whom =
        if old.version == "0.1.0" { "\t\n".to_owned() } else { format!("isp/main\t{}\n", old.version) };
    assert_eq!(written, by_whom);
    let row = LedgerRow {
        time: 2_000_000_000,
        dpi_id: 200,
        collector: "main".to_owned(),
        version: "new".to_owned(),
        ..LedgerRow::default()
    };
    let client = server.client.clone().with_database("qoestor");
    let mut insert = client.insert::<LedgerRow>(LEDGER).await.unwrap();
    insert.write(&row).await.unwrap();
    insert.end().await.unwrap();
    let new = server.text("SELECT collector, version FROM qoestor.ledger WHERE dpi_id = 200");
    assert_eq!(new, "main\tnew\n");
    let rows = client.query("SELECT ?fields FROM ledger WHERE dpi_id < 100").fetch_all::<LedgerRow>().await;
    assert_eq!(rows.unwrap().len() as u64, LEDGER_ROWS);
}

#[tokio::test]
async fn every_step_may_be_repeated() {
    let [old, ..] = &RELEASED;
    let server = old_database(old).await;
    let before = contents(&server, old);
    let plan = planned(&server).await;
    for step in &plan.steps {
        server.run(&step.sql).await;
        server.run(&step.sql).await;
    }
    assert_eq!(planned(&server).await.steps, []);
    // Also the whole plan, by somebody who has not heard that it is done.
    assert_eq!(execute(&server.client, &plan).await.unwrap(), plan.steps.len());
    assert_eq!(planned(&server).await.steps, []);
    assert_eq!(contents(&server, old), before);
}

#[tokio::test]
async fn a_run_may_end_in_the_middle_of_any_step() {
    let [old, ..] = &RELEASED;
    let server = old_database(old).await;
    let before = contents(&server, old);
    let mut attempts = 0;
    loop {
        let plan = planned(&server).await;
        if plan.is_empty() {
            break;
        }
        let mut execution = Execution::new(&server.client, &plan);
        // The future is dropped later and later, at last after the step.
        let patience = Duration::from_micros(300 * attempts);
        let _ = tokio::time::timeout(patience, execution.step()).await;
        attempts += 1;
    }
    assert!(attempts > 1);
    assert_eq!(contents(&server, old), before);
    let unfinished = server.text(
        "SELECT sql FROM qoestor.schema_steps GROUP BY sql HAVING countIf(state = 'started') = 0 AND \
         countIf(state = 'done') > 0",
    );
    assert_eq!(unfinished, "", "what is done was announced");
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let [old, ..] = &RELEASED;
    let server = old_database(old).await;
    execute(&server.client, &planned(&server).await).await.unwrap();
    // What version 0.1.0 wants, as it would plan it: its columns and no owner.
    let known = old.insert_columns();
    let mut older = desired();
    older.owner = None;
    older.tables.retain(|table| known.iter().any(|(name, _)| *name == table.name));
    assert_eq!(older.tables.len(), known.len());
    for table in &mut older.tables {
        let (_, columns) = known.iter().find(|(name, _)| *name == table.name).unwrap();
        table.columns.retain(|column| columns.split(", ").any(|name| name == column.name));
    }
    assert_eq!(plan(&older, &observed(&server).await).unwrap().steps, []);
}
