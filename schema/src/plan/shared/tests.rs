use std::collections::BTreeMap;

use super::*;
use crate::observe::ObservedColumn;
use crate::owner::{database_comment, owned_comment};
use crate::plan::tests::as_observed;
use crate::plan::{Risk, Step, plan};
use crate::table::MERGE_TREE;
use crate::{TableColumn, TableOptions, fullflow};

fn column(name: &str, alias: Option<&str>) -> TableColumn {
    TableColumn {
        name: name.to_owned(),
        sql_type: "UInt32".to_owned(),
        alias: alias.map(str::to_owned),
        codec: if alias.is_some() { String::new() } else { "ZSTD(1)".to_owned() },
        comment: format!("the {name}"),
    }
}

/// A table of two columns.
fn table() -> Table {
    Table {
        database: "db".to_owned(),
        name: "flows".to_owned(),
        engine: MERGE_TREE,
        columns: vec![column("octets", None), column("bits", Some("octets * 8"))],
        indices: Vec::new(),
        partition_by: String::new(),
        order_by: vec!["octets".to_owned()],
        ttl: String::new(),
        settings: Vec::new(),
        comment: owned_comment("flows"),
        is_shared: true,
    }
}

fn cluster(shards: u32) -> Cluster {
    Cluster { name: "qoeplane".to_owned(), shards, is_shared: shards > 1 }
}

fn desired(shards: Option<u32>) -> Desired {
    let mut desired = Desired::new("db");
    desired.tables = vec![table()];
    desired.cluster = shards.map(cluster);
    desired
}

/// What a server shows of the Distributed table over parts of `table`.
fn as_distributed(table: &Table, cluster: &str) -> ObservedTable {
    let engine_full = format!("Distributed('{cluster}', 'db', '{}_local')", table.name);
    let mut observed = ObservedTable {
        engine: "Distributed".to_owned(),
        engine_full,
        comment: format!("{}; those of all servers", table.comment),
        ..ObservedTable::default()
    };
    observed.columns = as_observed(table).columns;
    observed.columns.values_mut().for_each(|column| column.codec.clear());
    observed
}

fn observed(tables: &[(&str, Option<ObservedTable>)]) -> Observed {
    let there = tables.iter().filter_map(|(name, table)| Some(((*name).to_owned(), table.clone()?)));
    let database = ObservedDatabase { comment: database_comment(None), tables: there.collect() };
    let clusters = Some(BTreeMap::from([("qoeplane".to_owned(), 2)]));
    Observed { database: Some(database), clusters, ..Observed::default() }
}

fn steps(desired: &Desired, observed: &Observed) -> Vec<Step> {
    plan(desired, observed).unwrap().steps
}

fn named(steps: &[Step]) -> Vec<(Action, &str)> {
    steps.iter().map(|step| (step.action, step.object.as_str())).collect()
}

#[test]
fn a_table_is_renamed_and_another_stands_for_all() {
    let found = steps(&desired(Some(2)), &observed(&[("flows", Some(as_observed(&table())))]));
    assert_eq!(named(&found), [(Action::RenameTable, "flows"), (Action::CreateTable, "flows")]);
    assert_eq!(
        found[0].sql,
        "RENAME TABLE IF EXISTS db.flows TO db.flows_local SETTINGS check_table_dependencies = 0"
    );
    assert_eq!(found[0].risk, Risk::Metadata);
    assert_eq!(
        found[1].sql,
        "CREATE TABLE IF NOT EXISTS db.flows\n(\n    octets UInt32 COMMENT 'the octets',\n    \
         bits UInt32 ALIAS octets * 8 COMMENT 'the bits',\n    \
         CONSTRAINT takes_no_inserts CHECK throwIf(1, 'insert into db.flows_local') = 0\n)\n\
         ENGINE = Distributed('qoeplane', 'db', 'flows_local')\nCOMMENT 'qoeplane: flows; those of all servers'"
    );
    assert_eq!(found[1].risk, Risk::Additive);
}

