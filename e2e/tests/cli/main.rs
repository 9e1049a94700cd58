//! `qoe` on the command line: what is wrong is said in words that tell what to do, and what works answers
//! as the manual says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod program;
mod query;

use std::net::TcpListener;

use e2e::free_port;
use program::{Program, example, one_stream};

#[track_caller]
fn assert_says(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "`{wanted}` is not in:\n{text}");
    }
}

#[test]
fn a_wrong_file() {
    let program = Program::new();
    let answer = program.run(&["up", "-f", "no-such.yaml"]);
    assert_eq!(answer.code, 1);
    assert_says(&answer.err, &["cannot read no-such.yaml", "No such file"]);

    let wrong = one_stream(1500).replace("transport: TCP", "transport: TPC, portt: 3");
    program.file("wrong.yaml", &wrong);
    let answer = program.run(&["up", "-f", "wrong.yaml"]);
    assert_eq!((answer.code, answer.out.as_str()), (1, ""));
    // Everything that is wrong, by line, column and field, with what was expected.
    assert_says(
        &answer.err,
        &[
            "wrong.yaml:8:51: spec.dpis[0].streams[0].transport: expected one of TCP, UDP, got \"TPC\"",
            "wrong.yaml:8:56: spec.dpis[0].streams[0].portt: unknown field, did you mean `port`?",
        ],
    );
    assert!(!program.path("data").exists(), "nothing was begun");

    program.file("no-yaml.yaml", "a: [1, 2");
    let answer = program.run(&["up", "-f", "no-yaml.yaml"]);
    assert_eq!(answer.code, 1);
    assert_says(&answer.err, &["no-yaml.yaml:"]);

    program.file("empty.yaml", "");
    let answer = program.run(&["up", "-f", "empty.yaml"]);
    assert_eq!(answer.code, 1);
    assert_says(&answer.err, &["empty.yaml: the file is empty, expected a QoeCollector document"]);

    let two = format!("{}---\n{}", one_stream(1500), one_stream(1501).replace("main", "other"));
    program.file("two.yaml", &two);
    let answer = program.run(&["up", "-f", "two.yaml"]);
    assert_eq!(answer.code, 1);
    assert_says(&answer.err, &["two.yaml", "expected one QoeCollector, got main and other"]);
}

#[test]
fn a_port_that_is_taken() {
    let program = Program::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    program.file("taken.yaml", &one_stream(port.parse().unwrap()));
    let answer = program.run(&["up", "-f", "taken.yaml"]);
    assert_eq!(answer.code, 1);
    assert_says(&answer.err, &[&format!("cannot listen on 127.0.0.1:{port}/TCP"), "another program"]);

    program.file("free.yaml", &one_stream(free_port()));
    for option in ["--clickhouse-http-port", "--clickhouse-tcp-port"] {
        let answer = program.run(&["up", "-f", "free.yaml", option, &port]);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert_says(&answer.err, &[&format!("port {port} on 127.0.0.1 is taken"), "choose another port"]);
    }
    let answer = program.run(&["up", "-f", "free.yaml", "--http", &format!("127.0.0.1:{port}")]);
    assert_eq!(answer.code, 1);
    assert_says(&answer.err, &[&format!("cannot serve metrics and status on 127.0.0.1:{port}")]);
}

#[test]
fn no_engine() {
    let program = Program::new();
    program.file("free.yaml", &one_stream(free_port()));
    let answer = program.run_with(&["up", "-f", "free.yaml"], |command| {
        command.env_remove("QOE_CLICKHOUSE").env("QOE_CACHE", program.path("empty-cache"));
    });
    assert_eq!(answer.code, 1);
    assert_says(&answer.err, &["no ClickHouse found", "make clickhouse", "QOE_CLICKHOUSE"]);

    let answer = program.run_with(&["up", "-f", "free.yaml"], |command| {
        command.env("QOE_CLICKHOUSE", "/nonexistent/clickhouse");
    });
    assert_eq!(answer.code, 1);
    assert_says(&answer.err, &["/nonexistent/clickhouse (from QOE_CLICKHOUSE) is not a file"]);
}

#[test]
fn nothing_runs() {
    let program = Program::new();
    for command in [&["query", "SELECT 1"][..], &["ledger"]] {
        let answer = program.run(command);
        assert_eq!((answer.code, answer.out.as_str()), (1, ""));
        assert_says(&answer.err, &[&program.data(), "start it with qoe up"]);
    }
    // After a run, its files are still there.
    program.up(&one_stream(free_port())).stop();
    for command in [&["query", "SELECT 1"][..], &["ledger"]] {
        let answer = program.run(command);
        assert_eq!((answer.code, answer.out.as_str()), (1, ""));
        assert_says(&answer.err, &["is qoe up running?"]);
    }
}

#[test]
fn files_made_for_kubernetes() {
    let program = Program::new();
    let (minimal, ports) = example("minimal.yaml", &[1500, 1501]);
    let up = program.up(&minimal);
    let ready = |stream: &str, port: u16| format!("ready: dpi 0 {stream} on 127.0.0.1:{port}/TCP");
    assert_says(&up.out(), &[&ready("fullflow", ports[0]), &ready("clickstream", ports[1])]);
    assert_says(&up.err(), &["spec.clickhouse.managed: read as embedded, with hot and cold directories"]);
    // A second one in the same directory.
    program.file("other.yaml", &one_stream(free_port()));
    let answer = program.run(&["up", "-f", "other.yaml"]);
    assert_eq!(answer.code, 1);
    assert_says(&answer.err, &["another qoe up works in", "--data"]);
    up.stop();

    let program = Program::new();
    let (kubernetes, ports) = example("kubernetes.yaml", &[1500, 1501, 1506, 1510]);
    let up = program.up(&kubernetes);
    assert_says(
        &up.out(),
        &[
            &ready("clickstream", ports[1]),
            &format!("ready: dpi 0 fullflow-v6 on 127.0.0.1:{}/UDP", ports[2]),
            &format!("ready: dpi 1 fullflow on 127.0.0.1:{}/UDP", ports[3]),
        ],
    );
    // Receiving without TLS what was to come by TLS would be worse than not receiving it.
    assert!(!up.out().contains(&ports[0].to_string()), "{}", up.out());
    assert!(TcpListener::bind(("127.0.0.1", ports[0])).is_ok(), "nobody listens there");
    assert_says(
        &up.err(),
        &[
            &format!(
                "streams[0].tls: Secret receiver-tls is not in this file: add it as a document: without TLS, \
                 Fullflow on TCP port {} is not received",
                ports[0]
            ),
            "spec.clickhouse.managed: read as embedded",
            "spec.nodes: has no meaning on one machine, ignored",
            "QoeDictionary/subnets-local: its source cannot be read since ",
            "ConfigMap qoe-dictionaries is not in this file: add it as a document",
        ],
    );
    up.stop();
}
