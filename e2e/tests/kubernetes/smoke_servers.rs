//! The cluster's parts that managed ClickHouse servers need: a server that is configured by files, names,
//! volumes that fill up and grow, `kubectl port-forward`. The objects are made by hand, without an operator.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::{Command, Stdio};

use e2e::cluster::{
    IMAGE, Managed, SMALL_STORAGE_CLASS, STORAGE_CLASS, Scenario, clickhouse_image, wait_until,
};
use serde_json::{Value, json};

use crate::support::DEADLINE;

const PASSWORD: &str = "secret-of-a-test";
const POD: &str = "main-clickhouse-0-0";
const SERVICE: &str = "main-clickhouse-shards";

/// A server runs by its files, takes over a change of them, and keeps its rows on a volume that grows,
/// over `kill -9` and over the end of everything but the claims.
pub fn a_server_is_configured_by_files(scenario: &Scenario) {
    let server = start(scenario);
    assert_eq!(server.number(0, "SELECT 42"), 42);
    let refused = server.try_query_as(0, "qoe_admin", "wrong", "SELECT 1").unwrap_err();
    assert!(refused.contains("AUTHENTICATION_FAILED"), "{refused}");
    server.query(0, "CREATE DATABASE kept");
    server.query(
        0,
        "CREATE TABLE kept.row (number UInt64) ENGINE = MergeTree ORDER BY number SETTINGS storage_policy = 'tiered'",
    );
    server.query(0, "INSERT INTO kept.row VALUES (42)");
    server.query(0, "ALTER TABLE kept.row MOVE PARTITION tuple() TO VOLUME 'cold'");

    // Claims of any size; one of the class `small` is that large and no larger.
    let claim = scenario.get("pvc", &format!("cold-{POD}")).unwrap();
    assert_eq!(claim["status"]["capacity"]["storage"], "200Gi");
    let hot = "SELECT total_space FROM system.disks WHERE name = 'default'";
    assert_eq!(server.number(0, hot), 192 << 20);
    let larger = r#"{"spec": {"resources": {"requests": {"storage": "256Mi"}}}}"#;
    scenario.kubectl(&["patch", "pvc", &format!("hot-{POD}"), "--patch", larger]).unwrap();
    wait_until("the larger volume", DEADLINE, || {
        let claim = scenario.get("pvc", &format!("hot-{POD}"))?;
        if claim["status"]["capacity"]["storage"] == "256Mi" { Ok(()) } else { Err(claim.to_string()) }
    });
    assert_eq!(server.number(0, hot), 256 << 20);

    // A user who was not there is taken from the files.
    scenario.apply(&server_files(scenario, "<later><password>second</password></later>").to_string());
    wait_until("the user of the changed file", DEADLINE, || {
        let answer = server.try_query_as(0, "later", "second", "SELECT currentUser()")?;
        if answer == "later\n" { Ok(()) } else { Err(answer) }
    });
    assert_eq!(server.number(0, "SELECT number FROM kept.row"), 42);

    server.kill(0);
    wait_until("a server that was started anew", DEADLINE, || {
        let restarts = server.pod(0)?["status"]["containerStatuses"][0]["restartCount"].clone();
        if restarts.as_u64() >= Some(1) { Ok(()) } else { Err(restarts.to_string()) }
    });
    server.wait_ready(0);
    assert_eq!(server.number(0, "SELECT number FROM kept.row"), 42);
    scenario.kubectl(&["delete", "statefulset", "main-clickhouse-0", "--cascade=foreground"]).unwrap();
    scenario.apply(&stateful_set(0).to_string());
    server.wait_ready(0);
    assert_eq!(server.number(0, "SELECT number FROM kept.row"), 42);
}

