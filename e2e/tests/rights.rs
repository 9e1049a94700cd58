//! The rights that the manual lists for our user in ClickHouse: with these and no others all of it works, tables and
//! aggregates, dictionaries, inserts, what is asked after a kill, changes, and at last the deletion; and all of it on
//! several servers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "cli/program.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod program;

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::{Simulator, free_port, qoe_binary, wait_for};
use embedded::testing::{Launch, TestServer};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use program::Program;
use schema::{drop_plan, execute, observe};

const LONG: Duration = Duration::from_secs(300);
const MANUAL: &str = include_str!("../../docs/upgrades.md");
const PASSWORD: &str = "of-a-test";
/// Streams, which all have aggregates.
const STREAMS: [&str; 5] = ["fullflow", "clickstream", "gtpflow", "natflow", "dnsflow"];

/// The statements of the manual's lists, without whom they are for: what is always needed, for a dictionary from a table,
/// for several servers, for a deletion.
fn grants() -> [Vec<String>; 4] {
    let (_, section) = MANUAL.split_once("## What our user may do\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut lists = section.split("```sql\n").skip(1).map(|rest| {
        let (list, _) = rest.split_once("```").unwrap();
        let statement =
            |line: &str| line.strip_suffix(" TO qoe;").unwrap_or_else(|| panic!("{line}")).to_owned();
        list.lines().map(statement).collect()
    });
    let all = [(); 4].map(|()| lists.next().unwrap());
    assert_eq!(lists.next(), None);
    all
}

fn user(name: &str, grants: &[Vec<String>]) -> String {
    let queries: String = grants.concat().iter().map(|grant| format!("<query>{grant}</query>")).collect();
    format!(
        "<{name}><password>{PASSWORD}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile>\
         <quota>default</quota><grants>{queries}</grants></{name}>"
    )
}

/// A server with the user `limited`, and `deleting`, who has the rights for a deletion too.
fn start() -> TestServer {
    let [usual, table, _, deletion] = grants();
    let limited = user("limited", &[usual.clone(), table.clone()]);
    start_with(&(limited + &user("deleting", &[usual, table, deletion])))
}

