//! Questions to a running system.

use std::fs::File;
use std::time::Duration;

use crds::receiver::Status;
use e2e::{Sent, Simulator, free_port, wait_for};
use serde_json::Value;

use crate::assert_says;
use crate::program::{Program, Up, one_stream};

const LONG: Duration = Duration::from_secs(120);

/// A running system with records of 4 October 2018, the day of the manual's example.
fn with_records() -> (Program, Up, Sent) {
    let program = Program::new();
    let port = free_port();
    let up = program.up(&one_stream(port));
    let to = format!("127.0.0.1:{port}");
    let sent =
        Simulator::start(&["--to", &to, "--records", "3000", "--start-ms", "1538647200000"]).finish(LONG);
    wait_for("the records", LONG, || {
        let answer = program.run(&["query", "SELECT count() FROM fullflow FORMAT TSV"]);
        (answer.out.trim() == sent.records.to_string()).then_some(())
    });
    (program, up, sent)
}

fn query(program: &Program, arguments: &[&str]) -> String {
    let answer = program.run(&[&["query"], arguments].concat());
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{answer:?}");
    answer.out
}

#[test]
fn questions() {
    let (program, up, sent) = with_records();

    // Formats: for people, by option, in the statement.
    assert_says(&query(&program, &["SELECT 1 AS one"]), &["one", "─"]);
    let json = query(&program, &["--format", "JSON", "SELECT count() AS rows FROM qoestor.fullflow"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["data"][0]["rows"].to_string().trim_matches('"'), sent.records.to_string());
    let csv = "SELECT sum(octet_delta_count), 'a,b' FROM fullflow FORMAT CSV";
    assert_eq!(query(&program, &[csv]), format!("{},\"a,b\"\n", sent.octets));
    assert_eq!(query(&program, &["--format", "JSON", csv]), format!("{},\"a,b\"\n", sent.octets));

    // From standard input, with a comment and a semicolon at the end.
    program.file("statement.sql", "-- how many\nSELECT count() FROM fullflow FORMAT TSV;\n");
    let answer = program.run_with(&["query", "-"], |command| {
        command.stdin(File::open(program.path("statement.sql")).unwrap());
    });
    assert_eq!((answer.code, answer.out.trim()), (0, sent.records.to_string().as_str()), "{answer:?}");

    // Errors in ClickHouse's own words.
    for (wrong, words) in [
        ("SELEC 1", ["Code: 62", "Syntax error"]),
        ("SELECT no_such FROM fullflow", ["Code: 47", "no_such"]),
        ("SELECT * FROM no_such", ["Code: 60", "no_such"]),
        // In the middle of an answer.
        ("SELECT throwIf(number = 100000) FROM numbers(200000) FORMAT TSV", ["Code: 395", "throwIf"]),
    ] {
        let answer = program.run(&["query", wrong]);
        assert_eq!((answer.code, answer.out.as_str()), (1, ""), "{wrong}");
        assert_says(&answer.err, &words);
    }
    ledger(&program, sent);
    manual(&program, sent);
    up.stop();
}

fn ledger(program: &Program, sent: Sent) {
    let answer = program.run(&["ledger", "-o", "json"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    let status: Status = serde_json::from_str(&answer.out).unwrap();
    let stream = &status.dpis[0].streams[0];
    assert_eq!((stream.sequence.announced, stream.destination.stored), (sent.records, sent.records));
    let answer = program.run(&["ledger"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    let records = sent.records;
    assert_says(
        &answer.out,
        &[
            "dpi 0 fullflow",
            &format!("{records} records announced = {records} decoded"),
            &format!("{records} records decoded = {records} stored"),
        ],
    );
}

/// The statements of the old product's manual, as they are printed there.
fn manual(program: &Program, sent: Sent) {
    let databases = query(program, &["show databases"]);
    assert!(databases.contains("qoestor"), "{databases}");
    let summary = "select count(), min(flow_start_time), max(flow_start_time) from qoestor.fullflow";
    let answer = query(program, &["--format", "TSV", summary]);
    let fields: Vec<&str> = answer.trim().split('\t').collect();
    assert_eq!(fields[0], sent.records.to_string());
    assert!(fields[1..].iter().all(|time| time.starts_with("2018-10-04 ")), "{answer}");

    let printed = "select * from fullflow\n\
        prewhere flow_start_date = '2018-10-04' where (source_ipv4 = '10.64.66.100'\n\
        or destination_ipv4 = '10.64.66.100') and host = 'google.com' ORDER BY\n\
        flow_start_time limit 10 format CSV";
    query(program, &[printed]);
    // The same about somebody who is there.
    let there =
        "SELECT host, toString(source_ipv4) FROM fullflow WHERE host != '' AND ip_version = 4 LIMIT 1";
    let there = query(program, &["--format", "TSV", there]);
    let (host, address) = there.trim().split_once('\t').unwrap();
    let printed = printed.replace("10.64.66.100", address).replace("google.com", host);
    let rows = query(program, &[&printed]);
    assert!((1..=10).contains(&rows.lines().count()), "{rows}");
    assert!(rows.lines().all(|row| row.contains(&format!("\"{host}\"")) && row.contains(address)), "{rows}");
}