/// Pods, the server itself and programs on the node find a Service and a pod behind a headless Service by
/// name; a name that is nobody's is said to be none.
pub fn names_are_found(scenario: &Scenario) {
    let server = start(scenario);
    let headless = format!("{POD}.{SERVICE}.{}.svc", scenario.namespace);
    let service = format!("main-clickhouse.{}.svc", scenario.namespace);

    let found = (headless.as_str(), 8123).to_socket_addrs().unwrap().next().unwrap();
    assert_eq!(found.ip().to_string(), server.pod(0).unwrap()["status"]["podIP"].as_str().unwrap());
    let found = (service.as_str(), 8123).to_socket_addrs().unwrap().next().unwrap();
    assert_eq!(found.ip().to_string(), scenario.service_address("main-clickhouse"));
    let nobody = (format!("nobody.{}.svc", scenario.namespace), 8123).to_socket_addrs().unwrap_err();
    assert!(nobody.to_string().contains("Name or service not known"), "{nobody}");

    // By its own name, with the native protocol and the servers' common secret.
    let itself = "SELECT count() FROM cluster('qoeplane', system.one) SETTINGS prefer_localhost_replica = 0";
    assert_eq!(server.number(0, itself), 1);

    for (name, host) in [("by-pod", &headless), ("by-service", &service)] {
        for object in asking_pod(name, host) {
            scenario.apply(&object.to_string());
        }
    }
    for name in ["by-pod", "by-service"] {
        wait_until("the answer to a pod", DEADLINE, || {
            let phase = scenario.get("pod", name)?["status"]["phase"].clone();
            if phase == "Succeeded" { Ok(()) } else { Err(format!("{phase}: {:?}", scenario.pod_log(name))) }
        });
        assert_eq!(scenario.pod_log(name).unwrap(), "42\n");
    }
}

/// `kubectl port-forward` reaches a port of a pod.
pub fn ports_are_forwarded(scenario: &Scenario) {
    start(scenario);
    let mut forward = Command::new(scenario.cluster.binaries().join("kubectl"))
        .arg("--kubeconfig")
        .arg(scenario.cluster.kubeconfig())
        .args(["--namespace", &scenario.namespace, "port-forward", &format!("pod/{POD}"), ":8123"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It writes a line for each connection as well, and would end if nobody could read it.
    let mut output = BufReader::new(forward.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
    let mut answer = String::new();
    let asked =
        TcpStream::connect(address.unwrap_or_else(|| panic!("no address: {line}"))).and_then(|mut stream| {
            stream.set_read_timeout(Some(DEADLINE))?;
            stream.write_all(b"GET /ping HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut answer)
        });
    forward.kill().unwrap();
    forward.wait().unwrap();
    asked.unwrap();
    assert!(answer.ends_with("Ok.\n"), "{answer}");
}

/// One server as an operator makes them, ready.
fn start(scenario: &Scenario) -> Managed<'_> {
    start_servers(scenario, 1)
}

/// Servers that form a cluster, ready; nobody's but the test's.
pub fn start_servers(scenario: &Scenario, count: u32) -> Managed<'_> {
    for object in [
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "main-clickhouse-admin"},
            "stringData": {"username": "qoe_admin", "password": PASSWORD},
        }),
        server_files_of(scenario, "", count),
        service(SERVICE, json!({"clusterIP": "None", "publishNotReadyAddresses": true})),
        service("main-clickhouse", json!({})),
    ] {
        scenario.apply(&object.to_string());
    }
    let servers = Managed::of(scenario);
    for shard in 0..count {
        scenario.apply(&config_map(shard).to_string());
        scenario.apply(&stateful_set(shard).to_string());
    }
    (0..count).for_each(|shard| servers.wait_ready(shard));
    servers
}

/// Where a server answers, by its name.
pub fn address(scenario: &Scenario, shard: u32) -> String {
    format!("http://main-clickhouse-{shard}-0.{SERVICE}.{}.svc:8123", scenario.namespace)
}

fn server_files(scenario: &Scenario, more_users: &str) -> Value {
    server_files_of(scenario, more_users, 1)
}

fn server_files_of(scenario: &Scenario, more_users: &str, count: u32) -> Value {
    let shards: String = (0..count)
        .map(|shard| {
            let host = format!("main-clickhouse-{shard}-0.{SERVICE}.{}.svc", scenario.namespace);
            format!("<shard><replica><host>{host}</host><port>9000</port></replica></shard>")
        })
        .collect();
    let users = format!(
        "<clickhouse><users><default remove=\"remove\"/><qoe_admin><password>{PASSWORD}</password>\
         <networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>\
         <access_management>1</access_management></qoe_admin>\
         {more_users}</users></clickhouse>"
    );
    let cluster = format!(
        "<clickhouse><remote_servers replace=\"replace\"><qoeplane><secret>of a test</secret>\
         {shards}</qoeplane></remote_servers>\
         </clickhouse>"
    );
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "main-clickhouse-server"},
        "stringData": {"users.xml": users, "cluster.xml": cluster},
    })
}

