//! One server becomes two: its tables get another name with all that they hold and remember, and each server answers
//! for both.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use std::time::Duration;

use common::{Server, join, start};
use fixture::Fixture;
use ipfix::Element;
use schema::aggregate::AggregateOptions;
use schema::{
    Action, Cluster, ColumnType, CustomElement, Desired, Execution, Observed, Plan, PlanError, Stream,
    TableOptions, aggregates, drop_plan, execute, fullflow, local_name, observe, plan, streams,
};

const CLUSTER: &str = "qoeplane";
const HOUR: u64 = 3600;

#[test]
fn clickhouse_server() {
    embedded::testing::serve_if_asked();
}

fn cluster(shards: u32) -> Cluster {
    Cluster { name: CLUSTER.to_owned(), shards, is_shared: shards > 1 }
}

fn desired_of(database: &str, streams: &[&Stream], keep_for: u64) -> Desired {
    let mut desired = Desired::new(database).with_owner("isp/main");
    for stream in streams {
        let options = TableOptions { keep_for: Some(keep_for), ..TableOptions::new(database, stream.name) };
        desired = desired.with_table(stream.table(&options));
    }
    let family = aggregates::fullflow();
    for table in &family.tables {
        desired = desired.with_table(family.table(table, &AggregateOptions::new(database, table)));
    }
    desired
}

fn desired() -> Desired {
    desired_of("qoestor", &[fullflow()], 24 * HOUR)
}

async fn observed(server: &Server, desired: &Desired) -> Observed {
    observe(&server.client, &desired.database).await.unwrap()
}

async fn planned(server: &Server, desired: &Desired) -> Plan {
    plan(desired, &observed(server, desired).await).unwrap()
}

/// Executes the plan; afterwards there is none.
async fn apply(server: &Server, desired: &Desired) -> Plan {
    let plan = planned(server, desired).await;
    execute(&server.client, &plan).await.unwrap();
    assert_eq!(planned(server, desired).await.steps, []);
    plan
}

/// The actions for what belongs to one table.
fn actions(plan: &Plan, table: &str) -> Vec<Action> {
    let local = local_name(table);
    let of = |object: &str| {
        let name = object.split_once('.').map_or(object, |(name, _)| name);
        name == table || name == local
    };
    plan.steps.iter().filter(|step| of(&step.object)).map(|step| step.action).collect()
}

/// The server's answer to an insert of `rows` rows with this token.
async fn insert(server: &Server, table: &str, token: &str, rows: u64) -> Result<(), String> {
    let sql = format!(
        "INSERT INTO qoestor.{table} (received_at, octet_delta_count) SELECT now64(6), 1 FROM numbers({rows})"
    );
    let query = server.client.query_raw(&sql).with_setting("insert_deduplication_token", token);
    query.execute().await.map_err(|error| error.to_string())
}

fn count(server: &Server, table: &str) -> u64 {
    server.text(&format!("SELECT count() FROM qoestor.{table}")).trim_end().parse().unwrap()
}

/// A server with rows, and another that has joined it; nothing is planned for two yet.
async fn one_and_a_new_one() -> (Server, Server) {
    let mut first = start();
    apply(&first, &desired()).await;
    insert(&first, "fullflow", "x", 1000).await.unwrap();
    let mut second = start();
    join(CLUSTER, &mut [&mut first, &mut second]);
    (first, second)
}

/// The same, and both have the tables of a cluster.
async fn two_servers() -> (Server, Server) {
    let (first, second) = one_and_a_new_one().await;
    let shared = desired().with_cluster(cluster(2));
    apply(&second, &shared).await;
    apply(&first, &shared).await;
    (first, second)
}

#[tokio::test]
async fn one_server_becomes_two() {
    let (first, second) = one_and_a_new_one().await;
    let shared = desired().with_cluster(cluster(2));
    assert_eq!(observed(&first, &shared).await.clusters.unwrap()[CLUSTER], 2);

    // The new one has everything before the old one is renamed, or queries would find no table there.
    let made = apply(&second, &shared).await;
    assert_eq!(actions(&made, "fullflow"), [Action::CreateTable; 2]);
    let renamed = apply(&first, &shared).await;
    let tables = shared.tables.iter().filter(|table| table.is_shared);
    assert_eq!(renamed.steps.len(), 2 * tables.clone().count());
    for table in tables {
        assert_eq!(actions(&renamed, &table.name), [Action::RenameTable, Action::CreateTable]);
        let both: Vec<u64> = [&first, &second].map(|server| count(server, &table.name)).to_vec();
        assert_eq!(both, if table.name == "fullflow" { [1000, 1000] } else { [0, 0] }, "{}", table.name);
    }

    // Tokens of before the rename are remembered after it, by the server that has them.
    let local = local_name("fullflow");
    insert(&first, &local, "x", 1000).await.unwrap();
    assert_eq!(count(&first, "fullflow"), 1000);
    insert(&first, &local, "y", 100).await.unwrap();
    insert(&second, &local, "x", 10).await.unwrap();
    for server in [&first, &second] {
        assert_eq!(count(server, "fullflow"), 1110);
        assert_eq!(server.text("SELECT sum(octet_delta_count) FROM qoestor.fullflow"), "1110\n");
        let by_day = "SELECT count() FROM qoestor.fullflow PREWHERE flow_start_date = '1970-01-01'";
        assert_eq!(server.text(by_day), "1110\n");
    }
    assert_eq!((count(&first, &local), count(&second, &local)), (1100, 10));

    let refused = insert(&first, "fullflow", "z", 1).await.unwrap_err();
    assert!(refused.contains("Code: 55. "), "{refused}");
    assert_eq!(count(&first, "fullflow"), 1110);
}