#[test]
fn what_is_missing_is_added_to_the_part_under_its_new_name() {
    let mut alone = as_observed(&table());
    alone.columns.remove("bits");
    let found = steps(&desired(Some(2)), &observed(&[("flows", Some(alone))]));
    assert_eq!(found.len(), 3);
    assert_eq!((found[2].action, found[2].object.as_str()), (Action::AddColumn, "flows_local.bits"));
    assert!(found[2].sql.starts_with("ALTER TABLE db.flows_local ADD COLUMN"), "{}", found[2].sql);
}

#[test]
fn dictionaries_and_steps_are_whole_on_each_server() {
    let all = Desired::new("db").with_table(fullflow().table(&TableOptions::new("db", "fullflow")));
    let clusters = observed(&[]).clusters;
    let found = steps(&all.with_cluster(cluster(2)), &Observed { clusters, ..Observed::default() });
    let made: Vec<&str> = found.iter().map(|step| step.object.as_str()).collect();
    let shared = |name: &&str| name.contains("fullflow") || name.contains("ledger");
    assert_eq!(
        made.iter().copied().filter(shared).collect::<Vec<_>>(),
        ["ledger_local", "ledger", "fullflow_local", "fullflow"]
    );
    let others = made.iter().filter(|name| !shared(name));
    assert!(others.clone().count() > 3);
    assert!(others.clone().all(|name| !name.ends_with("_local")), "{made:?}");
    assert!(
        found.iter().all(|step| step.sql.contains("Distributed(")
            == ["ledger", "fullflow"].contains(&step.object.as_str()))
    );
}

/// Carries a step out on what was observed, as a server would.
fn execute(observed: &mut Observed, step: &Step) {
    let tables = &mut observed.database.as_mut().unwrap().tables;
    let table = table();
    let local = table.local();
    match step.action {
        Action::CreateTable if step.object == local.name => {
            tables.entry(local.name.clone()).or_insert_with(|| as_observed(&local));
        }
        Action::CreateTable if step.sql.contains("Distributed(") => {
            tables.entry(table.name.clone()).or_insert_with(|| as_distributed(&table, "qoeplane"));
        }
        Action::CreateTable => {
            tables.entry(table.name.clone()).or_insert_with(|| as_observed(&table));
        }
        Action::ReplaceDistributed => {
            assert_eq!(tables["flows"].engine, "Distributed", "rows would be lost");
            tables.insert(table.name.clone(), as_distributed(&table, "qoeplane"));
        }
        Action::RenameTable => {
            assert!(!tables.contains_key(&local.name), "a server refuses that");
            if let Some(renamed) = tables.remove(&table.name) {
                tables.insert(local.name.clone(), renamed);
            }
        }
        Action::AddColumn => {
            let (object, column) = step.object.split_once('.').unwrap();
            let added = as_observed(&table).columns[column].clone();
            tables.get_mut(object).unwrap().columns.insert(column.to_owned(), added);
        }
        other => panic!("{other:?}"),
    }
}

