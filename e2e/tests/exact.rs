//! The main job as a user runs it: `qoe up` on examples/standalone.yaml, two DPIs that send at the same time,
//! and `qoe query` and `qoe ledger` to see that everything is stored once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crds::receiver::{Status, StreamStatus};
use e2e::{Process, Simulator, assert_balanced, qoe_binary, wait_for};
use nix::sys::signal::Signal;
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(600);

#[test]
fn five_million_by_tcp_and_one_million_by_udp() {
    let dir = TempDir::new().unwrap();
    let mut up = start(dir.path());
    let tcp = Simulator::start(&["--to", "127.0.0.1:1500", "--records", "5000000", "--seed", "11"]);
    let udp_arguments =
        ["--to", "127.0.0.1:1510", "--transport", "udp", "--records", "1000000", "--seed", "12"];
    let udp = Simulator::start(&[&udp_arguments[..], &["--rate", "50000"]].concat());
    for (dpi, simulator) in [(0, tcp), (1, udp)] {
        let sent = simulator.finish(LONG);
        let status = wait_for("everything to be stored", LONG, || {
            let status = stream(dir.path(), dpi);
            (status.journal.waiting_frames == 0 && status.destination.waiting == 0).then_some(status)
        });
        let stored = query(
            dir.path(),
            &format!(
                "SELECT count(), sum(octet_delta_count), sum(packet_delta_count), \
                 uniqExact(session_id, flow_start_millisecond) FROM fullflow WHERE dpi_id = {dpi} FORMAT TSV"
            ),
        );
        let expected = format!("{}\t{}\t{}\t{}", sent.records, sent.octets, sent.packets, sent.records);
        assert_eq!(stored, expected, "{status:?}");
        assert_balanced(&status);
        assert_eq!(status.sequence.announced, sent.records);
        assert_eq!(status.sequence.missing, 0);
        assert_eq!(status.destination.stored, sent.records);
        assert_eq!(status.wire.kernel_drops, 0);
    }
    the_other_streams(dir.path());
    the_examples_dictionaries(dir.path());
    up.signal(Signal::SIGINT);
    assert!(up.wait(LONG).success());
}

/// The rest of what the example receives.
fn the_other_streams(data: &Path) {
    for (port, stream, dpi, more) in [
        ("1501", "clickstream", 0, &[][..]),
        ("1502", "gtpflow", 0, &[]),
        ("1503", "natflow", 0, &[]),
        ("1511", "clickstream", 1, &["--transport", "udp", "--rate", "10000"]),
    ] {
        let to = format!("127.0.0.1:{port}");
        let run = ["--to", &to, "--stream", stream, "--records", "20000"];
        let sent = Simulator::start(&[&run[..], more].concat()).finish(LONG);
        let expected = format!("20000\t{}\t20000", sent.session_sum);
        wait_for(stream, LONG, || {
            let sql = format!(
                "SELECT count(), sum(session_id), uniqExact(session_id) FROM {stream} WHERE dpi_id = {dpi} FORMAT TSV"
            );
            (query(data, &sql) == expected).then_some(())
        });
    }
}

/// All of them are in force, and records were enriched by them.
fn the_examples_dictionaries(data: &Path) {
    let listed = run(data, "dictionaries", &["ls"]);
    for (name, rows) in
        [("asnum_local", 2), ("crc", 4), ("subnets_local", 4), ("subscribers", 7), ("switches", 5)]
    {
        let line = listed.lines().find(|line| line.starts_with(&format!("{name}_dic "))).expect(&listed);
        assert_eq!(line.split_whitespace().nth(2), Some(rows.to_string().as_str()), "{listed}");
    }
    let versions = query(data, "SELECT DISTINCT dictionary_version FROM fullflow FORMAT TSV");
    assert_eq!(versions, "5", "one for each object of the example");
    let is_local = "startsWith(IPv4NumToString(subscriber_ipv4), '10.64.66.') AND ip_version = 4";
    let wrong = format!(
        "SELECT count() > 0, countIf(bitAnd(subscriber_flags, 2) = 0) FROM fullflow WHERE {is_local} FORMAT TSV"
    );
    assert_eq!(query(data, &wrong), "1\t0");
}

fn start(data: &Path) -> Process {
    let log = data.join("up.log");
    let output = File::create(&log).unwrap();
    let mut command = Command::new(qoe_binary());
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/standalone.yaml");
    command.arg("up").arg("-f").arg(example).arg("--data").arg(data);
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let mut up = Process::start(&mut command);
    wait_for("qoe up", LONG, || {
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(up.is_running(), "qoe up has ended: {said}");
        said.contains("ready: everything").then_some(())
    });
    up
}

fn run(data: &Path, subcommand: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(qoe_binary());
    command.arg(subcommand).args(arguments).arg("--data").arg(data);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_string()
}

fn query(data: &Path, sql: &str) -> String {
    run(data, "query", &[sql])
}

fn stream(data: &Path, dpi: u16) -> StreamStatus {
    let status: Status = serde_json::from_str(&run(data, "ledger", &["-o", "json"])).unwrap();
    let mut dpis = status.dpis.into_iter().filter(|status| status.id == dpi);
    dpis.next().unwrap().streams.into_iter().find(|stream| stream.name == "fullflow").unwrap()
}
