use dictionaries::Unreachable;
use dictionaries::parse::BadRows;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::*;

fn report(state: State) -> Report {
    Report {
        object: "subnets".to_owned(),
        rows: 3,
        bad: BadRows::default(),
        warnings: Vec::new(),
        version: Some(7),
        state,
    }
}

fn bad(count: u64, reason: &str) -> BadRows {
    let first = (1..=count.min(100)).map(|line| BadRow { line, reason: reason.to_owned() }).collect();
    BadRows { count, first }
}

fn user(name: &str, report: Report) -> User {
    User { name: name.to_owned(), entry: Some(Entry { generation: 2, report }) }
}

fn unreported(name: &str) -> User {
    User { name: name.to_owned(), entry: None }
}

/// `REASON MESSAGE`
fn shown(users: &[User]) -> String {
    let judgement = of_users(users, 2, None);
    format!("{} {}", judgement.standing.reason(), judgement.message)
}

fn away() -> State {
    State::Unreachable(Unreachable { since: 1_795_000_000, error: "a has no key b".to_owned() })
}

#[test]
fn each_state_has_its_reason() {
    assert_eq!(shown(&[user("main", report(State::InForce))]), "InForce version 7: 3 rows are in force");
    assert!(shown(&[user("main", report(State::BadRows))]).starts_with("BadRows it has bad rows: "));
    let text = shown(&[user("main", report(State::Conflict("a and b share 1 key".to_owned())))]);
    assert_eq!(text, "Conflict a and b share 1 key: what was in force stays");
    let text = shown(&[user("main", report(away()))]);
    assert!(text.starts_with("SourceUnreachable its source cannot be read since 2026-"), "{text}");
    let text = shown(&[user("main", report(State::WaitsFor("other".to_owned())))]);
    assert!(text.starts_with("Loading it waits for other"), "{text}");
    assert!(shown(&[user("main", report(State::Failed("away".to_owned())))]).starts_with("Loading away"));
    assert!(shown(&[unreported("main")]).starts_with("Loading collector main has not loaded it yet"));
}

#[test]
fn conditions_follow_from_the_standing() {
    let flags = |standing: Standing| (standing.is_ready(), standing.is_reconciling(), standing.is_stalled());
    for (standing, expected) in [
        (Standing::InForce, (true, false, false)),
        (Standing::InForceWithBadRows, (true, false, false)),
        (Standing::NotUsed, (false, false, false)),
        (Standing::Loading, (false, true, false)),
        (Standing::SourceUnreachable, (false, true, false)),
        (Standing::Conflict, (false, false, true)),
        (Standing::BadRows, (false, false, true)),
        (Standing::NotOnKubernetes, (false, false, true)),
        (Standing::Invalid, (false, false, true)),
    ] {
        assert_eq!(flags(standing), expected, "{standing:?}");
    }
}

#[test]
fn bad_rows_are_named_and_bounded() {
    let mut left_out = report(State::InForce);
    left_out.bad = bad(12, "expected a prefix");
    let text = shown(&[user("main", left_out)]);
    assert!(
        text.starts_with(
            "InForceWithBadRows version 7: 3 rows are in force; 12 bad rows are left out: line 1:"
        ),
        "{text}"
    );
    assert!(text.contains("line 10: expected a prefix; and 2 more"), "{text}");
    assert!(!text.contains("line 11"), "{text}");

    let mut refused = report(State::BadRows);
    refused.bad = bad(1_000_000, &"ю".repeat(5_000));
    refused.warnings = bad(50, &"ю".repeat(5_000)).first;
    let judgement = of_report(&refused);
    assert!(judgement.message.len() <= MAX_MESSAGE, "{}", judgement.message.len());
    assert!(judgement.message.contains("1000000 bad rows: line 1: "), "{}", judgement.message);
}

#[test]
fn odd_rows_are_named() {
    let mut odd = report(State::InForce);
    odd.warnings = bad(1, "host bits are set").first;
    let text = shown(&[user("main", odd)]);
    assert_eq!(
        text,
        "InForce version 7: 3 rows are in force; 1 rows look unintended: line 1: host bits are set"
    );
}

#[test]
fn the_worst_of_all_collectors_counts() {
    let users = [
        user("edge", report(away())),
        user("main", report(State::InForce)),
        user("site", report(State::BadRows)),
    ];
    let text = shown(&users);
    assert!(text.starts_with("BadRows site: "), "{text}");
    assert!(!text.contains("main: "), "{text}");
    let users = [user("edge", report(State::InForce)), unreported("main")];
    assert!(shown(&users).starts_with("Loading main: collector main has not"), "{}", shown(&users));
    let users = [user("edge", report(State::InForce)), user("main", report(State::InForce))];
    assert!(shown(&users).starts_with("InForce edge: version 7"), "{}", shown(&users));
}

