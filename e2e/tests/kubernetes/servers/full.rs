//! A hot volume that is full: inserts wait, the journal takes what comes, and a larger volume clears it.

use e2e::Simulator;
use e2e::cluster::{Managed, SMALL_STORAGE_CLASS, Scenario, wait_until};
use serde_json::{Value, json};

use super::{collector, image_with_tag, start_operator, wait_count, wait_image, wait_rows};
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

    servers.query(
        0,
        "CREATE TABLE default.filler (x String CODEC(NONE)) ENGINE = MergeTree ORDER BY tuple() SETTINGS \
         max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1",
    );
    fill(&servers);
    let sent = Simulator::start(&["--to", &to, "--records", "300000", "--seed", "2"]).finish(DEADLINE);
    wait_full(scenario);
    wait_condition(scenario, "ReceiversReady", "True");

    grow(scenario, &mut object, "512Mi");
    wait_rows(&servers, before.records + sent.records);
    wait_ready(scenario);
    wait_condition(scenario, "NothingLost", "True");
    let restarts = servers.pod(0).unwrap()["status"]["containerStatuses"][0]["restartCount"].clone();
    assert_eq!(restarts, 0, "a volume grows without a restart");

    wait_until("nothing that waits", DEADLINE, || {
        let stream = stream_of(&main_collector(scenario)?, 0, "fullflow")?;
        if stream["waiting"].as_u64().unwrap_or(0) == 0 { Ok(()) } else { Err(stream.to_string()) }
    });
    // What the server keeps free grows with its volume; ours starts its engine anew for it, and merges again.
    let kept = (512 << 20) / 20;
    wait_count(&servers, 0, "SELECT keep_free_space FROM system.disks WHERE name = 'default'", kept);
    wait_ready(scenario);
    // Full again, and another image besides, which waits until nothing is under way: growth does not wait for it.
    fill(&servers);
    let more = Simulator::start(&["--to", &to, "--records", "300000", "--seed", "3"]).finish(DEADLINE);
    wait_full(scenario);
    servers.wait_ready(0);
    let image = image_with_tag(scenario, "26.8.3");
    object["spec"]["clickhouse"]["managed"]["image"] = json!(image);
    scenario.apply(&object.to_string());
    wait_until("a server whose turn it is", DEADLINE, || {
        let message = main_collector(scenario)?["status"]["shards"][0]["message"].to_string();
        if message.contains("is going to be restarted") { Ok(()) } else { Err(message) }
    });
    grow(scenario, &mut object, "768Mi");
    wait_image(scenario, &image);
    wait_ready(scenario);
    wait_rows(&servers, before.records + sent.records + more.records);
    wait_condition(scenario, "NothingLost", "True");
}

/// Something else takes what there is, to the last megabyte. A merge takes room while it is under way, and parts that were
/// merged go some minutes later: both would make room again, so there are none until the server is restarted.
fn fill(servers: &Managed<'_>) {
    servers.query(0, "SYSTEM STOP MERGES");
    wait_count(servers, 0, "SELECT count() FROM system.merges", 0);
    for rows in [8, 1] {
        wait_until("a full volume", DEADLINE, || {
            let sql = format!("INSERT INTO default.filler SELECT randomString(1000000) FROM numbers({rows})");
            match servers.try_query(0, &sql) {
                Ok(_) => Err("there is still room".to_owned()),
                Err(refused) if refused.contains("NOT_ENOUGH_SPACE") || refused.contains("Code: 243") => {
                    Ok(())
                }
                Err(refused) => Err(refused),
            }
        });
    }
}

fn wait_full(scenario: &Scenario) {
    wait_until("records that wait, and the reason", DEADLINE, || {
        let stream = stream_of(&main_collector(scenario)?, 0, "fullflow")?;
        let waits = stream["waiting"].as_u64().unwrap_or(0) > 0;
        let said = stream["lastError"].as_str().unwrap_or_default().contains("243");
        if waits && said { Ok(()) } else { Err(stream.to_string()) }
    });
}

fn grow(scenario: &Scenario, object: &mut Value, size: &str) {
    object["spec"]["clickhouse"]["managed"]["storage"]["hot"]["size"] = json!(size);
    scenario.apply(&object.to_string());
    wait_until("the larger claim", DEADLINE, || {
        let claim = scenario.get("pvc", "hot-main-clickhouse-0-0")?;
        if claim["status"]["capacity"]["storage"] == size { Ok(()) } else { Err(claim["status"].to_string()) }
    });
}
