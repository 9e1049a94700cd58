use crds::receiver::{DestinationStatus, DpiStatus, SequenceStatus, Status, StreamStatus};
use crds::status::SchemaState;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::*;
use crate::collector::validate::Refused;
use crate::dictionaries::judgement::{Judgement, Standing};

const NOW: i64 = 1_795_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

fn answer(decoded: u64, missing: u64) -> Status {
    let stream = StreamStatus {
        name: "fullflow".to_owned(),
        ready: true,
        sequence: SequenceStatus { missing, ..SequenceStatus::default() },
        destination: DestinationStatus { decoded, stored: decoded, ..DestinationStatus::default() },
        last_record_at: Some(u64::try_from(NOW).unwrap() * 1_000),
        ..StreamStatus::default()
    };
    let dpi = DpiStatus { id: 0, streams: vec![stream], ..DpiStatus::default() };
    Status { version: "0.2.0".to_owned(), dpis: vec![dpi], ..Status::default() }
}

fn receiver(dpi: u16, ready: bool) -> ReceiverFacts {
    ReceiverFacts {
        dpi,
        ready,
        serving: ready,
        status: Some(Ok(answer(1_000, 0))),
        ..ReceiverFacts::default()
    }
}

fn facts() -> Facts {
    Facts {
        generation: 3,
        version: Some("0.2.0".to_owned()),
        refused: None,
        paused: false,
        receivers: vec![receiver(0, true), receiver(1, true)],
        schema: SchemaReport {
            ready: Some(true),
            reason: "UpToDate",
            message: "the tables are as they should be".to_owned(),
            stalled: false,
            new_version_may_run: true,
            foreign: false,
            state: SchemaState::default(),
            ready_shards: vec![true],
        },
        servers: ServersFacts::default(),
        failures: Vec::new(),
        lost_lately: 0,
        dictionaries: DictionaryFacts::default(),
        now: at(0),
    }
}

