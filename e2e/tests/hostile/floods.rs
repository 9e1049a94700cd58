//! Too much of everything: templates, domains, waiting sets, connections, exporters.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread::sleep;
use std::time::Duration;

use e2e::{System, SystemOptions, wait_for};
use ipfix::{Element, FieldSpec, Template};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::beside::{Beside, LONG, memory_kib, other_rows};
use crate::counted::{What, assert_counted};
use crate::messages::Exporter;

/// Bounds of the receiver: templates of a session, connections and exporters of a listener, domains (by UDP) and
/// waiting sets of a journal.
const TEMPLATES: u64 = 4096;
const CONNECTIONS: u64 = 1024;
const EXPORTERS: u64 = 4096;
const DOMAINS: u64 = 512;
const WAITING_SETS: u64 = 4096;

#[test]
fn templates_without_end() {
    let system = System::start(&SystemOptions::default());
    let beside = Beside::start(&system);
    // Small ones, 5 in each of 4,000 domains, over one connection; and by datagrams.
    let mut connection = TcpStream::connect(system.address(0)).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for domain in 0..4000 {
        let message = Exporter::new(10_000 + domain).message(|builder| {
            for id in 256..261 {
                builder.template(&crate::messages::template(id));
            }
        });
        connection.write_all(&message).unwrap();
        socket.send_to(&message, system.address(1)).unwrap();
        if domain % 100 == 0 {
            // The exporter beside must not lose datagrams to a full buffer: that is not the point here.
            sleep(Duration::from_millis(5));
        }
    }
    let refused = [("too_many_templates", 20_000 - TEMPLATES)];
    assert_counted(&system, 0, What::TemplatesRefused, &refused);
    assert_counted(&system, 1, What::TemplatesRefused, &refused);
    // Large ones, 1 MB for each of 20 connections: more than all of them may have together.
    let fields = vec![FieldSpec::new(Element::iana(1), 1); 4000];
    let mut connections = Vec::new();
    for domain in 0..20 {
        let mut connection = TcpStream::connect(system.address(0)).unwrap();
        let mut exporter = Exporter::new(20_000 + domain);
        for id in 256..318 {
            let large = Template::new(id, 0, fields.clone());
            connection.write_all(&exporter.message(|builder| builder.template(&large))).unwrap();
        }
        connections.push(connection);
    }
    wait_for("the bound of all templates", LONG, || {
        let refused = system.stream(0).wire.templates_refused;
        refused.get("template_memory").is_some_and(|count| *count > 600).then_some(())
    });
    // Room again for others.
    drop(connections);
    beside.finish(&system);
}

#[test]
fn domains_and_waiting_sets_without_end() {
    let system = System::start(&SystemOptions::default());
    let beside = Beside::start(&system);
    // 200 exporters with 500 domains each, a data set in every message.
    for exporter in 0..200 {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, exporter), 0)).unwrap();
        socket.connect(system.address(1)).unwrap();
        for domain in 0..500 {
            socket.send(&Exporter::new(30_000 + domain).records(256, 1)).unwrap();
        }
        sleep(Duration::from_millis(5));
    }
    let refused = 200 * 500 - WAITING_SETS;
    let sets = || system.stream(1).sequence.undecodable_sets;
    wait_for("all sets", LONG, || (sets().get("too_many_waiting_sets") == Some(&refused)).then_some(()));
    let untracked = sets()["too_many_domains_untracked"];
    assert!(untracked > 200 * 500 - DOMAINS, "only {untracked} domains are not followed");
    let counted = [("too_many_domains_untracked", untracked), ("too_many_waiting_sets", refused)];
    assert_counted(&system, 1, What::UndecodableSets, &counted);
    assert_eq!(system.stream(1).sequence.waiting_sets, WAITING_SETS);
    beside.finish_without_new(&system);
    // One more, and the balance still meets.
    let counted = [("too_many_domains_untracked", untracked + 1), ("too_many_waiting_sets", refused)];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&Exporter::new(29_999).template_and_records(256, 7), system.address(1)).unwrap();
    assert_counted(&system, 1, What::UndecodableSets, &counted);
    wait_for("its rows", LONG, || (other_rows(&system, 1) == 7).then_some(()));
    e2e::assert_balanced(&system.stream(1));
}

#[test]
fn two_thousand_connections() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(hard > 3000, "the test needs 2,000 file descriptors, the limit is {hard}");
    // Many systems begin with this limit: the receiver has to raise it for itself.
    setrlimit(Resource::RLIMIT_NOFILE, 1024, hard).unwrap();
    let system = System::start(&SystemOptions::default());
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(10_000), hard).unwrap();
    // For as long as the others take to connect.
    let beside = Beside::start_with(&system, "10000");
    // The good one has a place.
    let places = CONNECTIONS - 1;
    let mut connections = Vec::new();
    for number in 0..2000 {
        let mut connection = TcpStream::connect(system.address(0)).unwrap();
        // Who has a place uses it, and is no silent stranger.
        if number < places {
            connection.write_all(&Exporter::new(number as u32 + 100).template_and_records(256, 1)).unwrap();
        }
        connections.push(connection);
    }
    assert_counted(&system, 0, What::Refused, &[("too_many_connections", 2000 - places)]);
    assert_eq!(system.stream(0).wire.connections, CONNECTIONS);
    wait_for("a row of each", LONG, || (other_rows(&system, 0) == places).then_some(()));
    // The others were told.
    let mut last = connections.pop().unwrap();
    assert!(matches!(last.read(&mut [0]), Ok(0) | Err(_)));
    drop(connections);
    wait_for("the connections to end", LONG, || (system.stream(0).wire.connections <= 1).then_some(()));
    beside.finish(&system);
}

#[test]
fn five_thousand_exporters_by_udp() {
    let system = System::start(&SystemOptions::default());
    let beside = Beside::start(&system);
    // 50 addresses with 100 ports each.
    let to: SocketAddr = system.address(1).parse().unwrap();
    for number in 0..5000u32 {
        let from = Ipv4Addr::new(127, 0, 2, (number % 50) as u8 + 1);
        let port = 31_000 + (number / 50) as u16;
        let socket = UdpSocket::bind((from, port)).unwrap();
        socket.send_to(&Exporter::new(number + 100).template_and_records(256, 1), to).unwrap();
        if number % 100 == 0 {
            sleep(Duration::from_millis(5));
        }
    }
    let taken = EXPORTERS - 1;
    assert_counted(&system, 1, What::Refused, &[("too_many_sessions", 5000 - taken)]);
    wait_for("their rows", LONG, || (other_rows(&system, 1) == taken).then_some(()));
    // A new exporter finds a place when one of these has been silent for a minute.
    beside.finish_without_new(&system);
}

#[test]
fn idle_memory() {
    let system = System::start(&SystemOptions::default());
    // Checkpoints have been written, all threads have run.
    sleep(Duration::from_secs(5));
    let resident = memory_kib(system.receiver_pid(), "VmRSS");
    assert!(resident <= 40 << 10, "an idle receiver needs {resident} KiB");
}