#[tokio::test]
async fn what_comes_later_comes_to_both() {
    let (first, second) = two_servers().await;
    let custom = CustomElement {
        element: Element::vas_experts(3316),
        name: "imsi".to_owned(),
        column: "imsi".to_owned(),
        column_type: ColumnType::Text,
    };
    let stream = fullflow().with_elements(&[custom]).unwrap();
    let wider = desired_of("qoestor", &[&stream], 24 * HOUR).with_cluster(cluster(2));
    for server in [&first, &second] {
        let added = apply(server, &wider).await;
        assert_eq!(actions(&added, "fullflow"), [Action::AddColumn, Action::ReplaceDistributed]);
        assert_eq!(added.steps.len(), 2);
    }
    insert(&second, "fullflow_local", "later", 5).await.unwrap();
    second.run("INSERT INTO qoestor.fullflow_local (received_at, imsi) VALUES (now64(6), '25001')").await;
    for server in [&first, &second] {
        let imsi = "SELECT count(), max(imsi) FROM (SELECT * FROM qoestor.fullflow)";
        assert_eq!(server.text(imsi), "1006\t25001\n");
    }
    // An older version, or one where the field is not declared any more, leaves it.
    let older = desired().with_cluster(cluster(2));
    assert_eq!(planned(&first, &older).await.steps, []);

    // One approval is for all servers.
    let shorter = desired_of("qoestor", &[fullflow()], HOUR).with_cluster(cluster(2));
    let plans = [planned(&first, &shorter).await, planned(&second, &shorter).await];
    assert_eq!(plans[0].steps, plans[1].steps);
    assert_eq!(plans[0].steps[0].object, "fullflow_local");
    let hash = plans[0].hash().unwrap();
    assert_eq!(plans[1].hash(), Some(hash.clone()));
    for (server, plan) in [&first, &second].into_iter().zip(&plans) {
        assert!(plan.approved(&[]).0.is_empty());
        let (now, wait) = plan.approved(std::slice::from_ref(&hash));
        assert!(wait.is_empty());
        assert_eq!(execute(&server.client, &now).await.unwrap(), 1);
        assert_eq!(planned(server, &shorter).await.steps, []);
    }
}

#[tokio::test]
async fn what_a_server_has_lost_comes_back() {
    let (first, second) = two_servers().await;
    let shared = desired().with_cluster(cluster(2));
    first.run("DROP TABLE qoestor.fullflow").await;
    second.run("DROP TABLE qoestor.fullflow_local").await;
    second.run("ALTER TABLE qoestor.ledger DROP COLUMN version").await;
    assert_eq!(actions(&apply(&first, &shared).await, "fullflow"), [Action::CreateTable]);
    let made = apply(&second, &shared).await;
    assert_eq!(actions(&made, "fullflow"), [Action::CreateTable]);
    assert_eq!(actions(&made, "ledger"), [Action::ReplaceDistributed]);
    assert_eq!((count(&first, "fullflow"), count(&second, "fullflow")), (1000, 1000));
}

#[tokio::test]
async fn both_servers_are_left_with_nothing() {
    let (first, second) = two_servers().await;
    let shared = desired().with_cluster(cluster(2));
    for server in [&first, &second] {
        let drops = drop_plan(&shared, &observed(server, &shared).await).unwrap();
        let tables = shared.tables.iter().map(|table| 1 + usize::from(table.is_shared)).sum::<usize>();
        assert_eq!(drops.steps.len(), tables + 1);
        execute(&server.client, &drops).await.unwrap();
        assert_eq!(server.text("SELECT count() FROM system.databases WHERE name = 'qoestor'"), "0\n");
    }
}

/// All that a server has, for telling whether it was touched.
fn state(server: &Server) -> String {
    server.text(
        "SELECT name, uuid, metadata_modification_time, total_rows FROM system.tables \
         WHERE database = 'qoestor' ORDER BY name",
    )
}

#[tokio::test]
async fn nothing_is_touched_without_the_cluster() {
    let server = start();
    apply(&server, &desired()).await;
    let before = state(&server);
    let shared = desired().with_cluster(cluster(2));
    let missing = PlanError::Cluster { cluster: CLUSTER.to_owned(), found: 0, expected: 2 };
    assert_eq!(plan(&shared, &observed(&server, &shared).await).unwrap_err(), missing);
    assert_eq!(state(&server), before);
    drop(server);

    let (first, _second) = two_servers().await;
    let table = local_name("ledger");
    let without = PlanError::NoCluster { database: "qoestor".to_owned(), table };
    assert_eq!(plan(&desired(), &observed(&first, &desired()).await).unwrap_err(), without);
}

