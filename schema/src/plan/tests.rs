use super::*;
use crate::observe::ObservedColumn;
use crate::{TableOptions, fullflow};

pub(super) fn desired() -> Desired {
    let options = TableOptions { keep_for: Some(3600), ..TableOptions::new("db", "fullflow") };
    Desired::new("db").with_table(fullflow().table(&options))
}

/// What a server shows of a table as declared.
pub(super) fn as_observed(table: &Table) -> ObservedTable {
    let mut observed = ObservedTable {
        engine: "MergeTree".to_owned(),
        partition_key: table.partition_by.clone(),
        sorting_key: table.sorting_key(),
        comment: table.comment.clone(),
        indices: table.indices.iter().map(|index| index.name.to_owned()).collect(),
        ..ObservedTable::default()
    };
    observed.clauses.ttl = table.ttl.clone();
    observed.clauses.settings = table.settings.iter().cloned().collect();
    observed.clauses.settings.insert("index_granularity".to_owned(), "8192".to_owned());
    for column in &table.columns {
        let found = ObservedColumn {
            sql_type: column.sql_type.clone(),
            default_kind: if column.alias.is_some() { "ALIAS".to_owned() } else { String::new() },
            codec: column.codec.clone(),
            comment: column.comment.clone(),
        };
        observed.columns.insert(column.name.clone(), found);
    }
    observed
}

pub(super) fn observed() -> ObservedDatabase {
    let tables = desired().tables.iter().map(|table| (table.name.clone(), as_observed(table))).collect();
    ObservedDatabase { comment: database_comment(None), tables }
}

fn steps(database: Option<ObservedDatabase>) -> Vec<Step> {
    plan(&desired(), &Observed { database, ..Observed::default() }).unwrap().steps
}

fn one_step(change: impl FnOnce(&mut ObservedTable)) -> Step {
    let mut database = observed();
    change(database.tables.get_mut("fullflow").unwrap());
    let steps = steps(Some(database));
    assert_eq!(steps.len(), 1, "{steps:?}");
    steps[0].clone()
}

fn refusal(change: impl FnOnce(&mut ObservedTable)) -> PlanError {
    let mut database = observed();
    change(database.tables.get_mut("fullflow").unwrap());
    plan(&desired(), &Observed { database: Some(database), ..Observed::default() }).unwrap_err()
}

#[test]
fn nothing_there_makes_everything_and_the_record_of_steps_first() {
    let found = steps(None);
    let actions: Vec<Action> = found.iter().map(|step| step.action).collect();
    assert_eq!(actions[0], Action::CreateDatabase);
    assert_eq!(actions[1..], vec![Action::CreateTable; desired().tables.len()]);
    assert_eq!(found[1].object, "schema_steps");
    assert!(found.iter().all(|step| step.risk == Risk::Additive));
}

#[test]
fn the_desired_state_needs_no_step() {
    assert_eq!(steps(Some(observed())), []);
}

#[test]
fn an_empty_database_is_marked_and_a_foreign_one_refused() {
    let empty = ObservedDatabase::default();
    assert_eq!(steps(Some(empty))[0].action, Action::MarkDatabase);
    let mut foreign = observed();
    foreign.comment = "somebody's".to_owned();
    let error = plan(&desired(), &Observed { database: Some(foreign), ..Observed::default() }).unwrap_err();
    assert_eq!(error, PlanError::Foreign { database: "db".to_owned() });
}

#[test]
fn a_database_belongs_to_one_collector() {
    let of = |comment: String| Observed {
        database: Some(ObservedDatabase { comment, ..observed() }),
        ..Observed::default()
    };
    let mine = desired().with_owner("isp/main");
    // One of version 0.1, which nobody owns yet: the first that comes takes it.
    let found = plan(&mine, &of(database_comment(None))).unwrap();
    assert_eq!(found.steps.len(), 1);
    assert_eq!((found.steps[0].action, found.steps[0].risk), (Action::MarkDatabase, Risk::Metadata));
    let comment = database_comment(Some("isp/main"));
    assert!(found.steps[0].sql.ends_with(&literal(&comment)), "{}", found.steps[0].sql);
    assert_eq!(of(comment.clone()).owner(), Some("isp/main"));
    assert_eq!(plan(&mine, &of(comment)).unwrap().steps, []);
    let error = plan(&mine, &of(database_comment(Some("isp/other")))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "database db belongs to collector isp/other: choose another name, it stays untouched"
    );
    // Made for it from the start.
    let first = plan(&mine, &Observed::default()).unwrap();
    assert!(first.steps[0].sql.ends_with("; collector=isp/main'"), "{}", first.steps[0].sql);
}

