use crate::DICTIONARY_VERSIONS;
use crate::observe::{Observed, ObservedTable};
use crate::owner::database_comment;
use crate::plan::tests::{desired, observed};
use crate::plan::{Action, PlanError, Risk, drop_plan};

fn of(comment: String) -> Observed {
    let mut database = observed();
    database.comment = comment;
    Observed { database: Some(database), ..Observed::default() }
}

fn mine() -> Observed {
    of(database_comment(Some("isp/main")))
}

fn objects(observed: &Observed) -> Vec<String> {
    let plan = drop_plan(&desired().with_owner("isp/main"), observed).unwrap();
    assert!(plan.steps.iter().all(|step| step.risk == Risk::Destructive));
    // Those of dictionaries go like the others.
    let others = |object: &String| !object.ends_with("_rows") && object != DICTIONARY_VERSIONS;
    plan.steps.into_iter().map(|step| step.object).filter(others).collect()
}

#[test]
fn our_tables_go_and_the_record_of_steps_last() {
    assert_eq!(objects(&mine()), ["fullflow", "ledger", "schema_steps", "db"]);
    let plan = drop_plan(&desired().with_owner("isp/main"), &mine()).unwrap();
    assert_eq!(plan.steps[0].sql, "DROP TABLE IF EXISTS db.fullflow SETTINGS max_table_size_to_drop = 0");
    assert_eq!(plan.steps.len(), desired().tables.len() + 1);
    assert_eq!(plan.steps.last().unwrap().action, Action::DropDatabase);
    assert_eq!(objects(&Observed::default()), [""; 0]);
}

#[test]
fn what_is_not_ours_stays_and_the_database_with_it() {
    let mut observed = mine();
    let tables = &mut observed.database.as_mut().unwrap().tables;
    tables.insert("reports".to_owned(), ObservedTable::default());
    assert_eq!(objects(&observed), ["fullflow", "ledger", "schema_steps"]);
    // Somebody else's table under one of our names.
    let tables = &mut observed.database.as_mut().unwrap().tables;
    tables.get_mut("fullflow").unwrap().comment = "copied".to_owned();
    assert_eq!(objects(&observed), ["ledger", "schema_steps"]);
}

#[test]
fn a_servers_part_goes_after_the_table_over_all() {
    let mut observed = mine();
    let tables = &mut observed.database.as_mut().unwrap().tables;
    let part = tables["fullflow"].clone();
    tables.insert("fullflow_local".to_owned(), part);
    assert_eq!(objects(&observed), ["fullflow", "fullflow_local", "ledger", "schema_steps", "db"]);
    // Ended in between, and somebody else's under the part's name.
    let tables = &mut observed.database.as_mut().unwrap().tables;
    tables.remove("fullflow");
    assert_eq!(objects(&observed), ["fullflow_local", "ledger", "schema_steps", "db"]);
    let tables = &mut observed.database.as_mut().unwrap().tables;
    tables.get_mut("fullflow_local").unwrap().comment = "copied".to_owned();
    assert_eq!(objects(&observed), ["ledger", "schema_steps"]);
}

#[test]
fn our_dictionaries_go_before_the_tables_that_they_read() {
    let mut observed = mine();
    let tables = &mut observed.database.as_mut().unwrap().tables;
    let ours = ObservedTable { comment: crate::owner::owned_comment("x"), ..ObservedTable::default() };
    tables.insert("crc_dic".to_owned(), ours);
    assert_eq!(objects(&observed), ["crc_dic", "fullflow", "ledger", "schema_steps", "db"]);
    let plan = drop_plan(&desired().with_owner("isp/main"), &observed).unwrap();
    assert_eq!(plan.steps[0].sql, "DROP DICTIONARY IF EXISTS db.crc_dic");
    // Somebody else's under one of our names.
    let tables = &mut observed.database.as_mut().unwrap().tables;
    tables.insert("crc_dic".to_owned(), ObservedTable::default());
    assert_eq!(objects(&observed), ["fullflow", "ledger", "schema_steps"]);
}

#[test]
fn only_this_collectors_database_is_dropped() {
    let desired = desired().with_owner("isp/main");
    let error = |comment: String| drop_plan(&desired, &of(comment)).unwrap_err();
    assert!(matches!(error("theirs".to_owned()), PlanError::Foreign { .. }));
    assert!(matches!(error(database_comment(None)), PlanError::Unclaimed { .. }));
    let other = error(database_comment(Some("isp/other")));
    assert_eq!(other, PlanError::Shared { database: "db".to_owned(), owner: "isp/other".to_owned() });
}
