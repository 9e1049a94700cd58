//! Planned stops: SIGTERM to the receiver, Ctrl-C to `qoe up`, and a supervisor that dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{
    Process, Sent, Simulator, System, SystemOptions, assert_balanced, assert_stored_exactly, free_port,
    qoe_binary, wait_for,
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(600);
const STOPS: u64 = 4;
const ROWS: &str = "SELECT count() FROM fullflow FORMAT TSV";

#[test]
fn nothing_is_lost_when_the_exporter_honours_fin() {
    let mut system = System::start(&SystemOptions::default());
    let to = system.address(0);
    let mut runs = Vec::new();
    for (seed, rate) in [("51", "100000"), ("52", "0")] {
        let records = if rate == "0" { "3000000" } else { "800000" };
        let mut arguments = vec!["--to", &to, "--records", records, "--rate", rate, "--seed", seed];
        arguments.extend(["--connections", "4", "--announce-end"]);
        let mut simulator = Simulator::start(&arguments);
        for _ in 0..STOPS {
            let before = system.stream(0).sequence.decoded;
            wait_for("records", LONG, || {
                (system.stream(0).sequence.decoded > before + 20_000 || !simulator.is_running()).then_some(())
            });
            // Another exporter, which neither sends nor closes, must not make a trap for those that
            // connect again while it is waited for.
            let silent = TcpStream::connect(&to).unwrap();
            // Asserts an orderly end.
            system.stop_receiver();
            drop(silent);
            system.start_receiver();
        }
        runs.push(simulator.finish(LONG));
    }
    let status = system.wait_until_stored(0);
    let sent = Sent::sum(&runs);
    assert!(sent.reconnects >= 4, "the stops must have come while it sent: {sent:?}");
    assert_eq!(status.sequence.missing, 0, "{:?}", status.sequence.gaps);
    assert_stored_exactly(&system, 0, &runs);
    assert_balanced(&status);
    assert_eq!(status.destination.stored, sent.records);
}

#[test]
fn ctrl_c_stops_both_children() {
    let dir = TempDir::new().unwrap();
    let (mut up, to) = start_up(dir.path());
    let simulator = Simulator::start(&["--to", &to, "--records", "50000"]);
    let children = children_of(up.pid());
    assert_eq!(children.len(), 2, "{children:?}");
    let sent = simulator.finish(LONG);
    up.signal(Signal::SIGINT);
    assert!(up.wait(LONG).success());
    for child in &children {
        assert!(!is_alive(*child), "process {child} is left");
    }
    // An orderly stop stores what it has the time for, and the next start the rest.
    let (mut up, _) = start_up(dir.path());
    wait_for("the rows", LONG, || (query(dir.path(), ROWS) == sent.records.to_string()).then_some(()));
    up.signal(Signal::SIGTERM);
    assert!(up.wait(LONG).success());
}

#[test]
fn a_second_one_is_refused_and_a_dead_one_leaves_nobody() {
    let dir = TempDir::new().unwrap();
    let (mut up, to) = start_up(dir.path());
    let second = up_command(dir.path()).stdin(Stdio::null()).output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another qoe up works in") && said.contains("--data"), "{said}");

    let sent = Simulator::start(&["--to", &to, "--records", "50000"]).finish(LONG);
    let children = children_of(up.pid());
    assert_eq!(children.len(), 2, "{children:?}");
    up.kill();
    for child in children {
        wait_for("the end of a child", LONG, || (!is_alive(child)).then_some(()));
    }
    // Nothing is in the way of the next one, and what was sent to the dead one is stored.
    let (mut up, _) = start_up(dir.path());
    wait_for("the rows", LONG, || (query(dir.path(), ROWS) == sent.records.to_string()).then_some(()));
    up.signal(Signal::SIGINT);
    assert!(up.wait(LONG).success());
}

fn up_command(dir: &Path) -> Command {
    let mut command = Command::new(qoe_binary());
    command.arg("up").arg("-f").arg(dir.join("collector.yaml")).arg("--data").arg(dir.join("data"));
    command
}

/// Starts `qoe up` on a port of its own and waits until it says that all is ready; returns where to
/// send to.
fn start_up(dir: &Path) -> (Process, String) {
    let port = free_port();
    let yaml = format!(
        "apiVersion: qoeplane.io/v1alpha1\nkind: QoeCollector\nmetadata: {{name: stops}}\nspec:\n  dpis:\n    \
         - id: 0\n      streams: [{{type: Fullflow, port: {port}, transport: TCP}}]\n  clickhouse: {{embedded: {{}}}}\n"
    );
    fs::write(dir.join("collector.yaml"), yaml).unwrap();
    let mut command = up_command(dir);
    let mut up = Process::start(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut output = BufReader::new(up.child().stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("ready: everything") {
        let read = output.read_line(&mut said).unwrap();
        assert!(read > 0, "qoe up ended: {said}");
    }
    // Whoever starts it keeps reading.
    up.child().stdout = Some(output.into_inner());
    (up, format!("127.0.0.1:{port}"))
}

fn query(dir: &Path, sql: &str) -> String {
    let mut command = Command::new(qoe_binary());
    let answer = command.arg("query").arg("--data").arg(dir.join("data")).arg(sql).output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8_lossy(&answer.stdout).trim().to_string()
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let fields = stat(pid)?;
        (fields[1] == parent.to_string()).then_some(pid)
    });
    processes.collect()
}

/// Whether a process runs; one that has ended and waits for its parent does not.
fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z")
}

/// The fields of /proc/PID/stat behind the name: state, parent, ...
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = text.rsplit_once(") ")?;
    Some(behind.split(' ').map(str::to_string).collect())
}
