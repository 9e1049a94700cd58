//! Dictionaries from objects to stored rows: each kind of source, an edit that is good, one that is bad, two
//! objects that contradict each other, one that is deleted. No pod is restarted for any of it.

use std::io::Write;
use std::net::TcpStream;

use e2e::cluster::{ClickHouse, Operator, Scenario, wait_until};
use e2e::exporter::Exporter;
use ipfix::{Element, FieldSpec, MessageBuilder, Template};
use serde_json::{Value, json};

use crate::support::{
    DEADLINE, address, collector, condition, connect, dpi, events, main_collector, pod_lives,
    start_operator_with, wait_condition, wait_ready, wait_rows,
};

const METRICS: &str = "127.0.0.1:19402";
/// Records of each kind in a batch.
const EACH: u64 = 10;
/// Kinds of records in a batch.
const KINDS: [([u8; 4], [u8; 4], &str); 3] = [
    ([10, 1, 0, 1], [203, 0, 113, 5], "cdn.example"),
    ([203, 0, 113, 5], [10, 1, 0, 1], "cdn.example"),
    ([192, 0, 2, 1], [203, 0, 113, 9], "abc.example"),
];

/// All of it, with one receiver that never stops.
pub fn objects_become_rows(scenario: &Scenario) {
    let clickhouse = ClickHouse::start(scenario);
    clickhouse.query("CREATE DATABASE billing");
    clickhouse
        .query("CREATE TABLE billing.names (code UInt16, name String) ENGINE = MergeTree ORDER BY code");
    clickhouse.query("INSERT INTO billing.names VALUES (7, 'http'), (8, 'tls')");
    let operator = start_operator_with(scenario, &["--listen", METRICS]);
    nobody_uses_it_yet(scenario);
    let mut object = collector(&clickhouse, json!([dpi(0, 1500, "TCP")]));
    object["spec"]["enrichment"] = json!({"direction": "CIDR"});
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let mut sender = Sender::new(scenario);
    let lives = pod_lives(scenario);

    every_source_is_loaded(scenario, &clickhouse, &mut sender);
    an_edit_is_taken_over(scenario, &clickhouse, &mut sender);
    a_bad_edit_changes_nothing(scenario, &clickhouse, &mut sender);
    two_objects_contradict_each_other(scenario, &clickhouse);
    a_deleted_object_leaves_nothing(scenario, &clickhouse);
    drop(operator);
    let _operator = a_restart_changes_nothing(scenario);

    assert_eq!(pod_lives(scenario), lives, "a receiver was restarted for a dictionary");
    let all = sender.batches * EACH * KINDS.len() as u64;
    wait_rows(&clickhouse, "fullflow", 0, all);
    wait_condition(scenario, "NothingLost", "True");
    let events = events(scenario);
    for expected in
        ["Normal Loaded version", "Warning BadRows", "Warning Conflict", "Warning SourceUnreachable"]
    {
        assert!(events.contains(expected), "no {expected}: {events}");
    }
    a_deleted_collector_uses_nothing(scenario);
}

fn nobody_uses_it_yet(scenario: &Scenario) {
    let host = json!({"inline": "cdn.example\t12\nabc.example\t34\n"});
    scenario.apply(&dictionary("hosts", "UrlcatsHost", host).to_string());
    let message = wait_dictionary(scenario, "hosts", "False", "NotUsed");
    assert!(message.contains("QoeCollector"), "{message}");
}

