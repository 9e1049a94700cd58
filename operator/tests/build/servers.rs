//! What managed ClickHouse servers become. `golden/servers/` holds the specs of their StatefulSets, which no later
//! version may change for the same object and image: a difference would restart every server when the operator is
//! upgraded, or could not be applied at all.

use std::collections::HashSet;
use std::fmt::Write;

use crds::ClickHouseKind;
use crds::clickhouse::{Access, Managed};
use operator::collector::build::{APPLIED_HASH_ANNOTATION, applied_hash};
use operator::collector::servers::passwords::Passwords;
use operator::collector::servers::resources::{Rights, in_cluster};
use operator::collector::servers::{Login, Servers, ServersResources, build};
use serde_json::Value;

use crate::golden::{compare, pretty};
use crate::{golden_dir, images};

const INPUTS: [&str; 2] = ["servers", "servers-minimal"];

fn managed(name: &str) -> Managed {
    let file = format!("{name}.yaml");
    let text = std::fs::read_to_string(golden_dir().join("input").join(&file)).unwrap();
    let documents = crds::load::documents(&text, &file).unwrap_or_else(|errors| panic!("{errors}"));
    let Some(ClickHouseKind::Managed(managed)) = documents.collectors[0].spec.clickhouse.kind() else {
        panic!("{file} has no managed ClickHouse");
    };
    managed.clone()
}

fn passwords(managed: &Managed) -> Passwords {
    let login =
        |name: &str, rights: Rights| Login { name: name.to_owned(), password: format!("of {name}"), rights };
    let mut logins = vec![
        login("qoe_admin", Rights::Admin),
        login("qoe_writer", Rights::Writer),
        login("qoe_reader", Rights::Given(Access::ReadOnly)),
    ];
    logins.extend(managed.users.iter().map(|user| login(&user.name, Rights::Given(user.access))));
    Passwords { logins, interserver: "a & b".to_owned() }
}

fn built(managed: &Managed, count: u32, in_cluster: u32) -> ServersResources {
    let passwords = passwords(managed);
    let image = managed.image.as_deref().unwrap_or("clickhouse/clickhouse-server:26.7");
    build(&Servers {
        collector: "main",
        namespace: "qoe",
        uid: "00000000-0000-4000-8000-000000000001",
        database: "qoestor",
        managed,
        image,
        ran: &vec![Some(image); count as usize],
        images: &images(),
        count,
        in_cluster,
        interserver: &passwords.interserver,
        logins: &passwords.logins,
    })
}

fn of_input(name: &str) -> ServersResources {
    let managed = managed(name);
    built(&managed, managed.shards, managed.shards)
}

#[test]
fn servers_keep_their_stateful_set() {
    for name in INPUTS {
        let specs: Vec<_> = of_input(name).shards.into_iter().map(|one| one.stateful_set.spec).collect();
        assert!(!specs.is_empty() && specs.iter().all(Option::is_some));
        compare("servers", name, &pretty(&specs));
    }
}

#[test]
fn how_many_servers_queries_ask_is_read_from_the_live_secret() {
    let managed = managed("servers");
    for number in [1, 3] {
        assert_eq!(in_cluster(&built(&managed, 3, number).secret), number);
    }
    assert_eq!(in_cluster(&k8s_openapi::api::core::v1::Secret::default()), 0);
}

#[test]
fn the_other_objects_are_as_they_were() {
    for name in INPUTS {
        let ServersResources { secret, service_account, headless, query, shards } = of_input(name);
        let mut text = pretty(&[service_account]) + &pretty(&[headless, query]);
        for shard in shards {
            text.push_str(&pretty(&[shard.config_map]));
            text.push_str(&pretty(&[shard.disruption_budget]));
            text.push_str(&pretty(&[shard.stateful_set.metadata]));
        }
        for (key, file) in secret.data.unwrap() {
            writeln!(text, "{key}:\n{}", String::from_utf8(file.0).unwrap()).unwrap();
        }
        compare("all", name, &text);
    }
}

