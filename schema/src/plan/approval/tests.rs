use crate::observe::{Observed, ObservedDatabase};
use crate::plan::tests::as_observed;
use crate::plan::{Action, Plan, Risk, plan};
use crate::{Desired, TableOptions, clickstream, dnsflow, fullflow};

/// Three tables that keep their rows so many hours.
fn desired(hours: [u64; 3]) -> Desired {
    let mut desired = Desired::new("db");
    for (stream, hours) in [fullflow(), clickstream(), dnsflow()].iter().zip(hours) {
        let options = TableOptions { keep_for: Some(hours * 3600), ..TableOptions::new("db", stream.name) };
        desired = desired.with_table(stream.table(&options));
    }
    desired
}

fn observed(hours: [u64; 3]) -> Observed {
    let tables = desired(hours).tables.iter().map(|table| (table.name.clone(), as_observed(table))).collect();
    let comment = crate::owner::database_comment(None);
    Observed { database: Some(ObservedDatabase { comment, tables }), ..Observed::default() }
}

fn planned(wanted: [u64; 3], present: [u64; 3]) -> Plan {
    plan(&desired(wanted), &observed(present)).unwrap()
}

#[test]
fn destructive_steps_wait_and_the_others_do_not() {
    let plan = planned([1, 72, 24], [24, 24, 24]);
    let (now, wait) = plan.approved(&[]);
    assert_eq!(now.steps.iter().map(|step| step.object.as_str()).collect::<Vec<_>>(), ["clickstream"]);
    assert_eq!(wait.steps.iter().map(|step| step.object.as_str()).collect::<Vec<_>>(), ["fullflow"]);
    assert_eq!((now.hash(), wait.hash()), (None, plan.hash()));
    assert_eq!(wait.steps[0].risk, Risk::Destructive);

    let (now, wait) = plan.approved(&["sha256:00".to_owned(), plan.hash().unwrap()]);
    assert_eq!((now.steps.len(), wait.steps.len()), (2, 0));
    assert_eq!(now.steps, plan.steps);
}

#[test]
fn the_hash_is_that_of_the_destructive_steps_alone() {
    let plan = planned([1, 24, 24], [24, 24, 24]);
    let hash = plan.hash().unwrap();
    assert_eq!(hash.len(), "sha256:".len() + 64);
    assert_eq!(Some(&hash), planned([1, 72, 24], [24, 24, 24]).hash().as_ref());
    assert_eq!(Some(&hash), planned([1, 24, 24], [7, 24, 24]).hash().as_ref());
    assert_ne!(Some(&hash), planned([2, 24, 24], [24, 24, 24]).hash().as_ref());
    assert_ne!(Some(&hash), planned([1, 1, 24], [24, 24, 24]).hash().as_ref());
    assert_eq!(planned([72, 24, 24], [24, 24, 24]).hash(), None);
    assert_ne!(plan.id(), planned([1, 72, 24], [24, 24, 24]).id());
    // It stands in people's files: a release must not change what they have approved.
    assert_eq!(hash, "sha256:1c780e1540a3a30572ca6a53b904bcd512ae57e069bde51ba34dcbc79e7ac007");
}

#[test]
fn what_is_left_of_an_approved_plan_needs_no_other_approval() {
    let approvals = [planned([1, 2, 3], [24, 24, 24]).hash().unwrap()];
    for done in [[1, 24, 24], [1, 2, 24], [24, 2, 24], [24, 24, 3], [24, 2, 3]] {
        let rest = planned([1, 2, 3], done);
        assert!(!rest.approved(&[]).1.is_empty());
        assert!(rest.approved(&approvals).1.is_empty(), "{done:?}");
    }
    assert!(planned([1, 2, 3], [1, 2, 3]).is_empty());
    // Another end than the approved one.
    for wanted in [[1, 2, 4], [1, 1, 3], [2, 2, 3]] {
        let (_, wait) = planned(wanted, [24, 24, 24]).approved(&approvals);
        assert_eq!(wait.steps.len(), 3, "{wanted:?}");
    }
    // An approval of a part is none of the whole.
    let part = [planned([1, 24, 24], [24, 24, 24]).hash().unwrap()];
    assert_eq!(planned([1, 2, 24], [24, 24, 24]).approved(&part).1.steps.len(), 2);
}

#[test]
fn a_table_that_the_plan_makes_needs_no_approval() {
    let mut observed = observed([24, 24, 24]);
    observed.database.as_mut().unwrap().tables.remove("fullflow");
    let plan = plan(&desired([1, 24, 24]), &observed).unwrap();
    assert_eq!(plan.steps.iter().map(|step| step.action).collect::<Vec<_>>(), [Action::CreateTable]);
    assert_eq!(plan.hash(), None);
}
