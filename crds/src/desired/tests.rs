use super::*;
use crate::load;

fn spec(rest: &str) -> QoeCollectorSpec {
    let text = format!(
        "apiVersion: qoeplane.io/v1alpha1\nkind: QoeCollector\nmetadata: {{name: main}}\nspec:\n  dpis:\n  - id: 0\n    \
         streams: [{{type: Fullflow, port: 1500, transport: TCP}}]\n{rest}"
    );
    load::documents(&text, "test.yaml").unwrap_or_else(|error| panic!("{error}")).collectors[0].spec.clone()
}

const EXTERNAL: &str = "  clickhouse:\n    database: records\n    external:\n      endpoints: [\"http://ch:8123\"]\n      \
                        credentialsSecretRef: {name: ch}\n";
const POLICY: &str = "      storagePolicy: {name: tiers, hotVolume: fast, coldVolume: slow}\n";
const COLD: &str = "  tables: {natflow: {keepFor: 30d, moveToColdAfter: 2d}}\n";

fn ttl_of(desired: &Desired, name: &str) -> String {
    desired.tables.iter().find(|table| table.name == name).unwrap().ttl.clone()
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn every_stream_has_its_table() {
    let desired = desired(&spec("  clickhouse: {embedded: {}}\n"), None).unwrap();
    let names: Vec<&str> = desired.tables.iter().map(|table| table.name.as_str()).collect();
    let always = Desired::new("qoestor").tables.len();
    assert_eq!(names[..2], ["schema_steps", "ledger"]);
    assert_eq!(names[always..], ["fullflow", "clickstream", "gtpflow", "natflow", "dnsflow"]);
    assert_eq!((desired.database.as_str(), desired.owner), ("qoestor", None));
}

#[test]
fn an_external_server_has_the_volumes_that_the_spec_names() {
    let own = StorageVolumes { policy: "own".to_owned(), cold_volume: Some("own cold".to_owned()) };
    let desired = desired(&spec(&format!("{EXTERNAL}{POLICY}{COLD}")), Some(&own)).unwrap();
    assert_eq!(desired.database, "records");
    assert_eq!(
        ttl_of(&desired, "natflow"),
        "toDateTime(received_at) + toIntervalSecond(172800) TO VOLUME 'slow', \
         toDateTime(received_at) + toIntervalSecond(2592000)"
    );
    assert_eq!(ttl_of(&desired, "fullflow"), "toDateTime(received_at) + toIntervalSecond(86400)");
    for table in desired.tables.iter().skip(Desired::new("x").tables.len()) {
        assert!(
            table.settings.contains(&("storage_policy".to_owned(), "tiers".to_owned())),
            "{}",
            table.name
        );
    }
}

#[test]
fn moving_to_a_volume_that_is_not_there_is_a_problem() {
    let problems = desired(&spec(&format!("{EXTERNAL}{COLD}")), None).unwrap_err();
    assert_eq!(
        texts(&problems),
        ["spec.tables.natflow.moveToColdAfter: there is no cold volume: name one in \
          spec.clickhouse.external.storagePolicy, or leave this out"]
    );
    let hot_only = StorageVolumes { policy: "own".to_owned(), cold_volume: None };
    let embedded = spec(&format!("  clickhouse: {{embedded: {{}}}}\n{COLD}"));
    assert_eq!(desired(&embedded, Some(&hot_only)).unwrap_err().len(), 1);
    let tiered = StorageVolumes { policy: "own".to_owned(), cold_volume: Some("cold".to_owned()) };
    assert!(desired(&embedded, Some(&tiered)).is_ok());
}

#[test]
fn an_element_is_named_by_its_place() {
    let mut spec = spec("  clickhouse: {embedded: {}}\n");
    for (column, id) in [("new_column", 3000), ("vlan_id", 3001)] {
        spec.elements.push(crate::CustomElement {
            pen: 43823,
            id,
            name: "x".to_owned(),
            element_type: crate::ElementType::UInt64,
            stream: StreamType::Fullflow,
            column: column.to_owned(),
        });
    }
    assert_eq!(
        texts(&desired(&spec, None).unwrap_err()),
        ["spec.elements[1].column: column fullflow.vlan_id is UInt16, element 43823/3001 says UInt64"]
    );
}

#[test]
fn wrong_names_of_volumes_are_found_on_the_server() {
    let spec = spec(&format!("{EXTERNAL}{POLICY}"));
    let found = |policy: &str, volumes: &[&str]| {
        let volumes = volumes.iter().map(|volume| (*volume).to_owned()).collect();
        texts(&storage_problems(&spec, &BTreeMap::from([(policy.to_owned(), volumes)])))
    };
    assert_eq!(found("tiers", &["fast", "slow"]), [""; 0]);
    let path = "spec.clickhouse.external.storagePolicy";
    assert_eq!(
        found("default", &["default"]),
        [format!("{path}.name: the server has no storage policy \"tiers\", it has default")]
    );
    assert_eq!(
        found("tiers", &["fast", "cold"]),
        [format!("{path}.coldVolume: storage policy tiers has no volume \"slow\", it has fast, cold")]
    );
    assert_eq!(
        found("tiers", &["slow", "fast"]),
        [format!("{path}.hotVolume: records arrive at the policy's first volume, slow, not at fast")]
    );
}