fn config_map(shard: u32) -> Value {
    let text = "<clickhouse>
    <listen_host replace=\"replace\">0.0.0.0</listen_host>
    <storage_configuration>
        <disks>
            <cold><path>/var/lib/clickhouse-cold/</path></cold>
        </disks>
        <policies><tiered><volumes>
            <hot><disk>default</disk></hot>
            <cold><disk>cold</disk></cold>
        </volumes></tiered></policies>
    </storage_configuration>
</clickhouse>
";
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("main-clickhouse-{shard}")},
        "data": {"qoeplane.xml": text},
    })
}

fn service(name: &str, more: Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {
            "selector": {"app": "server"},
            "ports": [{"name": "http", "port": 8123}, {"name": "native", "port": 9000}],
        },
    });
    for (key, value) in more.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    service
}

fn stateful_set(shard: u32) -> Value {
    let name = format!("main-clickhouse-{shard}");
    let labels = json!({"app": "server", "shard": shard.to_string()});
    let claim = |name: &str, class: &str, size: &str| {
        json!({
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "resources": {"requests": {"storage": size}},
            },
        })
    };
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
        "spec": {
            "serviceName": SERVICE,
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "volumeClaimTemplates": [claim("hot", SMALL_STORAGE_CLASS, "192Mi"), claim("cold", STORAGE_CLASS, "200Gi")],
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": false,
                    "securityContext": restricted_pod(101),
                    "containers": [{
                        "name": "clickhouse",
                        "image": clickhouse_image(),
                        "imagePullPolicy": "Never",
                        // A real image's entry point would write a user of its own.
                        "env": [{"name": "CLICKHOUSE_SKIP_USER_SETUP", "value": "1"}],
                        "ports": [{"name": "http", "containerPort": 8123}, {"name": "native", "containerPort": 9000}],
                        "readinessProbe": {"httpGet": {"path": "/ping", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 6},
                        "securityContext": restricted_container(),
                        "volumeMounts": [
                            {"name": "hot", "mountPath": "/var/lib/clickhouse"},
                            {"name": "cold", "mountPath": "/var/lib/clickhouse-cold"},
                            {"name": "config", "mountPath": "/etc/clickhouse-server/config.d", "readOnly": true},
                            {"name": "users", "mountPath": "/etc/clickhouse-server/users.d", "readOnly": true},
                            {"name": "tmp", "mountPath": "/tmp"},
                            {"name": "log", "mountPath": "/var/log/clickhouse-server"},
                        ],
                    }],
                    "volumes": [
                        {"name": "config", "projected": {"sources": [
                            {"configMap": {"name": name}},
                            {"secret": {"name": "main-clickhouse-server", "items": [{"key": "cluster.xml", "path": "cluster.xml"}]}},
                        ]}},
                        {"name": "users", "secret": {"secretName": "main-clickhouse-server", "items": [{"key": "users.xml", "path": "users.xml"}]}},
                        {"name": "tmp", "emptyDir": {}},
                        {"name": "log", "emptyDir": {}},
                    ],
                },
            },
        },
    })
}

/// A pod of our image that asks the server `host`, and what tells it how.
fn asking_pod(name: &str, host: &str) -> [Value; 2] {
    let connection = json!({
        "url": format!("http://{host}:8123"), "http_port": 8123, "tcp_port": 9000,
        "user": "qoe_admin", "password_file": "/data/clickhouse/password", "database": "default",
    });
    let files = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"connection.json": connection.to_string(), "password": PASSWORD},
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "restartPolicy": "OnFailure",
            "automountServiceAccountToken": false,
            "securityContext": restricted_pod(10_001),
            "containers": [{
                "name": "qoe",
                "image": IMAGE,
                "imagePullPolicy": "Never",
                "args": ["query", "--data", "/data", "--format", "TSV", "SELECT 42"],
                "securityContext": restricted_container(),
                "volumeMounts": [{"name": "files", "mountPath": "/data/clickhouse"}],
            }],
            "volumes": [{"name": "files", "configMap": {"name": name}}],
        },
    });
    [files, pod]
}

fn restricted_pod(user: u32) -> Value {
    json!({
        "runAsNonRoot": true, "runAsUser": user, "runAsGroup": user, "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

fn restricted_container() -> Value {
    json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    })
}
