//! Dictionaries on one machine as a user has them: files beside the YAML, documents in it, a web server, a table
//! that somebody else fills. What changes is in force soon, in ClickHouse and in the receiver; what is wrong is
//! said by line and changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::{Process, Simulator, free_port, qoe_binary, wait_for};
use nix::sys::signal::Signal;
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(300);

/// `qoe up` on a file of the test's own.
struct Machine {
    dir: TempDir,
    up: Process,
    port: u16,
}

impl Machine {
    fn start(write: impl FnOnce(&Path), collector: &str, dictionaries: &str) -> Machine {
        let dir = TempDir::new().unwrap();
        write(dir.path());
        let port = free_port();
        let file = dir.path().join("qoe.yaml");
        let text = format!(
            "apiVersion: qoeplane.io/v1alpha1\nkind: QoeCollector\nmetadata: {{name: main}}\nspec:\n  dpis:\n  - id: 0\n    \
             streams: [{{type: Fullflow, port: {port}, transport: TCP}}]\n  clickhouse: {{embedded: {{}}}}\n{collector}{dictionaries}"
        );
        fs::write(&file, text).unwrap();
        let log = File::create(dir.path().join("up.log")).unwrap();
        let mut command = Command::new(qoe_binary());
        command.arg("up").arg("-f").arg(&file).arg("--data").arg(dir.path().join("data"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut up = Process::start(&mut command);
        let said = dir.path().join("up.log");
        wait_for("qoe up", LONG, || {
            let said = fs::read_to_string(&said).unwrap();
            assert!(up.is_running(), "qoe up has ended: {said}");
            said.contains("ready: everything").then_some(())
        });
        Machine { dir, up, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(qoe_binary());
        command.args(arguments).arg("--data").arg(self.path("data"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_string()
    }

    fn query(&self, sql: &str) -> String {
        self.run(&["query", "--format", "TSV", sql])
    }

    /// Waits for the answer to a query.
    fn wait_for(&self, sql: &str, expected: &str) {
        let mut last = String::new();
        let begun = std::time::Instant::now();
        while begun.elapsed() < LONG {
            last = self.query(sql);
            if last == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{sql}: {last}, not {expected}; {}", self.said());
    }

    /// Waits until the receiver has what ClickHouse has.
    fn wait_for_receiver(&self) {
        wait_for("the receiver", LONG, || {
            let newest = self.query("SELECT max(version) FROM dictionary_versions");
            let status: crds::receiver::Status =
                serde_json::from_str(&self.run(&["ledger", "-o", "json"])).unwrap();
            (status.dictionaries.version.to_string() == newest).then_some(())
        });
    }

    fn send(&self, records: u64, seed: &str) {
        let before: u64 = self.query("SELECT count() FROM fullflow").parse().unwrap();
        let (to, count) = (format!("127.0.0.1:{}", self.port), records.to_string());
        Simulator::start(&["--to", &to, "--records", &count, "--seed", seed]).finish(LONG);
        self.wait_for("SELECT count() FROM fullflow", &(before + records).to_string());
    }

    fn said(&self) -> String {
        fs::read_to_string(self.path("up.log")).unwrap()
    }

    fn wait_until_said(&self, text: &str) {
        wait_for(text, LONG, || self.said().contains(text).then_some(()));
    }

    fn stop(mut self) {
        self.up.signal(Signal::SIGTERM);
        assert!(self.up.wait(LONG).success(), "{}", self.said());
    }
}

/// Writes a file as editors do: whole, under another name first.
fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

fn dictionary(name: &str, of_type: &str, source: &str) -> String {
    format!(
        "---\napiVersion: qoeplane.io/v1alpha1\nkind: QoeDictionary\nmetadata: {{name: {name}}}\n\
         spec:\n  type: {of_type}\n  source: {source}\n"
    )
}

const SUBNETS: &str = "SELECT groupArray(prefix) FROM (SELECT prefix FROM subnets_local_dic ORDER BY prefix)";

#[test]
fn a_file_that_changes_is_in_force_and_one_that_is_wrong_is_not() {
    let machine = Machine::start(
        |dir| fs::write(dir.join("nets.txt"), "10.0.0.0/8\tLOCAL\n10.0.0.300\tTYPO\n").unwrap(),
        "  enrichment: {direction: CIDR}\n",
        &dictionary("nets", "SubnetsLocal", "{file: ./nets.txt}"),
    );
    // The first load leaves out what is wrong, and says so.
    let typo = "nets.txt:2: prefix: \"10.0.0.300\" is not an IP address or prefix";
    assert!(machine.said().contains(typo), "{}", machine.said());
    assert!(machine.said().contains("QoeDictionary/nets: 1 bad row is left out"), "{}", machine.said());
    assert_eq!(machine.query(SUBNETS), "['10.0.0.0/8']");
    machine.send(5_000, "1");
    let from = "SELECT count() > 1000 FROM fullflow WHERE direction = 'from' AND dictionary_version = 1";
    assert_eq!(machine.query(from), "1");

    // In force in ClickHouse and for the next records, without a restart.
    replace(&machine.path("nets.txt"), "192.0.2.0/24\tLOCAL\n2001:db8::/32\tLOCAL\n");
    machine.wait_for("SELECT max(version), argMax(rows, version) FROM dictionary_versions", "2\t2");
    machine.wait_for_receiver();
    machine.send(5_000, "2");
    let rows = "SELECT count(), countIf(subscriber_flags = 0) FROM fullflow WHERE dictionary_version = 2 AND \
                ip_version = 4";
    let counts = machine.query(rows);
    let (all, without) = counts.split_once('\t').unwrap();
    assert_eq!(all, without, "10.0.0.0/8 is not ours any more");

    // From now on a version with a bad row is refused: all of the previous one stays.
    replace(&machine.path("nets.txt"), "198.51.100.0/24\tLOCAL\n198.51.100.0/24\tAGAIN\n1.2.3.0/24 LOCAL\n");
    machine.wait_until_said("nets.txt:2: the same prefix as in line 1");
    machine.wait_until_said("nets.txt:3: ");
    machine.wait_until_said("QoeDictionary/nets: it has bad rows: the previous version stays in force");
    assert_eq!(machine.query("SELECT max(version) FROM dictionary_versions"), "2");
    assert_eq!(machine.query("SELECT count() FROM subnets_local_dic"), "2");
    let listed = machine.run(&["dictionaries", "ls"]);
    assert!(listed.contains("QoeDictionary/nets: line 2: the same prefix as in line 1"), "{listed}");

    fs::remove_file(machine.path("nets.txt")).unwrap();
    machine.wait_until_said("QoeDictionary/nets: its source cannot be read since ");
    assert_eq!(machine.query("SELECT count() FROM subnets_local_dic"), "2");
    replace(&machine.path("nets.txt"), "198.51.100.0/24\tLOCAL\n");
    machine.wait_for("SELECT count() FROM subnets_local_dic", "1");
    machine.wait_until_said("QoeDictionary/nets: in force again");
    let listed = machine.run(&["dictionaries", "ls"]);
    assert!(listed.contains("subnets_local_dic") && !listed.contains("line"), "{listed}");
    machine.stop();
}

/// A web server with one page that may change; counts whole answers and those that say that nothing has.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<(String, u32, u32)>>);

impl Page {
    fn serve(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let page = self.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut request = vec![0; 4096];
                let length = connection.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
                let mut state = page.0.lock().unwrap();
                let tag = format!("\"{}\"", state.0.len());
                let answer = if !request.contains("authorization: basic cw9lona=") {
                    "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_string()
                } else if request.contains(&format!("if-none-match: {tag}")) {
                    state.2 += 1;
                    "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_string()
                } else {
                    state.1 += 1;
                    format!(
                        "HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                        state.0.len(),
                        state.0
                    )
                };
                let _ = connection.write_all(answer.as_bytes());
            }
        });
        port
    }
}

#[test]
fn every_source_is_read_and_objects_of_one_type_are_one_dictionary() {
    let page = Page::default();
    page.0.lock().unwrap().0 = "1\tnews\n2\tvideo\n".to_string();
    let port = page.serve();
    let documents = [
        dictionary("own-as", "AsnumLocal", "{inline: \"64500\\tLOCAL\\n\"}"),
        dictionary("nets", "SubnetsLocal", "{configMap: {name: dictionaries, key: nets.txt}}"),
        dictionary("more-nets", "SubnetsLocal", "{inline: \"192.0.2.0/24\\tMORE\\n\"}"),
        dictionary("channels", "VchannelName", "{secret: {name: names, key: channels}}"),
        dictionary(
            "categories",
            "Urlcats",
            &format!("{{http: {{url: \"http://127.0.0.1:{port}/cats\", refresh: 1s, credentialsSecretRef: {{name: web}}}}}}"),
        ),
        dictionary("hosts", "UrlcatsHost", "{table: {database: elsewhere, name: hosts}}"),
        dictionary("protocols", "Protocols", "{inline: \"80\\thttp\\n\"}"),
        dictionary("protocols-too", "Protocols", "{inline: \"443\\thttps\\n80\\tweb\\n\"}"),
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: dictionaries}\ndata:\n  nets.txt: \"10.0.0.0/8\\tLOCAL\\n\"\n"
            .to_string(),
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: names}\nstringData: {channels: \"7\\tnorth\\n\"}\n"
            .to_string(),
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: web}\ndata: {username: cW9l, password: cA==}\n"
            .to_string(),
    ];
    let machine = Machine::start(|_| (), "", &documents.concat());

    assert_eq!(machine.query("SELECT dictGet('asnum_local_dic', 'name', 64500::UInt64)"), "LOCAL");
    assert_eq!(machine.query(SUBNETS), "['10.0.0.0/8','192.0.2.0/24']");
    assert_eq!(machine.query("SELECT dictGet('subnets_local_dic', 'name', toIPv4('192.0.2.9'))"), "MORE");
    assert_eq!(machine.query("SELECT dictGet('vchannel_name_dic', 'name', 7::UInt64)"), "north");

    // A key in two objects: neither is loaded, both are named.
    let conflict = machine.run(&["dictionaries", "ls"]);
    for name in ["QoeDictionary/protocols: ", "QoeDictionary/protocols-too: "] {
        let line =
            conflict.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{conflict}"));
        assert!(line.contains("protocols-too") && line.contains("80"), "{line}");
    }
    assert_eq!(machine.query("SELECT count() FROM protocols_dic"), "0");

    machine.query("CREATE DATABASE elsewhere");
    machine.query(
        "CREATE TABLE elsewhere.hosts (host String, category UInt16) ENGINE = MergeTree ORDER BY host",
    );
    machine.query("INSERT INTO elsewhere.hosts VALUES ('*.Example.COM', 1)");
    machine.wait_for("SELECT dictGet('urlcats_host_dic', 'category', tuple('example.com'))", "1");
    machine.query("INSERT INTO elsewhere.hosts VALUES ('example.org', 2)");
    machine.wait_for("SELECT count() FROM urlcats_host_dic", "2");

    machine.wait_for("SELECT dictGet('urlcats_dic', 'name', 2::UInt64)", "video");
    wait_for("conditional requests", LONG, || (page.0.lock().unwrap().2 >= 2).then_some(()));
    assert_eq!(page.0.lock().unwrap().1, 1, "an unchanged page is sent once");
    page.0.lock().unwrap().0 = "1\tnews\n2\tfilms and video\n".to_string();
    machine.wait_for("SELECT dictGet('urlcats_dic', 'name', 2::UInt64)", "films and video");
    machine.stop();
}

#[test]
fn the_manuals_statements_run_as_printed() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/dictionaries");
    let machine = Machine::start(
        |dir| {
            for entry in fs::read_dir(&examples).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
            }
        },
        "",
        &[
            dictionary("nets", "SubnetsLocal", "{file: subnets_local_dic.txt}"),
            dictionary("as", "AsnumLocal", "{file: asnum_local_dic.txt}"),
            dictionary("subscribers", "Subscribers", "{file: subscribers_dic.txt}"),
            dictionary("switches", "Switches", "{file: switches_dic.txt}"),
            dictionary("crc", "Crc", "{file: crc_dic.txt}"),
        ]
        .concat(),
    );
    machine.query("system reload dictionaries");
    assert_eq!(machine.query("select count() from (select * from subnets_local_dic)"), "4");
    let failed = "select count(), countIf(last_exception != '') from (select * from system.dictionaries)";
    assert_eq!(machine.query(failed), "12\t0");
    let subscriber = "select dictGet('subscribers_dic', ('login', 'switch_id', 'switch_port', 'contract'), \
                      toIPv4('10.64.66.105'))";
    assert_eq!(machine.query(subscriber), "('login',5,'port2','contract')");
    assert_eq!(machine.query("select dictGetHierarchy('switches_dic', 5::UInt64)"), "[5,4,3,1]");
    assert_eq!(machine.query("select dictGet('crc_dic', 'crc', tuple(5::UInt64, 'port_2'))"), "500");
    let path = examples.join("switches_dic.txt");
    let checked = Command::new(qoe_binary()).args(["dictionaries", "check"]).arg(path).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    machine.stop();
}
