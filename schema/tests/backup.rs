//! What the page about ClickHouse says of backups: a full and an incremental one, restored into an empty server and into
//! one that receives already, and a whole database that moves to another server, with the owner's mark, functions and dictionaries as they are said to be.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::fs;
use std::path::Path;

use common::{Server, join, start};
use schema::{
    Action, AggregateOptions, Cluster, Desired, Dictionary, DictionaryLogin, Plan, RTT_QUANTILE,
    TableOptions, aggregates, dictionaries, execute, fullflow, observe, plan,
};

const RAW: &str = "SELECT count(), sum(octet_delta_count), countIf(login = 'anna') FROM qoestor.fullflow";
const AGGREGATED: &str = "SELECT sum(records), count() FROM qoestor.fullflow_agg";

#[test]
fn clickhouse_server() {
    embedded::testing::serve_if_asked();
}

fn desired() -> Desired {
    let aggregate = aggregates::fullflow();
    let wide = &aggregate.tables[0];
    let options = TableOptions { keep_for: Some(86_400), ..TableOptions::new("qoestor", "fullflow") };
    Desired::new("qoestor")
        .with_owner("isp/main")
        .with_function(RTT_QUANTILE)
        .with_table(aggregate.table(wide, &AggregateOptions::new("qoestor", wide)))
        .with_table(fullflow().table(&options))
}

async fn planned(server: &Server) -> Plan {
    plan(&desired(), &observe(&server.client, "qoestor").await.unwrap()).unwrap()
}

async fn apply(server: &Server) {
    execute(&server.client, &planned(server).await).await.unwrap();
    assert_eq!(planned(server).await.steps, []);
}

fn protocols() -> &'static Dictionary {
    dictionaries::all().into_iter().find(|dictionary| dictionary.name == "protocols").unwrap()
}

/// The dictionary with the login of this server, as whoever loads dictionaries makes it.
async fn make_dictionary(server: &Server) {
    let connection = server.server.connection();
    let password = connection.password().unwrap();
    let login = DictionaryLogin { user: &connection.user, password: &password };
    server.run(&protocols().create_sql("qoestor", login)).await;
}

/// As many rows of one `login` in the raw table, and as many records in the aggregates.
async fn store(server: &Server, rows: u64, login: &str) {
    server
        .run(&format!(
            "INSERT INTO qoestor.fullflow (received_at, login, octet_delta_count, host) \
             SELECT now64(6), '{login}', number, toString(rand64()) FROM numbers({rows})"
        ))
        .await;
    server.run(&format!("INSERT INTO qoestor.fullflow_agg (login, records) SELECT '{login}', {rows}")).await;
}

/// Takes a backup; returns its bytes on disk.
fn back_up(server: &Server, name: &str, settings: &str) -> u64 {
    let done = server.text(&format!("BACKUP DATABASE qoestor TO File('{name}') {settings}"));
    assert!(done.ends_with("BACKUP_CREATED\n"), "{done}");
    size(&server.server.prepared.backups.join(name))
}

/// The dictionary's statement as the backup has it.
fn definition(server: &Server) -> String {
    let path = server.server.prepared.backups.join("sunday/metadata/qoestor/protocols_dic.sql");
    fs::read_to_string(path).unwrap()
}

fn size(path: &Path) -> u64 {
    if path.is_file() {
        return path.metadata().unwrap().len();
    }
    fs::read_dir(path).unwrap().map(|entry| size(&entry.unwrap().path())).sum()
}

/// Copies a backup to where another server reads them, as `cp -r` does.
fn carry(name: &str, from: &Server, to: &Server) {
    copy(&from.server.prepared.backups.join(name), &to.server.prepared.backups.join(name));
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

fn restore(server: &Server, what: &str, name: &str, settings: &str) {
    let done = server.text(&format!("RESTORE {what} FROM File('{name}') {settings}"));
    assert!(done.ends_with("RESTORED\n"), "{done}");
}

/// A server with 100,000 rows of anna in the backup `sunday` and 1,000 more of bert in `monday`.
async fn backed_up() -> Server {
    let server = start();
    apply(&server).await;
    make_dictionary(&server).await;
    server.run("INSERT INTO qoestor.protocols_rows (version, code, name) VALUES (7, 49165, 'x')").await;
    server
        .run("INSERT INTO qoestor.dictionary_versions (version, dictionary, rows) VALUES (7, 'protocols', 1)")
        .await;
    store(&server, 100_000, "anna").await;
    let sunday = back_up(&server, "sunday", "");
    store(&server, 1_000, "bert").await;
    let monday = back_up(&server, "monday", "SETTINGS base_backup = File('sunday')");
    // Whoever has a backup has the password of the dictionaries' login.
    let made = definition(&server);
    assert!(made.contains(&server.server.connection().password().unwrap()), "{made}");
    assert!(monday * 10 < sunday, "{monday} bytes after {sunday}");
    server
}

#[tokio::test]
async fn an_empty_server_gets_everything_back() {
    let old = backed_up().await;
    let (raw, aggregated) = (old.text(RAW), old.text(AGGREGATED));
    assert!(raw.starts_with("101000\t") && raw.ends_with("\t100000\n"), "{raw}");
    let new = start();
    carry("sunday", &old, &new);
    carry("monday", &old, &new);
    drop(old);
    restore(&new, "DATABASE qoestor", "monday", "");
    assert_eq!(new.text(RAW), raw);
    assert_eq!(new.text(AGGREGATED), aggregated);

    // It is still the same collector's. Functions belong to the server and are no part of a database.
    assert_eq!(observe(&new.client, "qoestor").await.unwrap().owner(), Some("isp/main"));
    let actions: Vec<Action> = planned(&new).await.steps.iter().map(|step| step.action).collect();
    assert_eq!(actions, [Action::CreateFunction]);
    apply(&new).await;

    // The dictionary logs in as before, which is wrong here, until it is made anew; its rows are there.
    let name = "SELECT dictGet('qoestor.protocols_dic', 'name', toUInt64(49165))";
    assert!(new.server.query(name).is_err());
    make_dictionary(&new).await;
    assert_eq!(new.text(name), "x\n");
}

#[tokio::test]
async fn a_server_that_receives_already_gets_the_rows_beside_its_own() {
    let old = backed_up().await;
    let new = start();
    carry("sunday", &old, &new);
    carry("monday", &old, &new);
    drop(old);
    apply(&new).await;
    store(&new, 10, "carl").await;
    let tables = "TABLE qoestor.fullflow, TABLE qoestor.fullflow_agg, TABLE qoestor.ledger";
    let refused = new.server.query(&format!("RESTORE {tables} FROM File('monday')"));
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("already contains some data"), "{refused}");
    restore(&new, tables, "monday", "SETTINGS allow_non_empty_tables = true");
    assert!(new.text(RAW).starts_with("101010\t"));
    assert_eq!(new.text("SELECT sum(records) FROM qoestor.fullflow_agg"), "101010\n");
    assert_eq!(planned(&new).await.steps, []);
}