fn every_source_is_loaded(scenario: &Scenario, clickhouse: &ClickHouse<'_>, sender: &mut Sender) {
    // Its ConfigMap comes later.
    let subnets = json!({"configMap": {"name": "networks", "key": "ours.txt"}});
    scenario.apply(&dictionary("subnets", "SubnetsLocal", subnets).to_string());
    let message = wait_dictionary(scenario, "subnets", "False", "SourceUnreachable");
    assert!(message.contains("ConfigMap networks does not exist"), "{message}");
    edit_networks(scenario, "10.0.0.0/8\tours\n");

    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "numbers"},
        "stringData": {"asnum.txt": "64496\tours\n64497\ttheirs\n"},
    });
    scenario.apply(&secret.to_string());
    let asnum = json!({"secret": {"name": "numbers", "key": "asnum.txt"}});
    scenario.apply(&dictionary("asnum", "Asnum", asnum).to_string());
    let table = json!({"table": {"database": "billing", "name": "names"}});
    scenario.apply(&dictionary("protocols", "Protocols", table).to_string());
    for (name, rows) in [("hosts", 2), ("subnets", 1), ("asnum", 2), ("protocols", 2)] {
        wait_dictionary(scenario, name, "True", "InForce");
        let status = scenario.get("qoedictionary", name).unwrap()["status"].clone();
        assert_eq!((&status["rows"], &status["badRows"]), (&json!(rows), &json!(0)), "{name}: {status}");
        assert_eq!(status["usedBy"], json!(["main"]), "{name}");
    }
    for (sql, expected) in [
        ("SELECT dictGet('qoestor.asnum_dic', 'name', toUInt32(64496))", "ours"),
        ("SELECT dictGet('qoestor.protocols_dic', 'name', toUInt16(8))", "tls"),
    ] {
        wait_answer(clickhouse, sql, expected);
    }
    wait_taken_over(scenario);
    let found = sender.batch(clickhouse);
    assert_eq!(found, "from\t12\t10\nto\t12\t10\nunknown\t34\t10");
    let rows = clickhouse.query("SELECT * FROM qoestor.subnets_local_dic");
    assert!(rows.contains("10.0.0.0/8") && rows.lines().count() == 1, "{rows}");

    // What somebody adds to the table is seen.
    clickhouse.query("INSERT INTO billing.names VALUES (9, 'quic')");
    wait_answer(clickhouse, "SELECT dictGet('qoestor.protocols_dic', 'name', toUInt16(9))", "quic");
    wait_until("the third row in the status", DEADLINE, || {
        let status = scenario.get("qoedictionary", "protocols")?["status"].clone();
        if status["rows"] == 3 { Ok(()) } else { Err(status.to_string()) }
    });
}