/// From each state that a table of the name may be in, with each number of servers.
#[test]
fn a_run_that_ends_after_any_step_is_gone_on_with() {
    // Rows are told by a column that nothing but those rows has.
    let with_rows = |mut table: ObservedTable| {
        table.columns.insert("theirs".to_owned(), ObservedColumn::default());
        table
    };
    let mut short = as_observed(&table());
    short.columns.remove("bits");
    let parts = [None, Some(with_rows(as_observed(&table()))), Some(with_rows(short))];
    let mut all = parts.to_vec();
    all.push(Some(as_distributed(&table(), "qoeplane")));
    all.push(Some(as_distributed(&table(), "another")));
    let mut ends = 0;
    for (shards, part, all) in [1, 2].into_iter().flat_map(|shards| {
        let all = &all;
        parts.iter().flat_map(move |part| all.iter().map(move |all| (shards, part, all)))
    }) {
        let mut observed = observed(&[("flows", all.clone()), ("flows_local", part.clone())]);
        let desired = desired(Some(shards));
        let is_alone = all.as_ref().is_some_and(|all| all.engine == MERGE_TREE);
        if part.is_some() && is_alone {
            let error = plan(&desired, &observed).unwrap_err();
            assert_eq!(
                error.to_string(),
                "table flows: the engine, beside its local table, is MergeTree, it should be Distributed, and it \
                 cannot be changed in place"
            );
            continue;
        }
        let whole = steps(&desired, &observed);
        for done in &whole {
            let rest = steps(&desired, &observed);
            assert_eq!(&rest[0], done, "the same plan goes on");
            execute(&mut observed, done);
            // Its answer was lost, and it is sent again; a second RENAME finds nothing.
            if done.action != Action::RenameTable {
                execute(&mut observed, done);
            }
        }
        assert_eq!(steps(&desired, &observed), []);
        let tables = &observed.database.as_ref().unwrap().tables;
        let is_split = shards == 2 || part.is_some() || (all.is_some() && !is_alone);
        assert_eq!(tables.contains_key("flows_local"), is_split);
        assert_eq!(tables["flows"].engine, if is_split { DISTRIBUTED } else { MERGE_TREE });
        let rows = if is_split { "flows_local" } else { "flows" };
        let had_rows = part.is_some() || is_alone;
        assert_eq!(tables[rows].columns.contains_key("theirs"), had_rows);
        assert_eq!(tables[rows].columns.len(), table().columns.len() + usize::from(had_rows));
        ends += 1;
    }
    assert_eq!(ends, 2 * (parts.len() * all.len() - 4));
}

#[test]
fn a_distributed_table_is_made_anew_when_it_differs() {
    let part = as_observed(&table().local());
    let with = |change: &dyn Fn(&mut ObservedTable)| {
        let mut all = as_distributed(&table(), "qoeplane");
        change(&mut all);
        steps(&desired(Some(2)), &observed(&[("flows", Some(all)), ("flows_local", Some(part.clone()))]))
    };
    assert_eq!(with(&|_| ()), []);
    let changes: [&dyn Fn(&mut ObservedTable); 7] = [
        &|all| all.engine_full = "Distributed('qoeplane', 'db', 'flows')".to_owned(),
        &|all| all.engine_full = "Distributed('qoeplane', 'db', 'flows_local', rand())".to_owned(),
        &|all| all.comment = "somebody's".to_owned(),
        &|all| all.columns.get_mut("octets").unwrap().comment = "another".to_owned(),
        &|all| all.columns.get_mut("bits").unwrap().default_kind.clear(),
        &|all| all.columns.get_mut("octets").unwrap().sql_type = "UInt64".to_owned(),
        &|all| {
            all.columns.remove("bits");
        },
    ];
    for change in changes {
        let found = with(change);
        assert_eq!(named(&found), [(Action::ReplaceDistributed, "flows")]);
        assert!(found[0].sql.starts_with("CREATE OR REPLACE TABLE db.flows\n"), "{}", found[0].sql);
        assert_eq!(found[0].risk, Risk::Metadata);
    }
}

#[test]
fn a_column_that_we_do_not_know_stays_where_it_is() {
    let theirs = |sql_type: &str| ObservedColumn {
        sql_type: sql_type.to_owned(),
        default_kind: "ALIAS".to_owned(),
        ..ObservedColumn::default()
    };
    let found = |above: Option<&str>, below: Option<&str>, comment: &str| {
        let (mut all, mut part) = (as_distributed(&table(), "qoeplane"), as_observed(&table().local()));
        all.columns.extend(above.map(|sql_type| ("theirs".to_owned(), theirs(sql_type))));
        all.columns.get_mut("octets").unwrap().comment = comment.to_owned();
        part.columns.extend(below.map(|sql_type| ("theirs".to_owned(), theirs(sql_type))));
        steps(&desired(Some(2)), &observed(&[("flows", Some(all)), ("flows_local", Some(part))]))
    };
    assert_eq!(found(None, Some("Date"), "the octets"), [], "another server may not have it");
    assert_eq!(found(Some("Date"), Some("Date"), "the octets"), []);
    let changed = found(Some("Date"), Some("Date"), "old");
    assert!(changed[0].sql.contains("\n    theirs Date,\n"), "{}", changed[0].sql);
    // It would fail every query that asks for all columns.
    for below in [None, Some("UInt8")] {
        let removed = found(Some("Date"), below, "the octets");
        assert_eq!(named(&removed), [(Action::ReplaceDistributed, "flows")]);
        assert!(!removed[0].sql.contains("theirs"), "{}", removed[0].sql);
    }
}