#[test]
fn a_missing_column_is_added_in_its_place() {
    let step = one_step(|table| {
        table.columns.remove("source_port");
    });
    assert_eq!((step.action, step.object.as_str()), (Action::AddColumn, "fullflow.source_port"));
    assert_eq!(
        step.sql,
        "ALTER TABLE db.fullflow ADD COLUMN IF NOT EXISTS source_port UInt16 COMMENT 'source port' CODEC(ZSTD(1)) \
         AFTER destination_ipv6"
    );
    let first = one_step(|table| {
        table.columns.remove("dpi_id");
    });
    assert!(first.sql.ends_with(" FIRST"), "{}", first.sql);
}

#[test]
fn a_column_that_we_do_not_know_is_left_alone() {
    let mut database = observed();
    let table = database.tables.get_mut("fullflow").unwrap();
    table.columns.insert("theirs".to_owned(), ObservedColumn::default());
    assert_eq!(steps(Some(database)), []);
}

#[test]
fn each_difference_has_its_step() {
    let step =
        one_step(|table| table.clauses.ttl = "toDateTime(received_at) + toIntervalSecond(1)".to_owned());
    assert_eq!(
        step.sql,
        "ALTER TABLE db.fullflow MODIFY TTL toDateTime(received_at) + toIntervalSecond(3600) \
         SETTINGS materialize_ttl_after_modify = 1"
    );
    assert_eq!(step.risk, Risk::Retention);
    assert_eq!(step.effect, "rows are deleted after 1h, until now after 1s");
    let step = one_step(|table| table.clauses.ttl.clear());
    assert_eq!((step.action, step.risk), (Action::ModifyTtl, Risk::Destructive));
    let step = one_step(|table| table.clauses.ttl = "received_at + toIntervalMonth(1)".to_owned());
    assert_eq!(step.risk, Risk::Destructive);
    let step = one_step(|table| {
        let moved = "toDateTime(received_at) + toIntervalSecond(60) TO VOLUME 'cold', ";
        table.clauses.ttl.insert_str(0, moved);
    });
    assert_eq!((step.action, step.risk), (Action::ModifyTtl, Risk::Retention));
    assert_eq!(step.effect, "rows move to another volume at another time");
    let step = one_step(|table| {
        table.clauses.settings.remove("ttl_only_drop_parts");
    });
    assert_eq!(step.sql, "ALTER TABLE db.fullflow MODIFY SETTING ttl_only_drop_parts = 1");
    let step = one_step(|table| table.comment.clear());
    assert_eq!(step.action, Action::ModifyComment);
    let step = one_step(|table| table.indices.clear());
    assert_eq!(
        step.sql,
        "ALTER TABLE db.fullflow ADD INDEX IF NOT EXISTS flow_start_minmax flow_start_millisecond TYPE minmax \
         GRANULARITY 64"
    );
    let step = one_step(|table| table.columns.get_mut("login").unwrap().codec = "LZ4".to_owned());
    assert_eq!(step.sql, "ALTER TABLE db.fullflow MODIFY COLUMN login CODEC(ZSTD(1))");
    let step = one_step(|table| table.columns.get_mut("login").unwrap().comment.clear());
    assert_eq!(step.sql, "ALTER TABLE db.fullflow COMMENT COLUMN login 'the subscriber'");
}

#[test]
fn a_ttl_that_is_not_wanted_is_removed() {
    let desired = Desired::new("db").with_table(fullflow().table(&TableOptions::new("db", "fullflow")));
    let found = plan(&desired, &Observed { database: Some(observed()), ..Observed::default() }).unwrap();
    assert_eq!(found.steps.len(), 1);
    assert_eq!(found.steps[0].sql, "ALTER TABLE db.fullflow REMOVE TTL");
    assert_eq!((found.steps[0].risk, found.hash()), (Risk::Retention, None));
}

#[test]
fn what_adding_cannot_mend_is_refused_by_name() {
    let error = refusal(|table| table.columns.get_mut("vlan_id").unwrap().sql_type = "String".to_owned());
    assert_eq!(
        error.to_string(),
        "column fullflow.vlan_id is String, it should be UInt16; columns are only added, never changed"
    );
    let error =
        refusal(|table| table.columns.get_mut("flow_start_date").unwrap().default_kind = String::new());
    assert!(error.to_string().contains("should be Date ALIAS"), "{error}");
    let error = refusal(|table| table.sorting_key = "login".to_owned());
    assert!(error.to_string().contains("ORDER BY is login"), "{error}");
    let error = refusal(|table| table.engine = "View".to_owned());
    assert!(error.to_string().contains("engine is View"), "{error}");
}