fn an_edit_is_taken_over(scenario: &Scenario, clickhouse: &ClickHouse<'_>, sender: &mut Sender) {
    let before = version(clickhouse);
    edit_networks(scenario, "10.0.0.0/8\tours\n192.0.2.0/24\tours too\n");
    wait_until("another version", DEADLINE, || {
        let now = version(clickhouse);
        let status = scenario.get("qoedictionary", "subnets")?["status"].clone();
        if now > before && status["version"] == json!(now.to_string()) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    wait_taken_over(scenario);
    let found = sender.batch(clickhouse);
    assert_eq!(found, "from\t12\t10\nfrom\t34\t10\nto\t12\t10");
    let sql = format!(
        "SELECT uniqExact(dictionary_version), min(dictionary_version) >= {} FROM qoestor.fullflow WHERE octet_delta_count = {}",
        version(clickhouse),
        octets(sender.batches)
    );
    assert_eq!(clickhouse.query(&sql).trim(), "1\t1", "{sql}");
    let text = metrics();
    for expected in [
        format!("dictionary_rows{{namespace=\"{}\",dictionary=\"subnets\"}} 2", scenario.namespace),
        format!("dictionary_in_force{{namespace=\"{}\",dictionary=\"subnets\"}} 1", scenario.namespace),
    ] {
        assert!(text.contains(&expected), "no {expected}: {text}");
    }
}

fn a_bad_edit_changes_nothing(scenario: &Scenario, clickhouse: &ClickHouse<'_>, sender: &mut Sender) {
    let before = version(clickhouse);
    edit_networks(scenario, "10.0.0.0/8\tours\nno network\tat all\n");
    let message = wait_dictionary(scenario, "subnets", "False", "BadRows");
    assert!(message.contains("line 2: "), "{message}");
    let object = scenario.get("qoedictionary", "subnets").unwrap();
    assert_eq!(condition(&object, "Stalled").unwrap().0, "True");
    assert_eq!((&object["status"]["rows"], &object["status"]["badRows"]), (&json!(2), &json!(1)), "{object}");
    let (reason, message) = wait_condition(scenario, "DictionariesReady", "False");
    assert_eq!(reason, "BadRows");
    assert!(message.contains("subnets: "), "{message}");
    assert_eq!(wait_condition(scenario, "Ready", "True").0, "Ready", "dictionaries are no part of it");
    assert_eq!(version(clickhouse), before, "a version was made of bad rows");
    let found = sender.batch(clickhouse);
    assert_eq!(found, "from\t12\t10\nfrom\t34\t10\nto\t12\t10", "the previous version is not in force");

    edit_networks(scenario, "192.0.2.0/24\tours\n");
    wait_dictionary(scenario, "subnets", "True", "InForce");
    wait_taken_over(scenario);
    assert!(version(clickhouse) > before);
    let found = sender.batch(clickhouse);
    assert_eq!(found, "from\t34\t10\nunknown\t12\t20");
}

fn two_objects_contradict_each_other(scenario: &Scenario, clickhouse: &ClickHouse<'_>) {
    let before = version(clickhouse);
    let again = json!({"inline": "192.0.2.0/24\tmine\n"});
    scenario.apply(&dictionary("subnets-again", "SubnetsLocal", again).to_string());
    for name in ["subnets", "subnets-again"] {
        let message = wait_dictionary(scenario, name, "False", "Conflict");
        assert!(message.contains("subnets and subnets-again share 1 key"), "{name}: {message}");
        assert!(message.contains("192.0.2.0/24 is in line 1"), "{name}: {message}");
    }
    assert_eq!(version(clickhouse), before);
    scenario.kubectl(&["delete", "qoedictionary", "subnets-again"]).unwrap();
    wait_dictionary(scenario, "subnets", "True", "InForce");
    wait_condition(scenario, "DictionariesReady", "True");
}

fn a_deleted_object_leaves_nothing(scenario: &Scenario, clickhouse: &ClickHouse<'_>) {
    scenario.kubectl(&["delete", "qoedictionary", "asnum"]).unwrap();
    wait_answer(clickhouse, "SELECT count() FROM qoestor.asnum_dic", "0");
    wait_answer(clickhouse, "SELECT count() FROM qoestor.protocols_dic", "3");
    wait_until("its numbers to be gone", DEADLINE, || {
        let text = metrics();
        if text.contains("dictionary=\"asnum\"") { Err(text) } else { Ok(()) }
    });
    wait_taken_over(scenario);
}

/// Another operator finds everything as it is: it writes no status and tells nothing.
fn a_restart_changes_nothing(scenario: &Scenario) -> Operator {
    let seen = || {
        let objects = scenario.list("qoedictionaries", "").unwrap();
        let versions: Vec<Value> =
            objects.iter().map(|object| object["metadata"]["resourceVersion"].clone()).collect();
        let ready = condition(&main_collector(scenario).unwrap(), "DictionariesReady").unwrap();
        (versions, ready, events(scenario).matches("Loaded").count())
    };
    let before = seen();
    assert_eq!((before.0.len(), before.1.0.as_str()), (3, "True"));
    let operator = start_operator_with(scenario, &["--listen", METRICS]);
    let ended = |kind: &str| {
        let mut answer = ureq::get(format!("http://{METRICS}/metrics")).call().ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        let begin = format!("qoe_operator_reconciles_total{{kind=\"{kind}\"}}");
        text.lines().find(|line| line.starts_with(&begin))?.rsplit(' ').next()?.parse::<u64>().ok()
    };
    // Each object once before anything is reported, and at least once afterwards.
    let first = wait_until("the first look at the sources", DEADLINE, || {
        ended("QoeDictionaryLoader").and_then(|_| ended("QoeDictionary")).ok_or("none yet")
    });
    wait_until("statuses to be looked at", DEADLINE, || match ended("QoeDictionary") {
        Some(now) if now >= first + 6 => Ok(()),
        now => Err(format!("{now:?}, {first} before")),
    });
    assert_eq!(seen(), before);
    operator
}

fn a_deleted_collector_uses_nothing(scenario: &Scenario) {
    scenario.kubectl(&["delete", "qoec", "main"]).unwrap();
    for name in ["hosts", "subnets", "protocols"] {
        wait_dictionary(scenario, name, "False", "NotUsed");
    }
}

fn dictionary(name: &str, dictionary_type: &str, source: Value) -> Value {
    json!({
        "apiVersion": "qoeplane.io/v1alpha1",
        "kind": "QoeDictionary",
        "metadata": {"name": name},
        "spec": {"type": dictionary_type, "source": source},
    })
}

fn edit_networks(scenario: &Scenario, text: &str) {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "networks"},
        "data": {"ours.txt": text},
    });
    scenario.apply(&object.to_string());
}