fn objects(built: &ServersResources) -> Vec<Value> {
    let ServersResources { secret, service_account, headless, query, shards } = built;
    let json = |object: serde_json::Result<Value>| object.unwrap();
    let mut objects = vec![
        json(serde_json::to_value(secret)),
        json(serde_json::to_value(service_account)),
        json(serde_json::to_value(headless)),
        json(serde_json::to_value(query)),
    ];
    for shard in shards {
        objects.push(json(serde_json::to_value(&shard.config_map)));
        objects.push(json(serde_json::to_value(&shard.stateful_set)));
        objects.push(json(serde_json::to_value(&shard.disruption_budget)));
    }
    objects
}

#[test]
fn every_object_belongs_to_its_collector_and_carries_its_hash() {
    for name in INPUTS {
        let mut names = HashSet::new();
        for mut object in objects(&of_input(name)) {
            let metadata = &object["metadata"];
            assert_eq!(metadata["ownerReferences"][0]["uid"], "00000000-0000-4000-8000-000000000001");
            assert_eq!(metadata["namespace"], "qoe");
            assert_eq!(metadata["labels"]["qoeplane.io/collector"], "main");
            assert_eq!(metadata["labels"]["app.kubernetes.io/name"], "qoe-clickhouse");
            assert!(names.insert((object["kind"].to_string(), metadata["name"].to_string())));
            let hash = metadata["annotations"][APPLIED_HASH_ANNOTATION].as_str().unwrap().to_owned();
            object["metadata"]["annotations"][APPLIED_HASH_ANNOTATION] = "x".into();
            assert_ne!(applied_hash(&object), hash);
        }
    }
}

#[test]
fn a_password_is_nowhere_but_as_its_hash() {
    let managed = managed("servers");
    let everything = objects(&built(&managed, 2, 2)).iter().map(Value::to_string).collect::<String>();
    let secret = built(&managed, 2, 2).secret.data.unwrap();
    let files: String = secret.values().map(|file| String::from_utf8(file.0.clone()).unwrap()).collect();
    for login in passwords(&managed).logins {
        assert!(!everything.contains(&login.password) && !files.contains(&login.password), "{}", login.name);
        assert!(files.contains(&format!("<{0}>", login.name)));
    }
    assert!(files.contains("<secret>a &amp; b</secret>"));
}

#[test]
fn what_changes_while_servers_run_leaves_their_pods_alone() {
    let managed = managed("servers");
    let templates = |built: &ServersResources| -> Vec<_> {
        built.shards.iter().map(|shard| shard.stateful_set.spec.as_ref().unwrap().template.clone()).collect()
    };
    let before = templates(&built(&managed, 2, 2));
    assert_eq!(templates(&built(&managed, 2, 1)), before, "a server joins the cluster");
    assert_eq!(templates(&built(&managed, 3, 2))[..2], before[..], "another server comes");
    let mut other = managed.clone();
    other.users.clear();
    assert_eq!(templates(&built(&other, 2, 2)), before, "users go");
    other = managed.clone();
    other.storage.as_mut().unwrap().hot.as_mut().unwrap().size = "1Ti".parse().unwrap();
    assert_eq!(templates(&built(&other, 2, 2)), before, "a volume grows");
    other = managed;
    other.storage.as_mut().unwrap().cold = None;
    assert_ne!(templates(&built(&other, 2, 2)), before, "a volume that is mounted takes a restart");
}

#[test]
fn names_stay_within_kubernetes_limits() {
    let collector = "c".repeat(crds::managed::LONGEST_COLLECTOR);
    assert!(crds::managed::claim_name(&collector, 63, "cold").len() <= 63);
    // The controller adds a hash of 10 characters to the name in a pod's label.
    assert!(crds::managed::server_name(&collector, 63).len() + 11 <= 63);
    assert!(crds::managed::headless_name(&collector).len() <= 63);
}
