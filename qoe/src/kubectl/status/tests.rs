use serde_json::json;

use super::*;

fn status(value: serde_json::Value) -> QoeCollectorStatus {
    serde_json::from_value(value).unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> serde_json::Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-01T10:00:00Z",
    })
}

fn head() -> Head {
    Head { name: "isp/main".to_owned(), paused: false, seen: true }
}

#[test]
fn one_screen() {
    let status = status(json!({
        "version": "0.5.0",
        "receiversReady": "1/2",
        "conditions": [
            condition("Ready", "False", "NotReady", "1 of 2 receivers are ready"),
            condition("ReceiversReady", "False", "NotReady", "1 of 2 receivers are ready"),
            condition("Stalled", "False", "Progressing", "nothing waits for a person"),
            condition("SchemaReady", "True", "UpToDate", "the tables are as they should be"),
            condition("StorageFits", "Unknown", "NoRecordYet", "the rate is not known yet"),
        ],
        "receivers": [
            {
                "dpi": 0, "name": "north", "pod": "main-dpi-0-0", "node": "worker-1", "ready": true,
                "version": "0.5.0", "journalHoursLeft": "31",
                "streams": [
                    {"name": "fullflow", "received": 1200000, "stored": 1100000, "waiting": 100000},
                    {"name": "clickstream", "received": 300000, "stored": 300000, "missing": 7},
                ],
            },
            {"dpi": 1, "ready": false, "message": "the pod is starting"},
        ],
        "shards": [
            {
                "shard": 0, "pod": "main-clickhouse-0-0", "ready": true, "version": "26.7.3",
                "volumes": [
                    {"name": "hot", "size": "50G", "free": "20G", "hoursLeft": "40"},
                    {"name": "cold", "size": "200G", "free": "199G"},
                ],
            },
            {"shard": 1, "ready": false, "message": "the pod main-clickhouse-1-0 waits for its volume"},
        ],
        "schema": {"version": "0.5.0", "pendingCount": 2},
    }));
    let expected = "\
isp/main: not ready, receivers 1/2 of version 0.5.0
  Ready is False, ReceiversReady is False, NotReady: 1 of 2 receivers are ready
  StorageFits is Unknown, NoRecordYet: the rate is not known yet

receivers
  DPI      POD           NODE      READY  VERSION  RECEIVED  STORED  WAITING  MISSING  JOURNAL HOURS
  0 north  main-dpi-0-0  worker-1  yes    0.5.0    1.5M      1.4M    100k     7        31
  1        -             -         no     -        0         0       0        0        -
  dpi 1: the pod is starting

servers
  SHARD  SERVER               READY  VERSION  VOLUME  SIZE  FREE  HOURS LEFT
  0      main-clickhouse-0-0  yes    26.7.3   hot     50G   20G   40
                                              cold    200G  199G  -
  1      -                    no     -        -       -     -     -
  shard 1: the pod main-clickhouse-1-0 waits for its volume

tables are of 0.5.0
  2 not carried out yet: kubectl qoe plan
";
    assert_eq!(screen(&head(), &status), expected);
}

#[test]
fn what_nobody_has_looked_at_is_not_called_ready() {
    let text = screen(&head(), &QoeCollectorStatus::default());
    assert_eq!(text, "isp/main: no operator has looked at it yet: does one run, and watch this namespace?\n");
    let status = status(json!({"conditions": [condition("Ready", "True", "Ready", "all is well")]}));
    assert_eq!(screen(&head(), &status), "isp/main: ready\n");
    let old = screen(&Head { seen: false, paused: true, ..head() }, &status);
    assert!(old.starts_with("isp/main: ready, paused; the operator has not looked"), "{old}");
}

#[test]
fn conditions_that_should_be_false_are_shown_when_true() {
    let status = status(json!({"conditions": [
        condition("Ready", "True", "Ready", "all is well"),
        condition("JournalLost", "True", "VolumeGone", "dpi 0"),
        condition("Reconciling", "False", "Done", ""),
    ]}));
    assert_eq!(screen(&head(), &status), "isp/main: ready\n  JournalLost is True, VolumeGone: dpi 0\n");
}
