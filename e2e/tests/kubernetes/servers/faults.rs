//! A server is killed, its pod evicted as in a drain of its node, its image changed well and badly, all while a sender
//! sends: nothing lost, nothing doubled.

use e2e::cluster::{Managed, NODE, Scenario, wait_until};
use e2e::{Sending, Sent};
use serde_json::json;

use super::{POD, collector, image_with_tag, start_operator, uid, wait_at_least, wait_image, wait_rows};
use crate::support::{
    DEADLINE, address, condition, events, main_collector, pod_lives, wait_condition, wait_ready,
};

const COUNT: &str = "SELECT count() FROM qoestor.fullflow";

/// For a scenario that runs alone: the node takes no pods for a moment.
pub fn a_server_comes_back_under_load(scenario: &Scenario) {
    let _operator = start_operator(scenario);
    let mut object = collector();
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let servers = Managed::of(scenario);
    let to = address(scenario, 0, 1500);
    let sending = Sending::start(&to, 4_000, 1);
    wait_at_least(&servers, 0, COUNT, 8_000);

    servers.kill(0);
    wait_until("a server that was started anew", DEADLINE, || {
        let restarts = servers.pod(0)?["status"]["containerStatuses"][0]["restartCount"].clone();
        if restarts.as_u64() >= Some(1) { Ok(()) } else { Err(restarts.to_string()) }
    });
    servers.wait_ready(0);
    let before = servers.number(0, COUNT);
    wait_at_least(&servers, 0, COUNT, before + 4_000);

    // The budget lets it go; nothing else of this node is touched.
    let pod = uid(scenario, "pod", POD);
    let drained = scenario.cluster.kubectl(&[
        "drain",
        NODE,
        "--pod-selector",
        "qoeplane.io/collector=main,qoeplane.io/shard=0,app.kubernetes.io/name=qoe-clickhouse",
        "--delete-emptydir-data",
        "--timeout=300s",
    ]);
    scenario.cluster.kubectl(&["uncordon", NODE]).unwrap();
    drained.unwrap();
    wait_until("another pod", DEADLINE, || {
        let found = scenario.get("pod", POD)?["metadata"]["uid"].clone();
        if found == pod.as_str() { Err("still the same".to_owned()) } else { Ok(()) }
    });
    servers.wait_ready(0);
    let lives = pod_lives(scenario);

    let next = image_with_tag(scenario, "26.8.0");
    object["spec"]["clickhouse"]["managed"]["image"] = json!(next);
    scenario.apply(&object.to_string());
    wait_image(scenario, &next);
    wait_ready(scenario);

    // An image that is not there: the roll stops and says so; taken back, it goes on.
    object["spec"]["clickhouse"]["managed"]["image"] = json!(next.replace("26.8.0", "26.9.9"));
    scenario.apply(&object.to_string());
    let message = wait_until("the reason why the server does not start", DEADLINE, || {
        let (status, _, message) = condition(&main_collector(scenario)?, "ClickHouseReady")?;
        if status == "False" && message.contains("ErrImageNeverPull") { Ok(message) } else { Err(message) }
    });
    assert!(message.contains("shard 0: pod main-clickhouse-0-0"), "{message}");
    object["spec"]["clickhouse"]["managed"].as_object_mut().unwrap().remove("image");
    scenario.apply(&object.to_string());
    wait_image(scenario, &next);
    wait_ready(scenario);

    let sent = Sent::sum(&sending.finish());
    wait_rows(&servers, sent.records);
    assert_eq!(servers.number(0, "SELECT sum(octet_delta_count) FROM qoestor.fullflow"), sent.octets);
    wait_condition(scenario, "NothingLost", "True");
    let receiver = |lives: &[String]| {
        lives.iter().filter(|life| life.contains("main-dpi-0-0")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(receiver(&pod_lives(scenario)), receiver(&lives), "{}", events(scenario));
}
