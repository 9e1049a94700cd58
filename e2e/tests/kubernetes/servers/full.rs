//! A hot volume that is full: inserts wait, the journal takes what comes, and a larger volume clears it.

use e2e::Simulator;
use e2e::cluster::{Managed, SMALL_STORAGE_CLASS, Scenario, wait_until};
use serde_json::json;

use super::{collector, start_operator, wait_rows};
use crate::support::{DEADLINE, address, main_collector, stream_of, wait_condition, wait_ready};

/// Nothing is lost, and receiving goes on meanwhile.
pub fn a_full_volume_grows(scenario: &Scenario) {
    let _operator = start_operator(scenario);
    let mut object = collector();
    object["spec"]["clickhouse"]["managed"]["storage"] =
        json!({"hot": {"size": "192Mi", "storageClassName": SMALL_STORAGE_CLASS}});
    object["spec"]["dpis"][0]["receiver"]["journal"]["size"] = json!("1Gi");
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let servers = Managed::of(scenario);
    let to = address(scenario, 0, 1500);
    let before = Simulator::start(&["--to", &to, "--records", "10000", "--seed", "1"]).finish(DEADLINE);
    wait_rows(&servers, before.records);

    // Something else fills what there is.
    servers
        .query(0, "CREATE TABLE default.filler (x String CODEC(NONE)) ENGINE = MergeTree ORDER BY tuple()");
    wait_until("a full volume", DEADLINE, || {
        let sql = "INSERT INTO default.filler SELECT randomString(1000000) FROM numbers(8)";
        match servers.try_query(0, sql) {
            Ok(_) => Err("there is still room".to_owned()),
            Err(refused) if refused.contains("NOT_ENOUGH_SPACE") || refused.contains("Code: 243") => Ok(()),
            Err(refused) => Err(refused),
        }
    });
    let sent = Simulator::start(&["--to", &to, "--records", "300000", "--seed", "2"]).finish(DEADLINE);
    wait_until("records that wait, and the reason", DEADLINE, || {
        let stream = stream_of(&main_collector(scenario)?, 0, "fullflow")?;
        let waits = stream["waiting"].as_u64().unwrap_or(0) > 0;
        let said = stream["lastError"].as_str().unwrap_or_default().contains("243");
        if waits && said { Ok(()) } else { Err(stream.to_string()) }
    });
    wait_condition(scenario, "ReceiversReady", "True");

    object["spec"]["clickhouse"]["managed"]["storage"]["hot"]["size"] = json!("512Mi");
    scenario.apply(&object.to_string());
    wait_until("the larger claim", DEADLINE, || {
        let claim = scenario.get("pvc", "hot-main-clickhouse-0-0")?;
        if claim["status"]["capacity"]["storage"] == "512Mi" {
            Ok(())
        } else {
            Err(claim["status"].to_string())
        }
    });
    wait_rows(&servers, before.records + sent.records);
    wait_ready(scenario);
    wait_condition(scenario, "NothingLost", "True");
    let restarts = servers.pod(0).unwrap()["status"]["containerStatuses"][0]["restartCount"].clone();
    assert_eq!(restarts, 0, "a volume grows without a restart");
}
