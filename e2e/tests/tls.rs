//! TLS on both sides of the receiver: exporters that send by TLS, with and without certificates of their own, and
//! a ClickHouse whose certificate a CA of one's own has signed; on one machine with Secrets in the file. The simulator speaks no TLS; a relay of the test's
//! own speaks it for the simulator, and another one for ClickHouse.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

mod tls_relay;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crds::receiver::{ReceiverConfig, TlsConfig};
use e2e::{
    Process, Sent, Simulator, System, SystemOptions, assert_balanced, assert_stored_exactly, free_port,
    qoe_binary, wait_for,
};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tls_relay::{Identity, TlsRelay, handshake};

const LONG: Duration = Duration::from_secs(600);
const STOPS: u64 = 3;

/// A CA and what it has signed, as PEM.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str) -> Ca {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Ca { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str) -> Identity {
        let params = CertificateParams::new(vec![name.to_string()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

/// The files of a listener.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new(identity: &Identity, client_ca: &str) -> Files {
        let files = Files { dir: TempDir::new().unwrap() };
        files.write(identity);
        fs::write(files.path("client-ca.crt"), client_ca).unwrap();
        files
    }

    fn write(&self, identity: &Identity) {
        fs::write(self.path("tls.crt"), &identity.certificate).unwrap();
        fs::write(self.path("tls.key"), &identity.key).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> TlsConfig {
        TlsConfig {
            certificate: self.path("tls.crt"),
            key: self.path("tls.key"),
            client_ca: Some(self.path("client-ca.crt")),
        }
    }
}

fn with_tls(tls: TlsConfig) -> SystemOptions {
    let configure = move |config: &mut ReceiverConfig| config.dpis[0].streams[0].tls = Some(tls.clone());
    SystemOptions { configure: Some(Box::new(configure)), ..SystemOptions::default() }
}

fn refused(system: &System, reason: &str) -> u64 {
    system.stream(0).wire.refused.get(reason).copied().unwrap_or(0)
}

#[test]
fn records_over_tls_are_stored_exactly_also_across_planned_stops() {
    let (ca, client_ca) = (Ca::new("servers"), Ca::new("exporters"));
    let files = Files::new(&ca.sign("127.0.0.1"), &client_ca.pem);
    let mut system = System::start(&with_tls(files.config()));
    let client = client_ca.sign("dpi.example");
    let mut runs = Vec::new();
    for (version, seed) in [(&rustls::version::TLS13, "61"), (&rustls::version::TLS12, "62")] {
        let relay = TlsRelay::start(&system.address(0), &ca.pem, Some(client.clone()), version);
        let to = relay.address();
        let mut arguments = vec!["--to", &to, "--records", "800000", "--rate", "100000", "--seed", seed];
        arguments.extend(["--connections", "4", "--announce-end"]);
        let mut simulator = Simulator::start(&arguments);
        for _ in 0..STOPS {
            let before = system.stream(0).sequence.decoded;
            wait_for("records", LONG, || {
                (system.stream(0).sequence.decoded > before + 20_000 || !simulator.is_running()).then_some(())
            });
            // Asserts an orderly end.
            system.stop_receiver();
            system.start_receiver();
        }
        runs.push(simulator.finish(LONG));
        println!("{version:?}: {:?}", runs.last());
    }
    let status = system.wait_until_stored(0);
    let sent = Sent::sum(&runs);
    assert!(sent.reconnects >= 2, "the stops must have come while it sent: {sent:?}");
    assert_eq!(status.sequence.missing, 0, "{:?}", status.sequence.gaps);
    assert_stored_exactly(&system, 0, &runs);
    assert_balanced(&status);
}

#[test]
fn what_is_not_a_known_exporter_is_refused_and_counted() {
    let (ca, client_ca) = (Ca::new("servers"), Ca::new("exporters"));
    let files = Files::new(&ca.sign("127.0.0.1"), &client_ca.pem);
    let system = System::start(&with_tls(files.config()));
    let to = system.address(0);
    let expect = |reason: &'static str, count: u64| {
        wait_for(reason, LONG, || {
            assert!(refused(&system, reason) <= count, "{:?}", system.stream(0).wire);
            (refused(&system, reason) == count).then_some(())
        });
    };
    let tls13 = &rustls::version::TLS13;

    assert!(handshake(&to, &ca.pem, None, tls13).is_err(), "without a certificate");
    expect("tls_client_certificate", 1);
    assert!(
        handshake(&to, &ca.pem, Some(&ca.sign("dpi.example")), tls13).is_err(),
        "another CA's certificate"
    );
    expect("tls_client_certificate", 2);
    // Neither a whole message in the clear nor a lie about its length gets anywhere.
    let mut clear = TcpStream::connect(&to).unwrap();
    clear.write_all(&[0, 10, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let mut answer = Vec::new();
    let _ = clear.read_to_end(&mut answer);
    expect("tls_handshake", 1);
    // An exporter that does not trust us says so.
    assert!(handshake(&to, &client_ca.pem, Some(&client_ca.sign("dpi.example")), tls13).is_err());
    expect("tls_handshake", 2);
    // One that says nothing may not stay.
    let mut silent = TcpStream::connect(&to).unwrap();
    let _ = silent.read_to_end(&mut answer);
    expect("tls_handshake", 3);

    let status = system.stream(0);
    assert_eq!(status.wire.journaled, 0, "{status:?}");
    assert_eq!(status.wire.arrived, 5, "{status:?}");
    // A port scan is no refusal, and everybody is gone.
    drop(TcpStream::connect(&to).unwrap());
    wait_for("the connections' end", LONG, || (system.stream(0).wire.connections == 0).then_some(()));
    assert_eq!(system.stream(0).wire.arrived, 5);
    assert_balanced(&system.stream(0));
}

#[test]
fn another_certificate_is_for_new_connections() {
    let (ca, next_ca) = (Ca::new("servers"), Ca::new("servers of next year"));
    let client_ca = Ca::new("exporters");
    let files = Files::new(&ca.sign("127.0.0.1"), &client_ca.pem);
    let system = System::start(&with_tls(files.config()));
    let client = client_ca.sign("dpi.example");
    let tls13 = &rustls::version::TLS13;
    let relay = TlsRelay::start(&system.address(0), &ca.pem, Some(client.clone()), tls13);
    let simulator = Simulator::start(&["--to", &relay.address(), "--records", "1000000", "--rate", "50000"]);
    wait_for("records", LONG, || (system.stream(0).sequence.decoded > 20_000).then_some(()));

    let reached = |ca: &Ca| handshake(&system.address(0), &ca.pem, Some(&client), tls13).is_ok();
    assert!(reached(&ca) && !reached(&next_ca));
    // A certificate without its key changes nothing.
    fs::write(files.path("tls.crt"), &next_ca.sign("127.0.0.1").certificate).unwrap();
    let error = wait_for("the error", LONG, || system.status().config_error);
    assert!(error.contains("dpi 0 fullflow: tls: "), "{error}");
    assert!(reached(&ca));
    files.write(&next_ca.sign("127.0.0.1"));
    wait_for("the new certificate", LONG, || reached(&next_ca).then_some(()));
    wait_for("the error's end", LONG, || system.status().config_error.is_none().then_some(()));

    let sent = simulator.finish(LONG);
    assert_eq!(sent.reconnects, 0, "{sent:?}");
    let status = system.wait_until_stored(0);
    assert_eq!(status.sequence.missing, 0, "{status:?}");
    assert_stored_exactly(&system, 0, &[sent]);
}

#[test]
fn clickhouse_by_https_with_a_ca_of_ones_own() {
    let (ca, wrong) = (Ca::new("servers"), Ca::new("others"));
    let dir = TempDir::new().unwrap();
    let ca_file = dir.path().join("ca.crt");
    fs::write(&ca_file, &wrong.pem).unwrap();
    let mut system = System::prepare(&SystemOptions::default());
    let port = front(system.clickhouse_url(), &ca.sign("localhost"));
    system.config.clickhouse.url = format!("https://localhost:{port}");
    system.config.clickhouse.ca_file = Some(ca_file.clone());
    system.start_receiver();
    let sent = Simulator::start(&["--to", &system.address(0), "--records", "100000"]).finish(LONG);
    // A server that the CA has not signed gets nothing.
    wait_for("the refusal of the certificate", LONG, || {
        system.stream(0).last_error.filter(|error| error.contains("certificate"))
    });
    assert_eq!(system.stored(0).rows, 0);
    replace(&ca_file, &ca.pem);
    system.wait_until_stored(0);
    assert_stored_exactly(&system, 0, &[sent]);
    assert_eq!(system.status().config_error, None);
}

fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

/// TLS before a server that has none; returns its port.
fn front(url: &str, identity: &Identity) -> u16 {
    let upstream = url.trim_start_matches("http://").trim_end_matches('/').to_string();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = identity.server_config();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, config, upstream) = (client.unwrap(), config.clone(), upstream.clone());
            std::thread::spawn(move || {
                let session = rustls::ServerConnection::new(config).unwrap();
                // Whatever broke, both connections are closed by now.
                let _ = TcpStream::connect(upstream)
                    .and_then(|plain| tls_relay::relay(plain, client, session.into()));
            });
        }
    });
    port
}

