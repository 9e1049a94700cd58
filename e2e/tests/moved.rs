//! A UDP exporter that goes on from another port, as behind a translator of addresses: what it sent in between
//! and did not arrive is missing, not forgotten.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::net::UdpSocket;
use std::time::Duration;

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

/// A template and one record a message: octetDeltaCount (1), packetDeltaCount (2), 8 bytes each.
fn send(socket: &UdpSocket, to: &str, sequence: std::ops::Range<u32>) {
    let template: Vec<u8> = [2_u16, 16, 256, 2, 1, 8, 2, 8].iter().flat_map(|v| v.to_be_bytes()).collect();
    socket.send_to(&framed(sequence.start, &template), to).unwrap();
    for number in sequence {
        let mut set: Vec<u8> = [256_u16, 20].iter().flat_map(|v| v.to_be_bytes()).collect();
        set.extend(u64::from(number).to_be_bytes());
        set.extend(1_u64.to_be_bytes());
        socket.send_to(&framed(number, &set), to).unwrap();
    }
}

/// RFC 7011, section 3.1.
fn framed(sequence: u32, set: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(10_u16.to_be_bytes());
    message.extend(u16::try_from(16 + set.len()).unwrap().to_be_bytes());
    message.extend(1_760_000_000_u32.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend(0_u32.to_be_bytes());
    message.extend(set);
    message
}
