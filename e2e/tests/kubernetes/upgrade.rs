//! A newer operator: receivers stay as they are when the object says so, and move one at a time when it does
//! not.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::cluster::{ClickHouse, Scenario, wait_until};
use serde_json::{Value, json};

use crate::support::{
    DEADLINE, collector, dpi, main_collector, pod_lives, start_operator, start_operator_with, wait_ready,
    wait_reason,
};

/// A version that is only another name of this one's image.
const NEXT: &str = "99.1.0";

/// Manual waits, Automatic rolls, a version of the object's own wins.
pub fn receivers_move_with_the_operator(scenario: &Scenario) {
    let this = env!("CARGO_PKG_VERSION");
    scenario.cluster.tag_image(e2e::cluster::IMAGE, &format!("localhost/qoe:{NEXT}")).unwrap();
    let clickhouse = ClickHouse::start(scenario);
    let mut operator = start_operator(scenario);
    let mut object = collector(&clickhouse, json!([dpi(0, 1500, "TCP"), dpi(1, 1501, "TCP")]));
    object["spec"]["upgradePolicy"] = json!("Manual");
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    assert_eq!(main_collector(scenario).unwrap()["status"]["version"], this);
    let lives = pod_lives(scenario);
    assert!(operator.stop(Duration::from_secs(60)).success());

    // An upgrade of the operator alone restarts nothing.
    let _operator = start_operator_with(scenario, &["--receiver-version", NEXT]);
    scenario.kubectl(&["annotate", "qoec", "main", "looked-at=now"]).unwrap();
    std::thread::sleep(Duration::from_secs(5));
    wait_ready(scenario);
    assert_eq!(main_collector(scenario).unwrap()["status"]["version"], this);
    assert_eq!(pod_lives(scenario), lives, "an operator's upgrade has restarted a receiver");

    object["spec"]["upgradePolicy"] = json!("Automatic");
    scenario.apply(&object.to_string());
    one_at_a_time(scenario);
    wait_ready(scenario);
    assert_eq!(main_collector(scenario).unwrap()["status"]["version"], NEXT);

    object["spec"]["version"] = json!("99.2.0");
    scenario.apply(&object.to_string());
    let message = wait_reason(scenario, "Stalled", "VersionTooNew");
    assert!(message.contains("spec.version"), "{message}");
    object["spec"]["version"] = json!(this);
    scenario.apply(&object.to_string());
    wait_until("receivers of the object's version", DEADLINE, || {
        let images = images(scenario);
        if images.iter().all(|image| image.ends_with(this)) { Ok(()) } else { Err(format!("{images:?}")) }
    });
    wait_ready(scenario);
}

/// Until both pods are of the next version, at most one of them is going or has not been ready yet. One that was ready may
/// be late to answer a probe.
fn one_at_a_time(scenario: &Scenario) {
    let begun = Instant::now();
    let mut were_ready = BTreeSet::new();
    loop {
        let pods = scenario.list("pods", "qoeplane.io/collector=main").unwrap();
        let ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        let uid = |pod: &Value| pod["metadata"]["uid"].to_string();
        were_ready.extend(pods.iter().filter(ready).map(uid));
        let serves =
            |pod: &&Value| were_ready.contains(&uid(pod)) && pod["metadata"]["deletionTimestamp"].is_null();
        let serving = pods.iter().filter(serves).count();
        assert!(serving >= 1, "both receivers were away at the same time");
        let moved = images(scenario).iter().all(|image| image.ends_with(NEXT));
        if moved && serving == 2 && pods.len() == 2 {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "the receivers did not move: {:?}", images(scenario));
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn images(scenario: &Scenario) -> Vec<String> {
    let pods = scenario.list("pods", "qoeplane.io/collector=main").unwrap();
    let image = |pod: &Value| pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_string();
    pods.iter().map(image).collect()
}