/// A document of a Secret with these values.
fn secret(name: &str, values: &[(&str, &str)]) -> String {
    let values: serde_json::Map<String, serde_json::Value> =
        values.iter().map(|(key, value)| ((*key).to_string(), (*value).into())).collect();
    let values = serde_json::to_string(&values).unwrap();
    format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {values}\n")
}

#[test]
fn one_machine_finds_its_secrets_in_the_same_file() {
    let (servers, exporters) = (Ca::new("servers"), Ca::new("exporters"));
    // Another machine's ClickHouse, by https.
    let system = System::prepare(&SystemOptions::default());
    let password = fs::read_to_string(&system.config.clickhouse.password_file).unwrap();
    let clickhouse = front(system.clickhouse_url(), &servers.sign("localhost"));
    let (port, own) = (free_port(), servers.sign("127.0.0.1"));
    let collector = format!(
        "apiVersion: qoeplane.io/v1alpha1\nkind: QoeCollector\nmetadata: {{name: main}}\nspec:\n  dpis:\n  - id: 4\n    \
         streams:\n    - type: Fullflow\n      port: {port}\n      transport: TCP\n      tls:\n        \
         certificateSecretRef: {{name: receiver}}\n        clientCASecretRef: {{name: exporters}}\n  clickhouse:\n    \
         database: elsewhere\n    external:\n      endpoints: [\"https://localhost:{clickhouse}\"]\n      \
         credentialsSecretRef: {{name: clickhouse}}\n      tls: {{caSecretRef: {{name: servers}}}}\n"
    );
    let documents = [
        collector,
        secret("receiver", &[("tls.crt", &own.certificate), ("tls.key", &own.key)]),
        secret("exporters", &[("ca.crt", &exporters.pem)]),
        secret("servers", &[("ca.crt", &servers.pem)]),
        secret("clickhouse", &[("username", "qoe"), ("password", password.trim())]),
    ];
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("qoe.yaml"), documents.concat()).unwrap();
    let log = fs::File::create(dir.path().join("up.log")).unwrap();
    let mut command = Command::new(qoe_binary());
    command.arg("up").arg("-f").arg(dir.path().join("qoe.yaml")).arg("--data").arg(dir.path().join("data"));
    let mut up = Process::start(command.stdout(log.try_clone().unwrap()).stderr(log));
    let said = || fs::read_to_string(dir.path().join("up.log")).unwrap();
    wait_for("qoe up", LONG, || {
        assert!(up.is_running(), "{}", said());
        said().contains("ready: everything").then_some(())
    });
    let relay = TlsRelay::start(
        &format!("127.0.0.1:{port}"),
        &servers.pem,
        Some(exporters.sign("dpi.example")),
        &rustls::version::TLS13,
    );
    let sent = Simulator::start(&["--to", &relay.address(), "--records", "50000"]).finish(LONG);
    let expected = format!("{}\t{}", sent.records, sent.session_sum);
    wait_for("all records", LONG, || {
        let sql = "SELECT count(), sum(session_id) FROM elsewhere.fullflow WHERE dpi_id = 4";
        (system.query(sql) == expected).then_some(())
    });
    assert!(!said().contains(password.trim()) && !said().contains("PRIVATE"), "{}", said());
    up.signal(Signal::SIGTERM);
    assert!(up.wait(LONG).success(), "{}", said());
}
