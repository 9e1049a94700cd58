//! Cold storage: added to a collector that had none, rows that move to it, and a change of when they do.

use e2e::Simulator;
use e2e::cluster::{Managed, SMALL_STORAGE_CLASS, Scenario, clickhouse_image, wait_until};
use serde_json::json;

use super::{collector, image_with_tag, start_operator, wait_count, wait_image, wait_rows};
use crate::support::{DEADLINE, address, main_collector, start_operator_with, wait_ready, wait_reason};

const COLD: &str = "SELECT sum(rows) FROM system.parts WHERE active AND database = 'qoestor' AND table = 'fullflow' \
                    AND disk_name = 'cold'";

/// The same table before and after; what moves is told by the disks of parts.
pub fn rows_move_to_a_volume_that_comes_later(scenario: &Scenario) {
    let mut operator = start_operator(scenario);
    let mut object = collector();
    // Of their own size: rows move by themselves once less than a tenth of the node's disk is free.
    let volume = json!({"size": "512Mi", "storageClassName": SMALL_STORAGE_CLASS});
    object["spec"]["clickhouse"]["managed"]["storage"] = json!({"hot": volume});
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let servers = Managed::of(scenario);
    let table =
        servers.query(0, "SELECT uuid FROM system.tables WHERE database = 'qoestor' AND name = 'fullflow'");
    let to = address(scenario, 0, 1500);
    let first = Simulator::start(&["--to", &to, "--records", "50000", "--seed", "1"]).finish(DEADLINE);
    wait_rows(&servers, first.records);

    // Without a cold volume there is nowhere to move to, and the object says so.
    object["spec"]["tables"] = json!({"fullflow": {"keepFor": "24h", "moveToColdAfter": "1s"}});
    scenario.apply(&object.to_string());
    crate::support::wait_condition(scenario, "SchemaReady", "False");
    let message = crate::support::wait_condition(scenario, "Stalled", "True").1;
    assert!(message.contains("spec.tables.fullflow.moveToColdAfter"), "{message}");

    // By an operator that would choose another image: the StatefulSet is made anew with the one that it had.
    operator.stop(DEADLINE);
    let other = image_with_tag(scenario, "29.1.1");
    let _operator = start_operator_with(scenario, &["--clickhouse-image", &other]);
    object["spec"]["paused"] = json!(true);
    scenario.apply(&object.to_string());
    wait_reason(scenario, "Ready", "Paused");
    object["spec"]["paused"] = json!(false);
    object["spec"]["clickhouse"]["managed"]["storage"]["cold"] = volume;
    scenario.apply(&object.to_string());
    wait_until("the cold volume's claim", DEADLINE, || {
        let claim = scenario.get("pvc", "cold-main-clickhouse-0-0")?;
        if claim["status"]["phase"] == "Bound" { Ok(()) } else { Err(claim["status"].to_string()) }
    });
    wait_ready(scenario);
    wait_image(scenario, &clickhouse_image());
    wait_count(&servers, 0, COLD, first.records);
    wait_rows(&servers, first.records);
    let same =
        servers.query(0, "SELECT uuid FROM system.tables WHERE database = 'qoestor' AND name = 'fullflow'");
    assert_eq!(same, table, "the table was made anew");

    // Later, on the live table: what comes now stays on the hot volume.
    object["spec"]["tables"] = json!({"fullflow": {"keepFor": "24h", "moveToColdAfter": "6h"}});
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    wait_count(
        &servers,
        0,
        "SELECT countIf(engine_full LIKE '%(21600) TO VOLUME \\'cold\\'%') FROM system.tables WHERE database = \
         'qoestor' AND name = 'fullflow'",
        1,
    );
    let to = address(scenario, 0, 1500);
    let second = Simulator::start(&["--to", &to, "--records", "30000", "--seed", "2"]).finish(DEADLINE);
    wait_rows(&servers, first.records + second.records);
    let hot = COLD.replace("disk_name = 'cold'", "disk_name = 'default'");
    wait_count(&servers, 0, &hot, second.records);
    assert_eq!(servers.number(0, COLD), first.records);

    wait_until("bytes of both volumes in the status", DEADLINE, || {
        let status = main_collector(scenario)?["status"]["shards"][0].clone();
        let tables = status["tables"].as_array().cloned().unwrap_or_default();
        let fullflow = tables.iter().find(|table| table["name"] == "fullflow").cloned().unwrap_or_default();
        let said = fullflow["hot"].is_string() && fullflow["cold"].is_string() && fullflow["rows"] == "80.0k";
        if said { Ok(()) } else { Err(status.to_string()) }
    });
}