/// The newest version of our networks; 0: none.
fn version(clickhouse: &ClickHouse<'_>) -> u64 {
    clickhouse
        .number("SELECT max(version) FROM qoestor.dictionary_versions WHERE dictionary = 'subnets_local'")
}

/// Waits until an object's `Ready` is so for this reason; returns the words.
fn wait_dictionary(scenario: &Scenario, name: &str, status: &str, reason: &str) -> String {
    wait_until(&format!("{name} to be {status} for {reason}"), DEADLINE, || {
        let object = scenario.get("qoedictionary", name)?;
        let found = condition(&object, "Ready")?;
        if (found.0.as_str(), found.1.as_str()) == (status, reason) {
            Ok(found.2)
        } else {
            Err(object["status"].to_string())
        }
    })
}

/// Waits until receivers have the newest version of all objects.
fn wait_taken_over(scenario: &Scenario) {
    wait_until("receivers to have the newest version", DEADLINE, || {
        let objects = scenario.list("qoedictionaries", "")?;
        let versions = objects.iter().filter_map(|object| object["status"]["version"].as_str()?.parse().ok());
        let newest: u64 = versions.max().unwrap_or(0);
        let (status, _, message) = condition(&main_collector(scenario)?, "DictionariesReady")?;
        let words = format!("{} dictionaries are in force; the newest version is {newest}", objects.len());
        if status == "True" && message == words { Ok(()) } else { Err(format!("{status} {message}")) }
    });
}

fn wait_answer(clickhouse: &ClickHouse<'_>, sql: &str, expected: &str) {
    wait_until(&format!("{expected} from {sql}"), DEADLINE, || {
        let found = clickhouse.try_query(sql)?;
        if found.trim() == expected { Ok(()) } else { Err(found) }
    });
}

fn metrics() -> String {
    let mut answer = ureq::get(format!("http://{METRICS}/metrics")).call().unwrap();
    answer.body_mut().read_to_string().unwrap()
}

/// One connection to the receiver for the whole scenario; batches are told apart by their octets.
struct Sender {
    connection: TcpStream,
    exporter: Exporter,
    batches: u64,
}

impl Sender {
    fn new(scenario: &Scenario) -> Sender {
        let connection = connect(&address(scenario, 0, 1500));
        Sender { connection, exporter: Exporter::new(0), batches: 0 }
    }

    /// Sends a batch and waits for its rows: direction, category and count of each kind.
    fn batch(&mut self, clickhouse: &ClickHouse<'_>) -> String {
        self.batches += 1;
        let octets = octets(self.batches);
        let message = self.exporter.message(|builder| {
            builder.template(&template());
            put_records(builder, octets);
        });
        self.connection.write_all(&message).unwrap();
        wait_rows(clickhouse, "fullflow", 0, self.batches * EACH * KINDS.len() as u64);
        let sql = format!(
            "SELECT toString(direction) AS d, host_category, count() FROM qoestor.fullflow \
             WHERE octet_delta_count = {octets} GROUP BY d, host_category ORDER BY d, host_category"
        );
        clickhouse.query(&sql).trim().to_string()
    }
}

fn octets(batch: u64) -> u64 {
    1_000 + batch
}

/// Octets, packets, both addresses, host: 35 bytes a record.
fn template() -> Template {
    let field = |id, length| FieldSpec::new(Element::iana(id), length);
    let host = FieldSpec::new(Element::vas_experts(2001), 11);
    Template::new(300, 0, vec![field(1, 8), field(2, 8), field(8, 4), field(12, 4), host])
}

fn put_records(builder: &mut MessageBuilder, octets: u64) {
    builder.begin_data(300);
    for (source, destination, host) in KINDS {
        for _ in 0..EACH {
            builder.put_u64(octets);
            builder.put_u64(1);
            builder.put_bytes(&source);
            builder.put_bytes(&destination);
            builder.put_bytes(host.as_bytes());
            builder.end_record();
        }
    }
}
