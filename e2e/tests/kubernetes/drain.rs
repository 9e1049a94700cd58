//! A pod goes, as in a drain of its node: what an exporter loses, and that the ledger says so.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use e2e::Simulator;
use e2e::cluster::{ClickHouse, Scenario, wait_until};
use serde_json::{Value, json};

use crate::support::{
    DEADLINE, address, collector, dpi, main_collector, start_operator, wait_ready, wait_rows,
};

/// A sender that honours FIN loses nothing; one that only writes loses what the ledger counts as missing.
pub fn a_pod_is_deleted_while_senders_send(scenario: &Scenario) {
    let clickhouse = ClickHouse::start(scenario);
    let _operator = start_operator(scenario);
    let mut dpis = [dpi(0, 1500, "TCP"), dpi(1, 1501, "TCP"), dpi(2, 1502, "UDP")];
    for dpi in &mut dpis {
        dpi["receiver"]["journal"]["size"] = json!("1Gi");
    }
    let dpis = json!(dpis);
    scenario.apply(&collector(&clickhouse, dpis).to_string());
    wait_ready(scenario);

    // Both send for a minute and a half, which is longer than it takes to replace a pod.
    // Honours FIN: reads, connects again, says at the end how much it has sent.
    let to = address(scenario, 0, 1500);
    let mut polite = Simulator::start(&[
        "--to",
        &to,
        "--records",
        "450000",
        "--rate",
        "5000",
        "--connections",
        "2",
        "--announce-end",
        "--seed",
        "1",
    ]);
    // Never reads, never pauses: its datagrams come from one port the whole time.
    let to = address(scenario, 2, 1502);
    let mut datagrams = Simulator::start(&[
        "--to",
        &to,
        "--transport",
        "udp",
        "--records",
        "450000",
        "--rate",
        "5000",
        "--seed",
        "2",
    ]);
    wait_until("records to arrive", DEADLINE, || stored_at_least(&clickhouse, 0, 20_000));
    wait_until("datagrams to arrive", DEADLINE, || stored_at_least(&clickhouse, 2, 10_000));
    replace_pod(scenario, 0);
    replace_pod(scenario, 2);
    assert!(datagrams.is_running() && polite.is_running(), "the senders must outlast their receivers");

    let sent = polite.finish(DEADLINE);
    assert!(sent.reconnects >= 1, "{sent:?}");
    wait_rows(&clickhouse, "fullflow", 0, sent.records);

    let sent = datagrams.finish(DEADLINE);
    let balance = wait_until("stored and missing datagrams to be all of them", DEADLINE, || {
        let stream = stream_of(scenario, 2)?;
        let stored = clickhouse.number("SELECT count() FROM qoestor.fullflow WHERE dpi_id = 2");
        let missing = stream["missing"].as_u64().unwrap_or(0);
        // A datagram that is lost as the last one before a silence, or the last of all, is announced by nobody.
        let nearly = sent.records - sent.records / 100;
        if (nearly..=sent.records).contains(&(stored + missing)) {
            Ok((stored, missing))
        } else {
            Err(format!("{stored} {stream}"))
        }
    });
    // It was down for some seconds, not until the sender stopped.
    assert!(balance.0 > sent.records / 2, "{balance:?} of {}", sent.records);
    only_writes(scenario, &clickhouse);
}

