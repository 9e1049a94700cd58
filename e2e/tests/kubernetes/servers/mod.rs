//! ClickHouse servers that the operator runs. Each scenario ends in counts or parts.

pub mod cold;
pub mod deletion;
pub mod external;
pub mod faults;
pub mod full;
pub mod minimal;
pub mod shards;
pub mod users;

use e2e::cluster::{Managed, Operator, Scenario, clickhouse_image, wait_until};
use serde_json::{Value, json};

use crate::support::{DEADLINE, dpi, main_collector, start_operator_with};

/// The first server's pod.
pub const POD: &str = "main-clickhouse-0-0";

/// An operator whose servers run the test's image.
pub fn start_operator(scenario: &Scenario) -> Operator {
    start_operator_with(scenario, &["--clickhouse-image", clickhouse_image().as_str()])
}

/// A collector named `main` with one server as small as a test needs; change it before it is applied.
pub fn collector() -> Value {
    json!({
        "apiVersion": "qoeplane.io/v1alpha1",
        "kind": "QoeCollector",
        "metadata": {"name": "main"},
        "spec": {
            "dpis": [dpi(0, 1500, "TCP")],
            "clickhouse": {"managed": {
                "resources": {"requests": {"cpu": "50m", "memory": "1Gi"}},
                "storage": {"hot": {"size": "2Gi"}, "cold": {"size": "4Gi"}},
            }},
        },
    })
}

/// Waits until as many rows as were sent can be asked for, and not one more.
pub fn wait_rows(servers: &Managed<'_>, rows: u64) {
    wait_count(servers, 0, "SELECT count() FROM qoestor.fullflow", rows);
}

/// Waits until a question to a server has this number for an answer.
pub fn wait_count(servers: &Managed<'_>, shard: u32, sql: &str, number: u64) {
    wait_until(&format!("{number} from shard {shard}: {sql}"), DEADLINE, || {
        let found = servers.try_query(shard, sql)?;
        if found.trim() == number.to_string() { Ok(()) } else { Err(found) }
    });
}

/// Waits until a question to a server has at least this number for an answer.
pub fn wait_at_least(servers: &Managed<'_>, shard: u32, sql: &str, number: u64) {
    wait_until(&format!("at least {number} from shard {shard}: {sql}"), DEADLINE, || {
        let found = servers.try_query(shard, sql)?;
        if found.trim().parse::<u64>().unwrap_or(0) >= number { Ok(()) } else { Err(found) }
    });
}

/// The uid of an object, to tell whether it is still the same.
pub fn uid(scenario: &Scenario, kind: &str, name: &str) -> String {
    scenario.get(kind, name).unwrap()["metadata"]["uid"].as_str().unwrap_or_default().to_string()
}

/// The server's image under another tag, as a newer version would be named.
pub fn image_with_tag(scenario: &Scenario, tag: &str) -> String {
    let image = clickhouse_image();
    let (name, _) = image.rsplit_once(':').unwrap();
    let other = format!("{name}:{tag}");
    scenario.cluster.tag_image(&image, &other).unwrap();
    other
}

/// Waits until the first server's pod has an image.
pub fn wait_image(scenario: &Scenario, image: &str) {
    wait_until(&format!("a server of {image}"), DEADLINE, || {
        let pod = scenario.get("pod", POD)?;
        if pod["spec"]["containers"][0]["image"] == image {
            Ok(())
        } else {
            Err(main_collector(scenario)?["status"]["shards"].to_string())
        }
    });
}
