//! A pod goes, as in a drain of its node: what an exporter loses, and that the ledger says so.

use std::io::Write;
use std::time::Duration;

use e2e::Simulator;
use e2e::cluster::{ClickHouse, Scenario, wait_until};
use e2e::exporter::{Exporter, template};
use serde_json::json;

use crate::support::{
    DEADLINE, address, collector, connect, dpi, main_collector, start_operator, stream_of, wait_ready,
    wait_rows,
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

    // Both send for three minutes, which is much longer than it takes to replace their pods.
    // Honours FIN: reads, connects again, says at the end how much it has sent.
    let to = address(scenario, 0, 1500);
    let mut polite = Simulator::start(&[
        "--to",
        &to,
        "--records",
        "450000",
        "--rate",
        "2500",
        "--patience",
        "300",
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
        "2500",
        "--seed",
        "2",
    ]);
    wait_until("records to arrive", DEADLINE, || stored_at_least(&clickhouse, 0, 20_000));
    wait_until("datagrams to arrive", DEADLINE, || stored_at_least(&clickhouse, 2, 10_000));
    replace_pods(scenario, [0, 2]);
    // They were down for some seconds, not until the senders stopped.
    for dpi in [0, 2] {
        let again =
            10_000 + clickhouse.number(&format!("SELECT count() FROM qoestor.fullflow WHERE dpi_id = {dpi}"));
        wait_until("records to arrive again", DEADLINE, || stored_at_least(&clickhouse, dpi, again));
    }
    assert!(datagrams.is_running() && polite.is_running(), "the senders must outlast their receivers");

    let sent = polite.finish(DEADLINE);
    assert!(sent.reconnects >= 1, "{sent:?}");
    wait_rows(&clickhouse, "fullflow", 0, sent.records);

    let sent = datagrams.finish(DEADLINE);
    wait_until("stored and missing datagrams to be all of them", DEADLINE, || {
        let stream = stream_of(&main_collector(scenario)?, 2, "fullflow")?;
        let stored = clickhouse.number("SELECT count() FROM qoestor.fullflow WHERE dpi_id = 2");
        let missing = stream["missing"].as_u64().unwrap_or(0);
        // A datagram that is lost as the last one before a silence, or the last of all, is announced by nobody.
        let nearly = sent.records - sent.records / 100;
        if (nearly..=sent.records).contains(&(stored + missing)) {
            Ok(())
        } else {
            Err(format!("{stored} {stream}"))
        }
    });
    only_writes(scenario, &clickhouse);
}

/// A sender that goes on writing into the connection of a receiver that is going, and connects again when
/// that fails: what was under way is lost, and is counted.
fn only_writes(scenario: &Scenario, clickhouse: &ClickHouse<'_>) {
    let to = address(scenario, 1, 1501);
    let mut exporter = Exporter::new(0);
    let mut connection = connect(&to);
    connection.set_nodelay(true).unwrap();
    connection.write_all(&exporter.message(|builder| builder.template(&template(256)))).unwrap();
    for _ in 0..1_000 {
        connection.write_all(&exporter.records(256, 1)).unwrap();
    }
    wait_until("records to arrive", DEADLINE, || stored_at_least(clickhouse, 1, 1_000));
    scenario.kubectl(&["delete", "pod", "main-dpi-1-0", "--wait=false"]).unwrap();
    let mut written = exporter.sequence;
    while connection.write_all(&exporter.records(256, 1)).is_ok() {
        written = exporter.sequence;
        std::thread::sleep(Duration::from_millis(1));
    }
    scenario.wait_ready("main-dpi-1-0", DEADLINE);
    let mut connection = connect(&to);
    connection.write_all(&exporter.message(|builder| builder.template(&template(256)))).unwrap();
    for _ in 0..1_000 {
        connection.write_all(&exporter.records(256, 1)).unwrap();
    }
    let total = u64::from(exporter.sequence);
    assert!(written > 0);
    wait_until("stored and missing records to be all of them", DEADLINE, || {
        let stream = stream_of(&main_collector(scenario)?, 1, "fullflow")?;
        let stored = clickhouse.number("SELECT count() FROM qoestor.fullflow WHERE dpi_id = 1");
        let missing = stream["missing"].as_u64().unwrap_or(0);
        if stored + missing == total { Ok(()) } else { Err(format!("{stored} of {total}: {stream}")) }
    });
}

/// Deletes the pods of DPIs and waits for the next ones, by their uids.
fn replace_pods(scenario: &Scenario, dpis: [u16; 2]) {
    let pods = dpis.map(|dpi| {
        let pod = format!("main-dpi-{dpi}-0");
        let uid = scenario.get("pod", &pod).unwrap()["metadata"]["uid"].clone();
        scenario.kubectl(&["delete", "pod", &pod, "--wait=false"]).unwrap();
        (pod, uid)
    });
    for (pod, uid) in pods {
        wait_until(&format!("another {pod}"), DEADLINE, || {
            let found = scenario.get("pod", &pod)?;
            if found["metadata"]["uid"] == uid { Err(format!("still {uid}")) } else { Ok(()) }
        });
        scenario.wait_ready(&pod, DEADLINE);
    }
}

fn stored_at_least(clickhouse: &ClickHouse<'_>, dpi: u16, rows: u64) -> Result<(), String> {
    let found =
        clickhouse.try_query(&format!("SELECT count() FROM qoestor.fullflow WHERE dpi_id = {dpi}"))?;
    if found.trim().parse::<u64>().unwrap_or(0) >= rows { Ok(()) } else { Err(found) }
}