#[test]
fn an_older_generation_is_not_ready() {
    let users = [user("main", report(State::InForce))];
    assert_eq!(of_users(&users, 3, None).standing, Standing::Loading);
    assert_eq!(of_users(&users, 2, None).standing, Standing::InForce);
}

#[test]
fn nobody_uses_it() {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let judgement = of_users(&[], 1, Some(&names(&["edge", "site"])));
    assert_eq!(judgement.standing, Standing::NotUsed);
    assert!(judgement.message.contains("named edge or site"), "{}", judgement.message);
    assert!(of_users(&[], 1, None).message.contains("no QoeCollector in this namespace"));
    let previous = QoeDictionaryStatus { rows: Some(1), ..QoeDictionaryStatus::default() };
    assert_eq!(numbers(&[], &judgement, &previous), QoeDictionaryStatus::default());
}

fn numbers_of(users: &[User], previous: &QoeDictionaryStatus) -> (Option<u64>, Option<u64>, Option<String>) {
    let status = numbers(users, &of_users(users, 2, None), previous);
    (status.rows, status.bad_rows, status.version)
}

#[test]
fn numbers_are_of_what_is_in_force() {
    let previous = QoeDictionaryStatus {
        rows: Some(9),
        bad_rows: Some(1),
        version: Some("6".to_owned()),
        ..QoeDictionaryStatus::default()
    };
    let version = |text: &str| Some(text.to_owned());
    assert_eq!(
        numbers_of(&[user("main", report(State::InForce))], &previous),
        (Some(3), Some(0), version("7"))
    );
    let mut refused = report(State::BadRows);
    refused.bad = bad(2, "wrong");
    assert_eq!(numbers_of(&[user("main", refused)], &previous), (Some(9), Some(2), version("6")));
    let mut unread = report(away());
    unread.rows = 0;
    assert_eq!(numbers_of(&[user("main", unread)], &previous), (Some(9), Some(1), version("6")));
    let mut other = report(State::InForce);
    other.version = Some(4);
    let users = [user("edge", other), user("main", report(State::InForce))];
    assert_eq!(numbers_of(&users, &previous).2, version("edge 4, main 7"));
    let used_by = numbers(&users, &of_users(&users, 2, None), &previous).used_by;
    assert_eq!(used_by, ["edge", "main"]);
}

#[test]
fn a_restart_changes_no_status() {
    let condition = |status: &str| Condition {
        type_: "Ready".to_owned(),
        status: status.to_owned(),
        reason: "InForce".to_owned(),
        message: String::new(),
        observed_generation: Some(2),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    };
    let previous = QoeDictionaryStatus {
        observed_generation: Some(2),
        conditions: vec![condition("True")],
        used_by: vec!["main".to_owned()],
        ..QoeDictionaryStatus::default()
    };
    assert!(still_holds(&[unreported("main")], Some(2), &previous));
    assert!(!still_holds(&[unreported("main")], Some(3), &previous), "it was edited");
    assert!(!still_holds(&[unreported("edge"), unreported("main")], Some(2), &previous), "another collector");
    assert!(!still_holds(&[user("main", report(State::BadRows))], Some(2), &previous), "it was reported on");
    assert!(!still_holds(&[], Some(2), &previous));
    let not_ready = QoeDictionaryStatus { conditions: vec![condition("False")], ..previous.clone() };
    assert!(!still_holds(&[unreported("main")], Some(2), &not_ready));

    let one = |status: &QoeDictionaryStatus, user: User| {
        let object = serde_json::json!({
            "apiVersion": "qoeplane.io/v1alpha1",
            "kind": "QoeDictionary",
            "metadata": {"name": "subnets", "namespace": "n", "generation": 2},
            "spec": {"type": "SubnetsLocal", "source": {"inline": ""}},
            "status": status,
        });
        let (judgement, version) = of_one(&serde_json::from_value(object).unwrap(), user);
        (judgement.standing, version)
    };
    let previous = QoeDictionaryStatus { version: Some("7".to_owned()), ..previous };
    assert_eq!(one(&previous, unreported("main")), (Standing::InForce, Some(7)));
    assert_eq!(one(&previous, unreported("edge")), (Standing::Loading, None));
    assert_eq!(one(&not_ready, unreported("main")), (Standing::Loading, None));
    assert_eq!(one(&previous, user("main", report(State::BadRows))), (Standing::BadRows, Some(7)));
}
