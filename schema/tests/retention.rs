//! Rows that would be deleted sooner wait for an approval; what belongs to somebody else stays.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Server, start};
use schema::{
    Action, Desired, Execution, Observed, Plan, PlanError, Risk, TableOptions, drop_plan, execute, fullflow,
    observe, plan,
};

const HOUR: u64 = 3600;

#[test]
fn clickhouse_server() {
    embedded::testing::serve_if_asked();
}

fn desired(keep_for: Option<u64>) -> Desired {
    let options = TableOptions { keep_for, ..TableOptions::new("qoestor", "fullflow") };
    Desired::new("qoestor").with_owner("isp/main").with_table(fullflow().table(&options))
}

async fn observed(server: &Server) -> Observed {
    observe(&server.client, "qoestor").await.unwrap()
}

async fn planned(server: &Server, desired: &Desired) -> Plan {
    plan(desired, &observed(server).await).unwrap()
}

async fn apply(server: &Server, desired: &Desired) {
    execute(&server.client, &planned(server, desired).await).await.unwrap();
    assert_eq!(planned(server, desired).await.steps, []);
}

async fn ttl(server: &Server) -> String {
    observed(server).await.database.unwrap().tables["fullflow"].clauses.ttl.clone()
}

#[tokio::test]
async fn a_shorter_retention_waits_for_its_approval() {
    let server = start();
    apply(&server, &desired(Some(24 * HOUR))).await;
    let before = ttl(&server).await;
    let wanted = desired(Some(HOUR));
    let plan = planned(&server, &wanted).await;
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].risk, Risk::Destructive);
    assert_eq!(plan.steps[0].effect, "rows are deleted after 1h, until now after 1d");

    let (now, wait) = plan.approved(&[]);
    execute(&server.client, &now).await.unwrap();
    assert_eq!(ttl(&server).await, before);
    // What waits is the same another time.
    assert_eq!(planned(&server, &wanted).await.hash(), wait.hash());

    let (now, wait) = plan.approved(&[plan.hash().unwrap()]);
    assert_eq!(execute(&server.client, &now).await.unwrap(), 1);
    assert_eq!(wait.steps, []);
    assert_eq!(ttl(&server).await, "toDateTime(received_at) + toIntervalSecond(3600)");
    assert_eq!(planned(&server, &wanted).await.steps, []);
    let recorded = server.text("SELECT DISTINCT action FROM qoestor.schema_steps WHERE risk = 'destructive'");
    assert_eq!(recorded, "ModifyTtl\n");

    // Longer, or for ever, needs nobody's word; back again does.
    apply(&server, &desired(Some(48 * HOUR))).await;
    apply(&server, &desired(None)).await;
    let plan = planned(&server, &desired(Some(48 * HOUR))).await;
    assert_eq!(plan.destructive().count(), 1);
}

#[tokio::test]
async fn a_ttl_that_somebody_wrote_is_compared_if_it_is_understood() {
    let server = start();
    apply(&server, &desired(Some(24 * HOUR))).await;
    let alter = "ALTER TABLE qoestor.fullflow MODIFY TTL toDateTime(received_at) + INTERVAL";
    for (interval, destructive) in
        [("3 DAY", 1), ("1 WEEK", 1), ("90 MINUTE", 0), ("24 HOUR", 0), ("1 MONTH", 1)]
    {
        server.run(&format!("{alter} {interval}")).await;
        let plan = planned(&server, &desired(Some(24 * HOUR))).await;
        assert_eq!(plan.steps.len(), 1, "{interval}");
        assert_eq!(plan.destructive().count(), destructive, "{interval}: {}", plan.steps[0].effect);
    }
}

#[tokio::test]
async fn what_was_dropped_by_hand_comes_back() {
    let server = start();
    let desired = desired(Some(24 * HOUR));
    apply(&server, &desired).await;
    server.run("INSERT INTO qoestor.fullflow (received_at, host) VALUES (now64(6), 'x')").await;
    server.run("ALTER TABLE qoestor.fullflow DROP COLUMN vlan_id").await;
    server.run("ALTER TABLE qoestor.schema_steps DROP COLUMN error, DROP COLUMN number").await;
    server.run("DROP TABLE qoestor.ledger").await;
    let plan = planned(&server, &desired).await;
    let objects: Vec<&str> = plan.steps.iter().map(|step| step.object.as_str()).collect();
    assert_eq!(objects, ["schema_steps.error", "schema_steps.number", "ledger", "fullflow.vlan_id"]);
    apply(&server, &desired).await;
    assert_eq!(server.text("SELECT host, vlan_id FROM qoestor.fullflow"), "x\t0\n");
    // Where the steps are recorded is no exception.
    server.run("DROP TABLE qoestor.schema_steps").await;
    apply(&server, &desired).await;
    assert_eq!(server.text("SELECT count() FROM qoestor.schema_steps"), "2\n");
}

#[tokio::test]
async fn two_collectors_do_not_share_a_database() {
    let server = start();
    apply(&server, &desired(Some(HOUR))).await;
    assert_eq!(observed(&server).await.owner(), Some("isp/main"));
    let other = desired(Some(HOUR)).with_owner("isp/other");
    let shared = PlanError::Shared { database: "qoestor".to_owned(), owner: "isp/main".to_owned() };
    assert_eq!(plan(&other, &observed(&server).await).unwrap_err(), shared);
    assert_eq!(drop_plan(&other, &observed(&server).await).unwrap_err(), shared);
}

#[tokio::test]
async fn a_collector_takes_with_it_what_it_made() {
    let server = start();
    let desired = desired(Some(HOUR));
    apply(&server, &desired).await;
    server.run("INSERT INTO qoestor.fullflow (received_at) SELECT now64(6) FROM numbers(1000)").await;
    server.run("CREATE TABLE qoestor.reports (x UInt8) ENGINE = Memory").await;
    let plan = drop_plan(&desired, &observed(&server).await).unwrap();
    // Ended after the first step, and gone on.
    let tables = desired.tables.len();
    assert_eq!(Execution::new(&server.client, &plan).step().await.unwrap().unwrap().object, "fullflow");
    assert_eq!(execute(&server.client, &plan).await.unwrap(), tables);
    assert_eq!(server.text("SELECT name FROM system.tables WHERE database = 'qoestor'"), "reports\n");

    server.run("DROP TABLE qoestor.reports").await;
    let plan = drop_plan(&desired, &observed(&server).await).unwrap();
    assert_eq!(plan.steps.iter().map(|step| step.action).collect::<Vec<_>>(), [Action::DropDatabase]);
    execute(&server.client, &plan).await.unwrap();
    assert_eq!(server.text("SELECT count() FROM system.databases WHERE name = 'qoestor'"), "0\n");
    assert!(drop_plan(&desired, &observed(&server).await).unwrap().is_empty());
    // All at once, and the object made again.
    apply(&server, &desired).await;
    let plan = drop_plan(&desired, &observed(&server).await).unwrap();
    assert_eq!(execute(&server.client, &plan).await.unwrap(), tables + 1);
    apply(&server, &desired).await;
}

#[tokio::test]
async fn the_servers_volumes_are_seen() {
    let server = start();
    let storage = observed(&server).await.storage.unwrap();
    assert_eq!(storage["tiered"], ["hot", "cold"]);
    assert_eq!(storage["default"], ["default"]);
}
