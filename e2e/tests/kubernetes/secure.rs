//! ClickHouse over https with an authority of one's own, and a password that is changed: both reach the
//! operator and the receivers, which are not restarted.

use e2e::Simulator;
use e2e::cluster::{ClickHouse, ClickHouseOptions, Scenario, wait_until};
use serde_json::json;

use crate::support::{
    DEADLINE, address, collector, condition, dpi, main_collector, start_operator, wait_ready, wait_reason,
    wait_rows,
};

/// A missing authority is named by its field; with it, records are stored over https.
pub fn clickhouse_over_https(scenario: &Scenario) {
    let options = ClickHouseOptions { tls: true, ..ClickHouseOptions::default() };
    let clickhouse = ClickHouse::start_with(scenario, options);
    let _operator = start_operator(scenario);
    let mut object = collector(&clickhouse, json!([dpi(0, 1500, "TCP")]));
    let external = &mut object["spec"]["clickhouse"]["external"];
    external["endpoints"] = json!([clickhouse.https_url()]);
    external["tls"] = json!({"caSecretRef": {"name": "not-there"}});
    scenario.apply(&object.to_string());
    let message = wait_reason(scenario, "Stalled", "ReferenceNotFound");
    assert!(message.contains("spec.clickhouse.external.tls.caSecretRef"), "{message}");
    assert!(message.contains("not-there"), "{message}");

    object["spec"]["clickhouse"]["external"]["tls"] =
        json!({"caSecretRef": {"name": clickhouse.authority_secret()}});
    scenario.apply(&object.to_string());
    wait_ready(scenario);
    let to = address(scenario, 0, 1500);
    let sent = Simulator::start(&["--to", &to, "--records", "20000"]).finish(DEADLINE);
    wait_rows(&clickhouse, "fullflow", 0, sent.records);

    // A Secret that does not fit any more is said within a minute or two, and receiving goes on.
    let wrong = r#"{"stringData": {"password": "not-the-password"}}"#;
    scenario.kubectl(&["patch", "secret", clickhouse.secret(), "--type=merge", "-p", wrong]).unwrap();
    wait_until("the refused password in a condition", DEADLINE, || {
        let (status, _, message) = condition(&main_collector(scenario)?, "SchemaReady")?;
        if status == "False" { Ok(()) } else { Err(message) }
    });
    let (status, ..) = condition(&main_collector(scenario).unwrap(), "ReceiversReady").unwrap();
    assert_eq!(status, "True");
}