#[tokio::test]
async fn a_database_that_nobody_finds_is_moved_as_it_was() {
    let old = backed_up().await;
    // Receivers wait from here on: to them the database is not there yet.
    old.run("RENAME DATABASE qoestor TO qoestor_moved SETTINGS check_table_dependencies = 0").await;
    let refused = old.server.query("INSERT INTO qoestor.fullflow (host) VALUES ('x')").unwrap_err();
    assert!(refused.to_string().contains("UNKNOWN_DATABASE"), "{refused}");
    let done = old.text("BACKUP DATABASE qoestor_moved AS qoestor TO File('moved')");
    assert!(done.ends_with("BACKUP_CREATED\n"), "{done}");
    let new = start();
    carry("moved", &old, &new);
    restore(&new, "DATABASE qoestor", "moved", "");
    assert_eq!(new.text(RAW), old.text(&RAW.replace("qoestor.", "qoestor_moved.")));
    apply(&new).await;
    // Nothing of ours is made anew but what belongs to the server.
    assert_eq!(new.text("SELECT count() FROM qoestor.schema_steps WHERE object = 'fullflow'"), "2\n");
}

/// To a server of somebody else, which has neither our volumes nor our cluster.
#[tokio::test]
async fn a_server_without_the_volumes_and_the_cluster_takes_it() {
    let mut old = start();
    join("qoeplane", &mut [&mut old]);
    let volumes = "<clickhouse><storage_configuration><policies><ours><volumes><hot><disk>default</disk></hot></volumes>\
                   </ours></policies></storage_configuration></clickhouse>";
    let directory = old.server.prepared.settings.data_dir.join("clickhouse/config.d");
    fs::write(directory.join("volumes.xml"), volumes).unwrap();
    old.server.restart().unwrap();
    let options =
        TableOptions { storage_policy: Some("ours".to_owned()), ..TableOptions::new("qoestor", "fullflow") };
    let cluster = Cluster { name: "qoeplane".to_owned(), shards: 1, is_shared: true };
    let desired = Desired::new("qoestor").with_cluster(cluster).with_table(fullflow().table(&options));
    let steps = plan(&desired, &observe(&old.client, "qoestor").await.unwrap()).unwrap();
    execute(&old.client, &steps).await.unwrap();
    old.run("INSERT INTO qoestor.fullflow_local (login) SELECT 'anna' FROM numbers(1000)").await;
    back_up(&old, "moved", "");

    let mut new = start();
    carry("moved", &old, &new);
    drop(old);
    let refused = new.server.query("RESTORE DATABASE qoestor FROM File('moved')").unwrap_err().to_string();
    assert!(refused.contains("Unknown storage policy"), "{refused}");
    new.run("DROP DATABASE IF EXISTS qoestor SYNC").await;
    restore(&new, "DATABASE qoestor", "moved", "SETTINGS storage_policy = 'default'");

    // The Distributed tables name a cluster that is not there; a plan for one that is makes them anew.
    join("theirs", &mut [&mut new]);
    let cluster = Cluster { name: "theirs".to_owned(), shards: 1, is_shared: false };
    let desired = Desired::new("qoestor")
        .with_cluster(cluster)
        .with_table(fullflow().table(&TableOptions::new("qoestor", "fullflow")));
    let steps = plan(&desired, &observe(&new.client, "qoestor").await.unwrap()).unwrap();
    execute(&new.client, &steps).await.unwrap();
    assert_eq!(new.text("SELECT count(), any(login) FROM qoestor.fullflow"), "1000\tanna\n");
}
