//! Observe, plan and execute against a real server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Server, start};
use schema::{
    Action, Desired, ExecuteError, LEDGER, LedgerRow, Plan, PlanError, TableOptions, execute, fullflow,
    observe, plan,
};

#[test]
fn clickhouse_server() {
    embedded::testing::serve_if_asked();
}

fn options(database: &str) -> TableOptions {
    TableOptions { keep_for: Some(86_400), ..TableOptions::new(database, "fullflow") }
}

fn desired(database: &str) -> Desired {
    Desired::new(database).with_table(fullflow().table(&options(database)))
}

async fn planned(server: &Server, desired: &Desired) -> Plan {
    plan(desired, &observe(&server.client, &desired.database).await.unwrap()).unwrap()
}

async fn refused(server: &Server, desired: &Desired) -> PlanError {
    plan(desired, &observe(&server.client, &desired.database).await.unwrap()).unwrap_err()
}

async fn apply(server: &Server, desired: &Desired) -> Vec<Action> {
    let plan = planned(server, desired).await;
    assert_eq!(execute(&server.client, &plan).await.unwrap(), plan.steps.len());
    plan.steps.iter().map(|step| step.action).collect()
}

/// Asks until the answer comes; mutations run in the background.
fn eventually(server: &Server, sql: &str, expected: &str) {
    for _ in 0..3_000 {
        if server.text(sql) == expected {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("never {expected:?}: {sql}");
}

#[tokio::test]
async fn a_second_plan_is_empty_and_every_step_is_recorded() {
    let server = start();
    let desired = desired("qoestor");
    let first = planned(&server, &desired).await;
    // The database, then each of its tables.
    let steps = desired.tables.len() + 1;
    assert_eq!(execute(&server.client, &first).await.unwrap(), steps);
    let second = planned(&server, &desired).await;
    assert_eq!(second.steps, []);
    let recorded = server.text(
        "SELECT state, count(), uniqExact(sql), groupUniqArray(version) FROM qoestor.schema_steps \
         GROUP BY state ORDER BY state",
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        recorded,
        format!("done\t{steps}\t{steps}\t['{version}']\nstarted\t{steps}\t{steps}\t['{version}']\n")
    );
    let sql =
        server.text("SELECT sql FROM qoestor.schema_steps WHERE object = 'fullflow' LIMIT 1 FORMAT TSVRaw");
    assert_eq!(sql, format!("{}\n", first.steps.last().unwrap().sql));
}

#[tokio::test]
async fn a_name_that_needs_quotes_is_converged_too() {
    let server = start();
    let mut options = options("my-qoe `db");
    options.table = "full flow's".to_owned();
    let desired = Desired::new("my-qoe `db").with_table(fullflow().table(&options));
    apply(&server, &desired).await;
    assert_eq!(planned(&server, &desired).await.steps, []);
}

#[tokio::test]
async fn a_table_of_an_older_version_gets_what_is_missing() {
    let server = start();
    let desired = desired("qoestor");
    apply(&server, &desired).await;
    server.run("DROP TABLE qoestor.fullflow SYNC").await;
    server
        .run(
            "CREATE TABLE qoestor.fullflow (dpi_id UInt16, received_at DateTime64(6, 'UTC'), \
             flow_start_millisecond DateTime64(3, 'UTC'), source_ipv4 IPv4, destination_ipv4 IPv4, theirs String, \
             login LowCardinality(String)) ENGINE = MergeTree PARTITION BY toStartOfHour(received_at) \
             ORDER BY (login, source_ipv4, destination_ipv4, flow_start_millisecond)",
        )
        .await;
    server
        .run(
            "INSERT INTO qoestor.fullflow (dpi_id, received_at, flow_start_millisecond, theirs, login) \
             VALUES (3, '2026-11-01 10:00:00', '2026-11-01 09:59:00', 'x', 'anna')",
        )
        .await;
    let actions = apply(&server, &desired).await;
    for expected in [
        Action::AddColumn,
        Action::AddIndex,
        Action::ModifyCodec,
        Action::ModifyColumnComment,
        Action::ModifyComment,
        Action::ModifySetting,
        Action::ModifyTtl,
    ] {
        assert!(actions.contains(&expected), "{expected:?} is missing");
    }
    assert_eq!(planned(&server, &desired).await.steps, []);
    let columns = server.text(
        "SELECT arrayStringConcat(groupArray(name), ', ') FROM (SELECT name FROM system.columns \
         WHERE database = 'qoestor' AND table = 'fullflow' AND name != 'theirs' ORDER BY position)",
    );
    let declared: Vec<&str> = fullflow().columns.iter().map(|column| column.name).collect();
    assert_eq!(columns.trim_end(), declared.join(", "));
    let row =
        server.text("SELECT dpi_id, theirs, login, octet_delta_count, flow_start_date FROM qoestor.fullflow");
    assert_eq!(row, "3\tx\tanna\t0\t2026-11-01\n");
}

#[tokio::test]
async fn retention_and_tiers_change_in_place() {
    let server = start();
    apply(&server, &desired("qoestor")).await;
    let volumes =
        server.text("SELECT DISTINCT policy_name FROM system.storage_policies WHERE volume_name = 'cold'");
    let policy = volumes.trim_end().to_owned();
    assert!(!policy.is_empty(), "the embedded server has no policy with a cold volume");
    let tiered = TableOptions {
        keep_for: Some(7 * 86_400),
        move_to_cold_after: Some(86_400),
        storage_policy: Some(policy),
        ..TableOptions::new("qoestor", "tiered")
    };
    let desired = Desired::new("qoestor").with_table(fullflow().table(&tiered));
    apply(&server, &desired).await;
    assert_eq!(planned(&server, &desired).await.steps, []);
    let insert =
        "INSERT INTO qoestor.tiered (received_at, host) SELECT now64(6), toString(number) FROM numbers(1000)";
    server.run(insert).await;
    let longer = TableOptions { keep_for: Some(8 * 86_400), ..tiered.clone() };
    let desired = Desired::new("qoestor").with_table(fullflow().table(&longer)).with_ledger_keep_for(None);
    assert_eq!(apply(&server, &desired).await, [Action::RemoveTtl, Action::ModifyTtl]);
    assert_eq!(planned(&server, &desired).await.steps, []);
    // The rows that are there live as long as new ones, and were not written again for it.
    eventually(&server, "SELECT countIf(NOT is_done) FROM system.mutations", "0\n");
    let lives = "SELECT round((toUInt32(delete_ttl_info_max) - toUInt32(now())) / 86400), count() \
                 FROM system.parts WHERE database = 'qoestor' AND table = 'tiered' AND active GROUP BY 1";
    assert_eq!(server.text(lives), "8\t1\n");
    assert_eq!(server.text("SELECT count() FROM qoestor.tiered"), "1000\n");
}

#[tokio::test]
async fn what_is_not_ours_is_not_touched() {
    let server = start();
    server.run("CREATE DATABASE theirs").await;
    server.run("CREATE TABLE theirs.t (x UInt8) ENGINE = Memory").await;
    let error = refused(&server, &desired("theirs")).await;
    assert_eq!(error, PlanError::Foreign { database: "theirs".to_owned() });
    assert_eq!(server.text("SELECT name FROM system.tables WHERE database = 'theirs'"), "t\n");

    server.run("CREATE DATABASE empty").await;
    assert_eq!(apply(&server, &desired("empty")).await[0], Action::MarkDatabase);
    assert_eq!(planned(&server, &desired("empty")).await.steps, []);
}

#[tokio::test]
async fn a_column_of_another_type_is_a_conflict() {
    let server = start();
    let desired = desired("qoestor");
    apply(&server, &desired).await;
    server.run("ALTER TABLE qoestor.fullflow MODIFY COLUMN vlan_id String").await;
    let error = refused(&server, &desired).await;
    assert!(
        matches!(&error, PlanError::Column { table, column, .. } if table == "fullflow" && column == "vlan_id")
    );
}

#[tokio::test]
async fn a_failed_step_is_recorded_and_the_next_run_goes_on() {
    let server = start();
    let broken = TableOptions { storage_policy: Some("no such policy".to_owned()), ..options("qoestor") };
    let wrong = Desired::new("qoestor").with_table(fullflow().table(&broken));
    let last = wrong.tables.len() + 1;
    let error = execute(&server.client, &planned(&server, &wrong).await).await.unwrap_err();
    assert!(
        matches!(&error, ExecuteError::Step { number, of, .. } if (*number, *of) == (last, last)),
        "{error}"
    );
    let recorded = server.text("SELECT object, error != '' FROM qoestor.schema_steps WHERE state = 'failed'");
    assert_eq!(recorded, "fullflow\t1\n");
    assert_eq!(apply(&server, &desired("qoestor")).await, [Action::CreateTable]);
}

#[tokio::test]
async fn the_products_queries_run_as_printed() {
    let server = start();
    apply(&server, &desired("qoestor")).await;
    // Arrival is now, or the rows would have expired; the exporter's clock says 2018.
    server
        .run(
            "INSERT INTO qoestor.fullflow (received_at, flow_start_millisecond, source_ipv4, destination_ipv4, host) \
             SELECT now64(6), c1, c2, c3, c4 FROM VALUES(\
             ('2018-10-04 10:00:02.500', '10.64.66.100', '1.1.1.1', 'google.com'), \
             ('2018-10-04 10:00:01.250', '1.1.1.1', '10.64.66.100', 'google.com'), \
             ('2018-10-04 10:00:00.000', '10.64.66.100', '1.1.1.1', 'example.com'), \
             ('2018-10-05 00:00:00.000', '10.64.66.100', '1.1.1.1', 'google.com'))",
        )
        .await;
    let connection = server.server.connection();
    let client = server.client.clone().with_database(&connection.database);
    let mut cursor = client
        .query_raw(
            "select * from fullflow prewhere flow_start_date = '2018-10-04' where (source_ipv4 = '10.64.66.100' or \
             destination_ipv4 = '10.64.66.100') and host = 'google.com' ORDER BY flow_start_time limit 10 format CSV",
        )
        .fetch_bytes("CSV")
        .unwrap();
    let csv = String::from_utf8(cursor.collect().await.unwrap().to_vec()).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 2, "{csv}");
    assert!(lines[0].contains("\"2018-10-04 10:00:01.250\""), "{csv}");
    assert!(lines[1].contains("\"2018-10-04 10:00:02.500\""), "{csv}");
    assert_eq!(
        server.text("select count(), min(flow_start_time), max(flow_start_time) from qoestor.fullflow"),
        "4\t2018-10-04 10:00:00\t2018-10-05 00:00:00\n"
    );
    let pruned = server.text(
        "EXPLAIN indexes = 1 SELECT host FROM qoestor.fullflow PREWHERE flow_start_date = '2017-01-01' FORMAT TSVRaw",
    );
    assert!(pruned.contains("flow_start_minmax"), "a day is not looked up in the index:\n{pruned}");
}

#[tokio::test]
async fn a_row_of_the_ledger_comes_back() {
    let server = start();
    apply(&server, &desired("qoestor")).await;
    let row = LedgerRow {
        time: 2_000_000_000,
        arrival_from: 1_999_999_990_000_001,
        arrival_to: 1_999_999_999_999_999,
        dpi_id: 7,
        stream: "fullflow".to_owned(),
        records_missing: -3,
        refused: [("version".to_owned(), 2), ("length".to_owned(), 1)].into(),
        ..LedgerRow::default()
    };
    let client = server.client.clone().with_database("qoestor");
    let mut insert = client.insert::<LedgerRow>(LEDGER).await.unwrap();
    insert.write(&row).await.unwrap();
    insert.end().await.unwrap();
    let read =
        server.client.query("SELECT ?fields FROM qoestor.ledger").fetch_all::<LedgerRow>().await.unwrap();
    assert_eq!(read, [row]);
}