#[tokio::test]
async fn a_cluster_of_one_keeps_its_tables_and_takes_no_inserts_in_place_of_them() {
    let (mut first, second) = two_servers().await;
    insert(&second, "fullflow_local", "x", 10).await.unwrap();
    drop(second);
    join("alone", &mut [&mut first]);
    let alone = Cluster { name: "alone".to_owned(), shards: 1, is_shared: false };
    let made = apply(&first, &desired().with_cluster(alone)).await;
    assert!(made.steps.iter().all(|step| step.action == Action::ReplaceDistributed));
    assert_eq!(count(&first, "fullflow"), 1000);
    let refused = insert(&first, "fullflow", "z", 1).await.unwrap_err();
    assert!(
        refused.contains("Code: 395. ") && refused.contains("insert into qoestor.fullflow_local"),
        "{refused}"
    );
    assert_eq!(count(&first, "fullflow_local"), 1000);
}

#[tokio::test]
async fn a_name_that_needs_quotes_is_shared_too() {
    let (mut first, mut second) = (start(), start());
    join(CLUSTER, &mut [&mut first, &mut second]);
    let mut options = TableOptions::new("my-qoe `db's", "full flow's \\");
    options.keep_for = Some(HOUR);
    let desired = Desired::new(&options.database).with_table(fullflow().table(&options));
    apply(&first, &desired).await;
    let shared = desired.with_cluster(cluster(2));
    apply(&second, &shared).await;
    apply(&first, &shared).await;
    assert_eq!(first.text("SELECT count() FROM `my-qoe \\`db's`.`full flow's \\\\`"), "0\n");
}

const OLD: Fixture = Fixture { version: "0.3.0" };

/// What this version wants of the fixture's database, on two servers.
fn desired_of_old() -> Desired {
    desired_of("qoestor", &streams(), 24 * HOUR).with_cluster(cluster(2))
}

/// A server with the fixture's tables and rows, and another that has everything but rows.
async fn old_and_new() -> (Server, Server) {
    let (mut first, mut second) = (start(), start());
    for statement in OLD.schema().iter().chain(&OLD.data()) {
        first.run(statement).await;
    }
    join(CLUSTER, &mut [&mut first, &mut second]);
    apply(&second, &desired_of_old()).await;
    (first, second)
}

/// All rows of the fixture's shared tables, by the columns that the old version knows, through whichever name.
fn contents(server: &Server, suffix: &str) -> Vec<String> {
    let shared: Vec<String> =
        desired_of_old().tables.into_iter().filter(|table| table.is_shared).map(|table| table.name).collect();
    let of_old = OLD.insert_columns().into_iter().filter(|(table, _)| shared.contains(table));
    of_old
        .map(|(table, columns)| {
            server.text(&format!(
                "SELECT '{table}', count(), groupBitXor(cityHash64(toString(tuple({columns})))) FROM \
                 qoestor.{table}{suffix}"
            ))
        })
        .collect()
}

#[tokio::test]
async fn an_old_server_joins_in_runs_of_one_step_each_done_twice() {
    let (first, second) = old_and_new().await;
    let before = contents(&first, "");
    let wanted = desired_of_old();
    let whole = planned(&first, &wanted).await;
    let mut done = Vec::new();
    while let Some(step) = planned(&first, &wanted).await.steps.first() {
        first.run(&step.sql).await;
        first.run(&step.sql).await;
        done.push(step.clone());
    }
    assert_eq!(done, whole.steps);
    assert!(done.iter().filter(|step| step.action == Action::RenameTable).count() > 5);
    assert_eq!(contents(&first, "_local"), before);
    assert_eq!(contents(&first, ""), before);
    assert_eq!(contents(&second, ""), before);
    // The whole plan once more, by somebody who has not heard that it is done: the server refuses to rename.
    let error = execute(&first.client, &whole).await.unwrap_err().to_string();
    assert!(error.contains("RenameTable") && error.contains("Code: 57. "), "{error}");
    assert_eq!(planned(&first, &wanted).await.steps, []);
    assert_eq!(contents(&second, ""), before);
}

#[tokio::test]
async fn an_old_server_joins_in_runs_that_end_in_the_middle_of_any_step() {
    let (first, second) = old_and_new().await;
    let before = contents(&first, "");
    let wanted = desired_of_old();
    let mut attempts = 0;
    loop {
        let plan = planned(&first, &wanted).await;
        if plan.is_empty() {
            break;
        }
        let mut execution = Execution::new(&first.client, &plan);
        // The future is dropped later and later, at last after the step.
        let patience = Duration::from_micros(300 * attempts);
        let _ = tokio::time::timeout(patience, execution.step()).await;
        attempts += 1;
    }
    assert!(attempts > 1);
    assert_eq!(contents(&first, "_local"), before);
    assert_eq!(contents(&second, ""), before);
}