fn start_with(users: &str) -> TestServer {
    let users = format!("<clickhouse><users>{users}</users></clickhouse>");
    TestServer::start_with(&Launch::qoe(qoe_binary()), |settings| {
        let directory = settings.data_dir.join("clickhouse/users.d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("limited.xml"), users).unwrap();
    })
    .unwrap()
}

/// A collector with every stream and aggregate, on that server.
fn yaml(server: &TestServer, ports: &[u16], keep_for: &str, approvals: &str) -> String {
    let types = ["Fullflow", "Clickstream", "GTPFlow", "NATFlow", "DNSFlow"];
    let streams: Vec<String> = types
        .iter()
        .zip(ports)
        .map(|(stream, port)| format!("{{type: {stream}, port: {port}, transport: TCP}}"))
        .collect();
    let url = &server.connection().url;
    format!(
        r#"apiVersion: qoeplane.io/v1alpha1
kind: QoeCollector
metadata: {{name: main}}
spec:
  dpis:
    - id: 0
      streams: [{}]
      receiver: {{tuning: {{maxDelay: 1s, flushInterval: 1s}}}}
  enrichment: {{direction: CIDR, natFromFullflow: true}}
  tables:
    fullflow: {{keepFor: 20h}}
    fullflow_agg: {{keepFor: {keep_for}, moveToColdAfter: 40d}}
    clickstream_agg: {{}}
    gtpflow_agg: {{}}
    natflow_agg: {{}}
    dnsflow_agg: {{}}
  approvals: [{approvals}]
  clickhouse:
    external:
      endpoints: ["{url}"]
      credentialsSecretRef: {{name: clickhouse}}
      storagePolicy: {{name: tiered, hotVolume: hot, coldVolume: cold}}
---
apiVersion: v1
kind: Secret
metadata: {{name: clickhouse}}
stringData: {{username: limited, password: {PASSWORD}}}
---
apiVersion: qoeplane.io/v1alpha1
kind: QoeDictionary
metadata: {{name: networks}}
spec: {{type: SubnetsLocal, source: {{file: ./networks.txt}}}}
---
apiVersion: qoeplane.io/v1alpha1
kind: QoeDictionary
metadata: {{name: protocols}}
spec: {{type: Protocols, source: {{table: {{database: billing, name: names}}}}}}
"#,
        streams.join(", ")
    )
}

/// What a user with the password of the test is answered.
fn ask(server: &TestServer, user: &str, sql: &str) -> Result<String, String> {
    let mut answer = ureq::post(&server.connection().url)
        .config()
        .http_status_as_error(false)
        .build()
        .header("X-ClickHouse-User", user)
        .header("X-ClickHouse-Key", PASSWORD)
        .send(sql)
        .unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    if answer.status() == 200 { Ok(text.trim_end().to_owned()) } else { Err(text) }
}

fn number(server: &TestServer, sql: &str) -> u64 {
    server.query(sql).unwrap().trim().parse().unwrap()
}

/// `kill -9` of the receiver that `qoe up` has started.
fn kill_receiver(program: &Program) {
    let config = format!("{}/receiver-config.json", program.data());
    let is_receiver = |process: &Path| {
        let arguments = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        let mut arguments = arguments.split('\0').skip(1);
        arguments.next() == Some("receiver") && arguments.any(|argument| argument == config)
    };
    let mut processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let receiver = processes.find(|process| is_receiver(process)).unwrap();
    let pid = receiver.file_name().unwrap().to_str().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

/// Statements that the server has refused for want of a right.
fn refused(server: &TestServer) -> String {
    server.query("SYSTEM FLUSH LOGS").unwrap();
    let sql =
        "SELECT DISTINCT user, query, exception FROM system.query_log WHERE exception_code = 497 LIMIT 5";
    server.query(sql).unwrap()
}

#[test]
fn the_manuals_rights_suffice() {
    let server = start();
    let program = Program::new();
    let ports = [(); 5].map(|()| free_port());
    program.file("networks.txt", "10.0.0.0/8\tours\n");
    for sql in [
        "CREATE DATABASE billing",
        "CREATE TABLE billing.names (code UInt16, name String) ENGINE = MergeTree ORDER BY code",
        "INSERT INTO billing.names VALUES (7, 'http')",
    ] {
        server.query(sql).unwrap();
    }
    let before = yaml(&server, &ports, "60d", "");
    let up = program.up(&before);

    // Killed while inserts and flushes are under way; what became of them is asked at the next start.
    let to = format!("127.0.0.1:{}", ports[0]);
    let run =
        ["--to", &to, "--records", "200000", "--rate", "20000", "--subscribers", "2000", "--hosts", "20000"];
    let mut sender = Simulator::start(&run);
    wait_for("the first rows", LONG, || {
        (number(&server, "SELECT count() FROM qoestor.fullflow") > 0).then_some(())
    });
    let is_killed_amid = sender.is_running();
    kill_receiver(&program);
    drop(up);
    let up = program.up(&before);
    assert_eq!(sender.finish(LONG).records, 200_000);
    assert!(is_killed_amid);
    for (stream, port) in STREAMS.iter().zip(&ports).skip(1) {
        let to = format!("127.0.0.1:{port}");
        Simulator::start(&["--to", &to, "--stream", stream, "--records", "5000"]).finish(LONG);
    }
    for stream in STREAMS {
        wait_for(&format!("the aggregates of {stream}"), LONG, || {
            let raw = number(&server, &format!("SELECT count() FROM qoestor.{stream}"));
            let aggregated = number(&server, &format!("SELECT sum(records) FROM qoestor.{stream}_agg"));
            (raw >= 5_000 && aggregated == raw).then_some(())
        });
    }
    up.stop();
    assert_eq!(refused(&server), "");
    let settled = "SELECT count() FROM system.query_log WHERE user = 'limited' AND type = 'QueryFinish' AND \
                   query LIKE 'SELECT toUnixTimestamp64Micro(received_at) AS arrival, count()%'";
    assert!(number(&server, settled) > 0, "nothing was asked after the kill");
    let protocol = "SELECT dictGet('qoestor.protocols_dic', 'name', toUInt64(7))";
    assert_eq!(server.query(protocol).unwrap().trim(), "http");
    let median = "SELECT qoe_rtt_quantile(sumMap(rtt_to_histogram), 0.5) > 0 FROM qoestor.fullflow_totals";
    assert_eq!(ask(&server, "limited", median).unwrap(), "1");

    // Changes: what needs an approval, a column that somebody has dropped, a dictionary that is replaced, one in use.
    server.query("ALTER TABLE qoestor.fullflow DROP COLUMN vlan_id").unwrap();
    server.query("ALTER TABLE qoestor.asnum_dic MODIFY COMMENT 'somebody else wrote this'").unwrap();
    let shorter = |approvals: &str| yaml(&server, &ports, "50d", approvals);
    let up = program.up(&shorter(""));
    let said = up.err();
    let approval =
        said.split('"').find(|word| word.starts_with("sha256:")).unwrap_or_else(|| panic!("{said}"));
    up.stop();
    let up = program.up(&shorter(&format!("\"{approval}\"")));
    let ttl = "SELECT engine_full LIKE '%toIntervalSecond(4320000)%' FROM system.tables WHERE name = 'fullflow_agg'";
    assert_eq!(number(&server, ttl), 1);
    assert_eq!(
        number(&server, "SELECT count() FROM system.columns WHERE name = 'vlan_id' AND table = 'fullflow'"),
        1
    );
    let comment = server.query("SELECT comment FROM system.dictionaries WHERE name = 'asnum_dic'").unwrap();
    assert!(comment.starts_with("qoeplane"), "{comment}");
    for (lines, expected) in
        [("10.0.0.0/8\tours\n", "ours"), ("10.0.0.0/8\tnew\n", "new"), ("10.0.0.0/8\tlast\n", "last")]
    {
        program.file("networks.txt", lines);
        let name = "SELECT dictGet('qoestor.subnets_local_dic', 'name', tuple(toIPv4('10.1.2.3')))";
        wait_for(expected, LONG, || (server.query(name).unwrap().trim() == expected).then_some(()));
    }
    up.stop();
    assert_eq!(refused(&server), "");

    everything_is_deleted(&server, &shorter(""));
}

/// Two servers that know each other as the cluster `pair`, with the user `limited` for several servers.
fn start_pair() -> [TestServer; 2] {
    let [usual, _, several, _] = grants();
    let users = user("limited", &[usual, several]);
    let mut servers = [start_with(&users), start_with(&users)];
    let shards: String = servers
        .iter()
        .map(|server| {
            let port = server.connection().tcp_port;
            format!("<shard><replica><host>127.0.0.1</host><port>{port}</port></replica></shard>")
        })
        .collect();
    let xml = format!(
        "<clickhouse><remote_servers><pair><secret>between servers</secret>{shards}</pair></remote_servers></clickhouse>"
    );
    for server in &mut servers {
        let directory = server.prepared.settings.data_dir.join("clickhouse/config.d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("pair.xml"), &xml).unwrap();
        server.restart().unwrap();
    }
    servers
}

#[test]
fn several_servers_on_one_machine() {
    let mut servers = start_pair();
    let program = Program::new();
    let ports = [(); 5].map(|()| free_port());
    program.file("networks.txt", "10.0.0.0/8\tours\n");
    let both = servers.each_ref().map(|server| server.connection().url.clone());
    let config = yaml(&servers[0], &ports, "60d", "").replace(
        &format!("[\"{}\"]", both[0]),
        &format!("[\"{}\", \"{}\"]\n      cluster: pair", both[0], both[1]),
    );
    let (config, _) = config.rsplit_once("---").unwrap();
    let to = format!("127.0.0.1:{}", ports[0]);
    let send = |seed: &str| {
        Simulator::start(&["--to", &to, "--records", "50000", "--rate", "20000", "--seed", seed]).finish(LONG)
    };
    let rows =
        |server: &TestServer, table: &str| number(server, &format!("SELECT count() FROM qoestor.{table}"));

    let up = program.up(config);
    send("1");
    wait_for("all rows", LONG, || (rows(&servers[0], "fullflow") == 50_000).then_some(()));
    up.stop();
    for server in &servers {
        assert_eq!(rows(server, "fullflow"), 50_000);
        assert!(rows(server, "fullflow_local") > 0);
        let name = "SELECT dictGet('qoestor.subnets_local_dic', 'name', tuple(toIPv4('10.1.2.3')))";
        assert_eq!(server.query(name).unwrap().trim(), "ours");
        for table in ["parts", "disks", "clusters", "storage_policies"] {
            ask(server, "limited", &format!("SELECT count() FROM system.{table}")).unwrap();
        }
        assert_eq!(refused(server), "");
    }

    // One does not run at the start: records are stored all the same once it has said what it has.
    servers[1].kill().unwrap();
    let up = program.up(config);
    let said = up.err();
    assert!(said.contains(&format!("ClickHouse on {} does not answer", both[1])), "{said}");
    send("2");
    servers[1].restart().unwrap();
    wait_for("all rows", LONG, || (rows(&servers[0], "fullflow") == 100_000).then_some(()));
    up.stop();
    assert_eq!(rows(&servers[1], "fullflow"), 100_000);
}

/// What `deletionPolicy: Delete` does: refused to the usual user, done by the other.
fn everything_is_deleted(server: &TestServer, yaml: &str) {
    let documents = crds::load::documents(yaml, "collector.yaml").unwrap();
    let desired = crds::desired::desired(&documents.collectors[0].spec, None).unwrap();
    let desired = desired.with_owner("standalone/main");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let delete = |user: &str| {
        let client = schema::connect(&server.connection().url, user, PASSWORD, None).unwrap();
        runtime.block_on(async {
            let plan = drop_plan(&desired, &observe(&client, "qoestor").await.unwrap()).unwrap();
            execute(&client, &plan).await
        })
    };
    let refused = delete("limited").unwrap_err().to_string();
    assert!(refused.contains("ACCESS_DENIED"), "{refused}");
    assert!(number(server, "SELECT count() FROM qoestor.natflow_agg") > 0);
    delete("deleting").unwrap();
    assert_eq!(number(server, "SELECT count() FROM system.databases WHERE name = 'qoestor'"), 0);
}
