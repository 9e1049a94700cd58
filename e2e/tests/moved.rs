//! A UDP exporter that goes on from another port, as behind a translator of addresses: what it sent in between
//! and did not arrive is missing, not forgotten.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::net::UdpSocket;
use std::time::Duration;

use e2e::exporter::{Exporter, template};
use e2e::{System, SystemOptions, assert_balanced, wait_for};

const LONG: Duration = Duration::from_secs(120);

#[test]
fn a_count_goes_on_from_another_port() {
    let system = System::start(&SystemOptions::default());
    let to = system.address(1);
    let first = UdpSocket::bind("127.0.0.1:0").unwrap();
    send(&first, &to, 0..100);
    wait_for("the first records", LONG, || (system.stream(1).sequence.decoded == 100).then_some(()));
    // Longer than a session counts as silent.
    std::thread::sleep(Duration::from_secs(5));
    let second = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_ne!(first.local_addr().unwrap(), second.local_addr().unwrap());
    send(&second, &to, 150..200);
    wait_for("the other records", LONG, || (system.stream(1).sequence.decoded == 150).then_some(()));
    let status = system.wait_until_stored(1);
    assert_eq!(status.sequence.missing, 50, "{:?}", status.sequence);
    assert_balanced(&status);
    // Another exporter of the same address that is heard at the same time is not mistaken for the first.
    send(&second, &to, 200..201);
    let third = UdpSocket::bind("127.0.0.1:0").unwrap();
    send(&third, &to, 700..800);
    wait_for("the third's records", LONG, || (system.stream(1).sequence.decoded == 251).then_some(()));
    assert_eq!(system.stream(1).sequence.missing, 50);
}

/// A template, then one record a message.
fn send(socket: &UdpSocket, to: &str, sequence: std::ops::Range<u32>) {
    let mut exporter = Exporter::new(0);
    exporter.sequence = sequence.start;
    let announced = exporter.message(|builder| builder.template(&template(256)));
    socket.send_to(&announced, to).unwrap();
    for _ in sequence {
        socket.send_to(&exporter.records(256, 1), to).unwrap();
    }
}