#[test]
fn shared_rows_need_their_cluster() {
    let split = observed(&[("flows_local", Some(as_observed(&table().local())))]);
    assert_eq!(
        plan(&desired(None), &split).unwrap_err().to_string(),
        "table flows_local of database db has one server's part of the rows: without a cluster that names the \
         servers nothing is changed"
    );
    let only_above = observed(&[("flows", Some(as_distributed(&table(), "qoeplane")))]);
    assert!(matches!(plan(&desired(None), &only_above), Err(PlanError::NoCluster { .. })));

    let mut server = split.clone();
    server.clusters = Some(BTreeMap::from([("other".to_owned(), 7)]));
    assert_eq!(
        plan(&desired(Some(1)), &server).unwrap_err(),
        PlanError::Cluster { cluster: "qoeplane".to_owned(), found: 0, expected: 1 }
    );
    assert_eq!(
        plan(&desired(Some(3)), &split).unwrap_err().to_string(),
        "cluster qoeplane has 2 shards in the server's configuration, it should have 3: nothing is changed before"
    );
    // A user who may not look.
    server.clusters = None;
    assert_eq!(named(&steps(&desired(Some(3)), &server)), [(Action::CreateTable, "flows")]);
    // One server alone needs no cluster.
    let alone = Observed { clusters: Some(BTreeMap::new()), ..observed(&[]) };
    assert_eq!(named(&steps(&desired(Some(1)), &alone)), [(Action::CreateTable, "flows")]);
}

#[test]
fn a_table_of_somebody_else_under_the_parts_name_changes_nothing() {
    let mut theirs = as_observed(&table().local());
    theirs.comment = "a copy".to_owned();
    let found = observed(&[("flows", Some(as_observed(&table()))), ("flows_local", Some(theirs))]);
    for shards in [None, Some(1)] {
        assert_eq!(steps(&desired(shards), &found), []);
    }
    assert!(matches!(plan(&desired(Some(2)), &found), Err(PlanError::Table { .. })));
}

#[test]
fn each_server_waits_for_the_same_approval() {
    let ttl = |seconds: u32| format!("toDateTime(octets) + toIntervalSecond({seconds})");
    let mut wanted = desired(Some(2));
    wanted.tables[0].ttl = ttl(60);
    let with_ttl = |mut observed: ObservedTable| {
        observed.clauses.ttl = ttl(3600);
        Some(observed)
    };
    let table = &table();
    let renamed = observed(&[
        ("flows", Some(as_distributed(table, "qoeplane"))),
        ("flows_local", with_ttl(as_observed(&table.local()))),
    ]);
    let alone = observed(&[("flows", with_ttl(as_observed(table)))]);
    let hash = plan(&wanted, &renamed).unwrap().hash();
    assert!(hash.is_some());
    assert_eq!(plan(&wanted, &alone).unwrap().hash(), hash);
    let plan = plan(&wanted, &alone).unwrap();
    let waits: Vec<_> = plan.destructive().map(|step| step.object.as_str()).collect();
    assert_eq!(waits, ["flows_local"]);
}

#[test]
fn a_table_that_cannot_become_a_part_keeps_its_name_in_the_refusal() {
    let mut alone = as_observed(&table());
    alone.sorting_key = "bits".to_owned();
    let error = plan(&desired(Some(2)), &observed(&[("flows", Some(alone))])).unwrap_err();
    assert!(error.to_string().starts_with("table flows: ORDER BY is bits"), "{error}");
}
