//! From one server to two to three while a sender sends, one of them away for a while, and back to two.

use std::time::Duration;

use e2e::cluster::{Managed, Scenario, wait_until};
use e2e::{Sending, Sent, Simulator};
use serde_json::json;

use super::{collector, start_operator, wait_at_least, wait_count, wait_rows};
use crate::support::{DEADLINE, address, main_collector, pod_lives, wait_condition, wait_ready, wait_reason};

const LOCAL: &str = "SELECT count() FROM qoestor.fullflow_local";
/// How long a shard is away.
const AWAY: Duration = Duration::from_secs(120);
const MORE: Duration = Duration::from_secs(600);

/// Exact through `fullflow` on every server, rows on each, aggregates equal to raw rows.
pub fn a_provider_outgrows_its_server(scenario: &Scenario) {
    let _operator = start_operator(scenario);
    let mut object = collector();
    object["spec"]["tables"] = json!({"fullflow_agg": {"interval": "1m", "keys": ["Login", "Protocol"]}});
    object["spec"]["dpis"][0]["receiver"]["journal"]["size"] = json!("1Gi");
    object["spec"]["dpis"][0]["receiver"]["tuning"]["flushInterval"] = json!("2s");
    scenario.apply(&object.to_string());
    scenario.apply(&protocols().to_string());
    wait_ready(scenario);
    let lives = pod_lives(scenario);
    let receiver = |lives: &[String]| lives.iter().find(|life| life.contains("main-dpi-0-0")).cloned();
    let mut servers = Managed::of(scenario);
    let to = address(scenario, 0, 1500);
    let sending = Sending::start(&to, 3_000, 1);
    wait_at_least(&servers, 0, "SELECT count() FROM qoestor.fullflow", 5_000);

    for shards in [2_u32, 3] {
        object["spec"]["clickhouse"]["managed"]["shards"] = json!(shards);
        scenario.apply(&object.to_string());
        wait_until(&format!("rows on shard {}", shards - 1), MORE, || {
            let found = servers.try_query(shards - 1, LOCAL)?;
            if found.trim().parse::<u64>().unwrap_or(0) > 0 {
                Ok(())
            } else {
                Err(format!("{found} {}", main_collector(scenario)?["status"]))
            }
        });
        // Before the first row there was what rows are joined with.
        let name =
            servers.query(shards - 1, "SELECT dictGet('qoestor.protocols_dic', 'name', toUInt16(49152))");
        assert_eq!(name.trim(), "bittorrent", "shard {} has no dictionaries", shards - 1);
        wait_ready(scenario);
    }

    // One is away: the others go on, and what waits for it is kept.
    servers.cut(1);
    let before: Vec<u64> = [0, 2].map(|shard| servers.number(shard, LOCAL)).into();
    std::thread::sleep(AWAY / 2);
    for (shard, before) in [0, 2].into_iter().zip(before) {
        wait_at_least(&servers, shard, LOCAL, before + 10_000);
    }
    std::thread::sleep(AWAY / 2);
    servers.heal();
    let sent = Sent::sum(&sending.finish());
    for shard in 0..3 {
        wait_count(&servers, shard, "SELECT count() FROM qoestor.fullflow", sent.records);
        assert!(servers.number(shard, LOCAL) > 10_000, "shard {shard} has hardly a row");
    }
    assert_eq!(servers.number(0, "SELECT sum(octet_delta_count) FROM qoestor.fullflow"), sent.octets);
    wait_count(&servers, 0, "SELECT sum(records) FROM qoestor.fullflow_agg", sent.records);
    wait_condition(scenario, "NothingLost", "True");
    wait_ready(scenario);
    assert_eq!(receiver(&pod_lives(scenario)), receiver(&lives), "the receiver was restarted");

    fewer(scenario, &servers, &mut object, sent.records);
}

/// A shard goes when a person says so: it gets no new rows before, and its volumes stay.
fn fewer(scenario: &Scenario, servers: &Managed<'_>, object: &mut serde_json::Value, records: u64) {
    let leaving = servers.number(2, LOCAL);
    object["spec"]["clickhouse"]["managed"]["shards"] = json!(2);
    scenario.apply(&object.to_string());
    let message = wait_reason(scenario, "Stalled", "ApprovalNeeded");
    assert!(message.contains("shard 2") && message.contains("leave the queries"), "{message}");
    wait_rows(servers, records);
    let to = address(scenario, 0, 1500);
    let more = Simulator::start(&["--to", &to, "--records", "20000", "--seed", "2"]).finish(DEADLINE);
    wait_rows(servers, records + more.records);
    assert_eq!(servers.number(2, LOCAL), leaving, "it got new rows");

    let hash = wait_until("the plan's hash", DEADLINE, || {
        let status = main_collector(scenario)?["status"].clone();
        let hash = status["schema"]["planHash"].as_str().map(str::to_owned);
        hash.ok_or_else(|| status.to_string())
    });
    object["spec"]["approvals"] = json!([hash]);
    scenario.apply(&object.to_string());
    wait_until("the server's end", MORE, || match scenario.get("statefulset", "main-clickhouse-2") {
        Ok(found) => Err(found["metadata"].to_string()),
        Err(_) => Ok(()),
    });
    wait_ready(scenario);
    wait_rows(servers, records + more.records - leaving);
    scenario.get("pvc", "hot-main-clickhouse-2-0").unwrap();
}

fn protocols() -> serde_json::Value {
    json!({
        "apiVersion": "qoeplane.io/v1alpha1",
        "kind": "QoeDictionary",
        "metadata": {"name": "protocols"},
        "spec": {"type": "Protocols", "source": {"inline": "49152\tbittorrent\n"}},
    })
}