/// `Type=Status/Reason` of the conditions that are asked for.
fn shown(facts: &Facts, names: &[&str]) -> String {
    let status = status(facts, None);
    let shown = names.iter().map(|name| match condition(&status.conditions, name) {
        Some(found) => format!("{name}={}/{}", found.status, found.reason),
        None => format!("{name} absent"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn all_is_well() {
    let names = ["Ready", "Reconciling", "Stalled", "Receiving", "NothingLost", "JournalLost"];
    assert_eq!(
        shown(&facts(), &names),
        "Ready=True/Ready Reconciling=False/Done Stalled=False/NotStalled Receiving=True/EveryDPISends \
         NothingLost=True/NothingLost JournalLost absent"
    );
    let status = status(&facts(), None);
    assert_eq!(status.receivers_ready.as_deref(), Some("2/2"));
    assert_eq!(status.totals.unwrap().received.as_deref(), Some("2.0k"));
}

/// Server-side apply turns an object whose fields have all gone into null, which is then refused: the status would
/// stay as it was while nobody answers.
#[test]
fn nothing_in_a_status_is_an_empty_object() {
    fn look(value: &serde_json::Value, path: &str) {
        match value {
            serde_json::Value::Object(fields) => {
                assert!(!fields.is_empty(), "{path} is empty");
                fields.iter().for_each(|(name, field)| look(field, &format!("{path}.{name}")));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| look(item, path)),
            serde_json::Value::Null => panic!("{path} is null"),
            _ => {}
        }
    }
    let mut nobody_answers = facts();
    for receiver in &mut nobody_answers.receivers {
        receiver.status = None;
    }
    let nobody_there = Facts { receivers: Vec::new(), ..facts() };
    let mut no_schema = facts();
    no_schema.schema = SchemaReport::unknown("the object is refused");
    for facts in [facts(), nobody_answers, nobody_there, no_schema] {
        look(&serde_json::to_value(status(&facts, None)).unwrap(), "status");
    }
}

#[test]
fn ready_needs_every_receiver_and_the_schema() {
    let names = ["Ready", "Reconciling", "Stalled"];
    let mut one_away = facts();
    one_away.receivers[1] = receiver(1, false);
    assert_eq!(
        shown(&one_away, &names),
        "Ready=False/NotReady Reconciling=True/NotReady Stalled=False/NotStalled"
    );
    one_away.receivers[1].unscheduled = Some(("NoMatchingNode", "no node fits".to_owned()));
    assert_eq!(
        shown(&one_away, &names),
        "Ready=False/NoMatchingNode Reconciling=False/Stalled Stalled=True/NoMatchingNode"
    );
    let mut no_tables = facts();
    no_tables.schema.ready = Some(false);
    no_tables.schema.reason = "ClickHouseUnreachable";
    assert_eq!(
        shown(&no_tables, &names),
        "Ready=False/ClickHouseUnreachable Reconciling=True/ClickHouseUnreachable Stalled=False/NotStalled"
    );
    let mut refused = facts();
    refused.refused = Some(Refused { reason: "Invalid", message: "spec.dpis[0]: wrong".to_owned() });
    assert_eq!(shown(&refused, &names), "Ready=False/Invalid Reconciling=False/Stalled Stalled=True/Invalid");
    let mut failed = facts();
    failed.failures = vec!["DPI 0: Service main-dpi-0 belongs to somebody".to_owned()];
    assert_eq!(
        shown(&failed, &names),
        "Ready=False/ApplyFailed Reconciling=True/ApplyFailed Stalled=False/NotStalled"
    );
}

#[test]
fn losses_and_silence_are_no_part_of_ready() {
    let mut lossy = facts();
    lossy.receivers[0].status = Some(Ok(answer(1_000, 12)));
    lossy.lost_lately = 12;
    assert_eq!(shown(&lossy, &["Ready", "NothingLost"]), "Ready=True/Ready NothingLost=False/RecordsLost");
    let conditions = status(&lossy, None).conditions;
    assert!(condition(&conditions, "NothingLost").unwrap().message.contains("12 records missing"));
    // An hour later the loss is still in the totals and no longer in the status.
    lossy.lost_lately = 0;
    assert_eq!(shown(&lossy, &["NothingLost"]), "NothingLost=True/NothingLost");
    let mut silent = facts();
    silent.now = at(3_600);
    assert_eq!(shown(&silent, &["Ready", "Receiving"]), "Ready=True/Ready Receiving=False/Silent");
    let mut fresh = facts();
    for receiver in &mut fresh.receivers {
        receiver.status = Some(Ok(answer(0, 0)));
    }
    assert_eq!(shown(&fresh, &["Receiving"]), "Receiving=Unknown/NoRecordYet");
}

#[test]
fn a_condition_is_dated_by_its_status_only() {
    let first = status(&facts(), None);
    let mut later = facts();
    later.now = at(90);
    later.generation = 4;
    later.receivers[0].status = Some(Ok(answer(2_000, 0)));
    later.receivers[1].ready = false;
    let second = status(&later, Some(&first));
    let time = |status: &QoeCollectorStatus, name: &str| {
        condition(&status.conditions, name).unwrap().last_transition_time.0
    };
    assert_eq!(time(&second, "Ready"), at(90));
    assert_eq!(time(&second, "SchemaReady"), at(0));
    assert_eq!(condition(&second.conditions, "SchemaReady").unwrap().observed_generation, Some(4));
}

#[test]
fn numbers_are_written_once_a_minute_and_conditions_at_once() {
    let first = status(&facts(), None);
    let mut later = facts();
    later.receivers[0].status = Some(Ok(answer(5_000, 0)));
    for (seconds, worth) in [(1, false), (59, false), (60, true)] {
        later.now = at(0) + SignedDuration::from_secs(seconds);
        let new = status(&later, Some(&first));
        assert_eq!(is_worth_writing(Some(&first), &new, later.now), worth, "{seconds} s");
    }
    let mut same = facts();
    same.now = at(600);
    let mut unchanged = status(&same, Some(&first));
    for condition in &mut unchanged.conditions {
        // The words about silence count minutes.
        if condition.type_ == "Receiving" {
            *condition = first.conditions.iter().find(|first| first.type_ == "Receiving").unwrap().clone();
        }
    }
    assert!(!is_worth_writing(Some(&first), &unchanged, same.now), "nothing has changed");
    let mut broken = facts();
    broken.now = at(1);
    broken.receivers[0].ready = false;
    assert!(is_worth_writing(Some(&first), &status(&broken, Some(&first)), broken.now));
    assert!(is_worth_writing(None, &first, at(0)));
}

fn using(dictionaries: &[(&str, Standing)], newest: u32) -> DictionaryFacts {
    let judged = dictionaries.iter().map(|(name, standing)| {
        (name.to_string(), Judgement { standing: *standing, message: format!("it is {}", standing.reason()) })
    });
    DictionaryFacts { judged: judged.collect(), newest }
}

/// Receivers that hold these versions.
fn holding(versions: [u32; 2]) -> Vec<ReceiverFacts> {
    let mut receivers = vec![receiver(0, true), receiver(1, true)];
    for (receiver, version) in receivers.iter_mut().zip(versions) {
        if let Some(Ok(answer)) = &mut receiver.status {
            answer.dictionaries.version = version;
        }
    }
    receivers
}

fn dictionaries_ready(facts: &Facts) -> (String, String) {
    let status = status(facts, None);
    let found = condition(&status.conditions, "DictionariesReady").unwrap();
    (format!("{}/{}", found.status, found.reason), found.message.clone())
}

#[test]
fn dictionaries_are_ready_when_receivers_have_them() {
    assert_eq!(dictionaries_ready(&facts()).0, "True/NoDictionaries");
    let both = [("hosts", Standing::InForce), ("subnets", Standing::InForceWithBadRows)];
    let mut facts = Facts { dictionaries: using(&both, 7), receivers: holding([7, 8]), ..facts() };
    assert_eq!(dictionaries_ready(&facts).0, "True/InForce");

    facts.receivers = holding([7, 6]);
    let (found, message) = dictionaries_ready(&facts);
    assert_eq!(
        (found.as_str(), message.as_str()),
        ("False/ReceiversBehind", "DPI 1 has version 6, 7 is the newest")
    );
    assert_eq!(shown(&facts, &["Ready"]), "Ready=True/Ready", "dictionaries are no part of it");

    // One that does not answer is no reason.
    facts.receivers[1].status = Some(Err("no answer".to_owned()));
    assert_eq!(dictionaries_ready(&facts).0, "True/InForce");
    if let Some(Ok(answer)) = &mut facts.receivers[0].status {
        answer.dictionaries.error = Some("refused".to_owned());
    }
    assert_eq!(dictionaries_ready(&facts), ("False/ReceiversBehind".to_owned(), "DPI 0: refused".to_owned()));
}

#[test]
fn the_worst_dictionary_is_the_reason() {
    let all = [("a", Standing::Loading), ("b", Standing::BadRows), ("c", Standing::InForce)];
    let facts = Facts { dictionaries: using(&all, 7), receivers: holding([7, 7]), ..facts() };
    let (found, message) = dictionaries_ready(&facts);
    assert_eq!(found, "False/BadRows");
    assert_eq!(message, "a: it is Loading; b: it is BadRows");
    assert_eq!(shown(&facts, &["Ready"]), "Ready=True/Ready");
}
