//! The main job: one object becomes a running system, and what is sent is stored, exactly.

use std::time::Duration;

use e2e::cluster::{ClickHouse, Scenario, wait_until};
use e2e::{Sent, Simulator};
use serde_json::{Value, json};

use crate::support::{
    DEADLINE, address, collector, condition, dpi, main_collector, stream_of, wait_condition, wait_ready,
    wait_rows,
};

const OPERATOR: &str = include_str!("../../../manifests/namespace/operator.yaml");
const RECORDS: u64 = 200_000;

/// The contract's object, adapted to a node of a test: no cold volume, no load balancer, small journals.
pub fn the_contract_runs(scenario: &Scenario) {
    let clickhouse = ClickHouse::start(scenario);
    scenario.apply(&operator_in_a_pod(scenario));
    scenario.apply(&contract(&clickhouse).to_string());
    wait_ready(scenario);

    let (north, south) = (address(scenario, 0, 1500), address(scenario, 1, 1510));
    let records = RECORDS.to_string();
    let tcp = Simulator::start(&["--to", &north, "--records", &records, "--seed", "1"]);
    try_udp(&clickhouse, &south);
    // Slowly: what the kernel drops on a loaded machine is not what this is about.
    let udp = Simulator::start(&[
        "--to",
        &south,
        "--transport",
        "udp",
        "--records",
        "20000",
        "--seed",
        "2",
        "--rate",
        "2000",
    ]);
    let (tcp, udp) = (tcp.finish(DEADLINE), udp.finish(DEADLINE));
    wait_rows(&clickhouse, "fullflow", 0, tcp.records);
    let first = udp.first_session_id;
    let of_udp = format!("dpi_id = 1 AND session_id BETWEEN {first} AND {}", first + udp.records - 1);
    wait_until("the datagrams of the second run", DEADLINE, || match of(&clickhouse, &of_udp) {
        found if found == (udp.records, udp.octets) => Ok(()),
        found => Err(format!("{found:?} of {udp:?}")),
    });
    assert_eq!(of(&clickhouse, "dpi_id = 0"), (tcp.records, tcp.octets));
    // With those of the tries.
    let (records, octets) = of(&clickhouse, "dpi_id = 1");
    let udp = Sent { records, octets, ..udp };

    // The same numbers in the object's status, within a minute or two.
    wait_until("the balances in the status", DEADLINE, || {
        let object = main_collector(scenario)?;
        let seen = object["status"]["receivers"].to_string();
        for (id, sent) in [(0, &tcp), (1, &udp)] {
            let stream = stream_of(&object, id, "fullflow")?;
            let number = |field: &str| stream[field].as_u64().unwrap_or(0);
            let balance = [number("received"), number("stored"), number("waiting"), number("missing")];
            if balance != [sent.records, sent.records, 0, 0] {
                return Err(seen);
            }
        }
        Ok(())
    });
    wait_condition(scenario, "Receiving", "True");
    wait_condition(scenario, "NothingLost", "True");
    let columns = scenario.kubectl(&["get", "qoecollectors"]).unwrap();
    assert!(columns.contains("2/2") && columns.contains("True"), "{columns}");
    let described = scenario.kubectl(&["describe", "qoec", "main"]).unwrap();
    assert!(described.contains("Nothing") || described.contains("nothing was lost"), "{described}");
    let object = main_collector(scenario).unwrap();
    assert!(condition(&object, "Ready").unwrap().2.contains("2 of 2 receivers"), "{object}");
}

/// Waits until datagrams find their way: what is sent before kube-proxy knows of a pod that has just become ready is
/// lost, and nobody can tell.
fn try_udp(clickhouse: &ClickHouse<'_>, to: &str) {
    let mut seed = 1_000;
    wait_until("a datagram to arrive", DEADLINE, || {
        seed += 1;
        let seed = seed.to_string();
        let run = ["--to", to, "--transport", "udp", "--records", "10", "--seed", &seed];
        Simulator::start(&run).finish(DEADLINE);
        std::thread::sleep(Duration::from_secs(3));
        if of(clickhouse, "dpi_id = 1").0 == 0 { Err("nothing has arrived".to_owned()) } else { Ok(()) }
    });
}

/// Records and their octets.
fn of(clickhouse: &ClickHouse<'_>, which: &str) -> (u64, u64) {
    let number =
        |what: &str| clickhouse.number(&format!("SELECT {what} FROM qoestor.fullflow WHERE {which}"));
    (number("count()"), number("sum(octet_delta_count)"))
}

/// What users install (`manifests/namespace`): the operator as a pod, with no more rights than it needs.
pub fn operator_in_a_pod(scenario: &Scenario) -> String {
    let image = format!("qoeplane/qoe:{}", env!("CARGO_PKG_VERSION"));
    assert!(OPERATOR.contains(&image), "the manifests name another version than {image}");
    OPERATOR
        .replace("namespace: qoeplane-system", &format!("namespace: {}", scenario.namespace))
        .replace("--namespace=qoeplane-system", &format!("--namespace={}", scenario.namespace))
        .replace(&image, e2e::cluster::IMAGE)
        .replace("--receiver-image=qoeplane/qoe", "--receiver-image=localhost/qoe")
        .replace("IfNotPresent", "Never")
}

fn contract(clickhouse: &ClickHouse<'_>) -> Value {
    let mut north = dpi(0, 1500, "TCP");
    north["name"] = json!("edge-north");
    north["streams"][0]["name"] = json!("fullflow");
    north["streams"][0]["allowFrom"] = json!(["198.18.0.0/15", "2001:db8::/32"]);
    north["streams"][0]["domains"] = json!([{"id": 17, "dpi": 1}]);
    north["streams"].as_array_mut().unwrap().extend([
        json!({"type": "Clickstream", "port": 1501, "transport": "TCP"}),
        json!({"name": "fullflow-v6", "type": "Fullflow", "port": 1506, "transport": "UDP"}),
    ]);
    let journal = json!({
        "size": "512Mi", "fsync": "Interval", "fsyncInterval": "1s", "keepAfterCommit": "10m", "onVolumeLost": "Wait",
    });
    north["receiver"] = json!({
        "exposure": {"type": "Service", "service": {"type": "ClusterIP", "annotations": {}}},
        "journal": journal,
        "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}},
        "tolerations": [],
        "priorityClassName": "",
        "imagePullSecrets": [],
        "tuning": {"inserters": 4, "maxDelay": "1s"},
    });
    let mut south = dpi(1, 1510, "UDP");
    south["name"] = json!("edge-south");
    south["streams"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "NATFlow", "port": 1513, "transport": "UDP"}));
    let mut object = collector(clickhouse, json!([north, south]));
    let spec = &mut object["spec"];
    spec["paused"] = json!(false);
    spec["upgradePolicy"] = json!("Automatic");
    spec["deletionPolicy"] = json!("Retain");
    spec["timeZone"] = json!("Europe/Berlin");
    spec["nodes"] = json!({"cpuFeatures": ["SSE42"], "minNICSpeedMbps": 1000, "policy": "Prefer"});
    spec["tables"] = json!({
        "fullflow": {"keepFor": "24h"},
        "gtpflow": {"keepFor": "30d"},
        "natflow": {"keepFor": "90d"},
        "fullflow_agg": {"interval": "15m", "rollups": [{"interval": "30m", "after": "7d"}, {"interval": "1h", "after": "30d"}]},
    });
    spec["elements"] = json!([{"stream": "GTPFlow", "id": 3316, "pen": 43823, "name": "imsi", "type": "String", "column": "imsi"}]);
    spec["approvals"] = json!([]);
    object
}