/// A sender that goes on writing into the connection of a receiver that is going, and connects again when
/// that fails: what was under way is lost, and is counted.
fn only_writes(scenario: &Scenario, clickhouse: &ClickHouse<'_>) {
    let to = address(scenario, 1, 1501);
    let mut exporter = Exporter::new();
    let mut connection = TcpStream::connect(&to).unwrap();
    connection.set_nodelay(true).unwrap();
    connection.write_all(&exporter.template()).unwrap();
    for _ in 0..1_000 {
        connection.write_all(&exporter.message()).unwrap();
    }
    wait_until("records to arrive", DEADLINE, || stored_at_least(clickhouse, 1, 1_000));
    scenario.kubectl(&["delete", "pod", "main-dpi-1-0", "--wait=false"]).unwrap();
    let mut written = exporter.sequence;
    while connection.write_all(&exporter.message()).is_ok() {
        written = exporter.sequence;
        std::thread::sleep(Duration::from_millis(1));
    }
    scenario.wait_ready("main-dpi-1-0", DEADLINE);
    let mut connection = wait_until("a connection to the new pod", DEADLINE, || {
        let mut connection = TcpStream::connect(&to).map_err(|error| error.to_string())?;
        connection.write_all(&exporter.template()).map_err(|error| error.to_string())?;
        Ok::<_, String>(connection)
    });
    for _ in 0..1_000 {
        connection.write_all(&exporter.message()).unwrap();
    }
    let total = u64::from(exporter.sequence);
    assert!(written > 0);
    wait_until("stored and missing records to be all of them", DEADLINE, || {
        let stream = stream_of(scenario, 1)?;
        let stored = clickhouse.number("SELECT count() FROM qoestor.fullflow WHERE dpi_id = 1");
        let missing = stream["missing"].as_u64().unwrap_or(0);
        if stored + missing == total { Ok(()) } else { Err(format!("{stored} of {total}: {stream}")) }
    });
}

/// Deletes the pod of a DPI and waits for the next one, by its uid.
fn replace_pod(scenario: &Scenario, dpi: u16) {
    let pod = format!("main-dpi-{dpi}-0");
    let uid = scenario.get("pod", &pod).unwrap()["metadata"]["uid"].clone();
    scenario.kubectl(&["delete", "pod", &pod, "--wait=false"]).unwrap();
    wait_until(&format!("another {pod}"), DEADLINE, || {
        let found = scenario.get("pod", &pod)?;
        if found["metadata"]["uid"] == uid { Err(format!("still {uid}")) } else { Ok(()) }
    });
    scenario.wait_ready(&pod, DEADLINE);
}

fn stored_at_least(clickhouse: &ClickHouse<'_>, dpi: u16, rows: u64) -> Result<(), String> {
    let found =
        clickhouse.try_query(&format!("SELECT count() FROM qoestor.fullflow WHERE dpi_id = {dpi}"))?;
    if found.trim().parse::<u64>().unwrap_or(0) >= rows { Ok(()) } else { Err(found) }
}

fn stream_of(scenario: &Scenario, dpi: u64) -> Result<Value, String> {
    let object = main_collector(scenario)?;
    let receivers = object["status"]["receivers"].as_array().cloned().unwrap_or_default();
    let receiver = receivers.iter().find(|receiver| receiver["dpi"] == dpi).ok_or("no such receiver")?;
    receiver["streams"].get(0).cloned().ok_or_else(|| format!("no stream: {receiver}"))
}

/// The smallest exporter: one record of two fields a message.
struct Exporter {
    sequence: u32,
}

impl Exporter {
    fn new() -> Exporter {
        Exporter { sequence: 0 }
    }

    /// Template 256: octetDeltaCount (1), packetDeltaCount (2), 8 bytes each.
    fn template(&self) -> Vec<u8> {
        let mut set = Vec::new();
        for field in [2_u16, 16, 256, 2, 1, 8, 2, 8] {
            set.extend(field.to_be_bytes());
        }
        self.framed(&set)
    }

    fn message(&mut self) -> Vec<u8> {
        let mut set = Vec::new();
        for field in [256_u16, 20] {
            set.extend(field.to_be_bytes());
        }
        for value in [u64::from(self.sequence), 1] {
            set.extend(value.to_be_bytes());
        }
        let message = self.framed(&set);
        self.sequence += 1;
        message
    }

    /// RFC 7011, section 3.1.
    fn framed(&self, set: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend(10_u16.to_be_bytes());
        message.extend(u16::try_from(16 + set.len()).unwrap().to_be_bytes());
        message.extend(1_760_000_000_u32.to_be_bytes());
        message.extend(self.sequence.to_be_bytes());
        message.extend(0_u32.to_be_bytes());
        message.extend(set);
        message
    }
}
