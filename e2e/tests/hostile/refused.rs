//! What is no message of ours is refused at the door.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};

use e2e::{System, SystemOptions};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::beside::{Beside, LONG, other_rows};
use crate::counted::{What, assert_counted};
use crate::messages::{Exporter, header};

/// Sends bytes over a connection of their own and waits until the receiver has hung up.
fn send_and_be_cut(system: &System, bytes: &[u8]) {
    let mut connection = TcpStream::connect(system.address(0)).unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    // It may hang up before everything is sent.
    let _ = connection.write_all(bytes);
    let mut answer = Vec::new();
    match connection.read_to_end(&mut answer) {
        Ok(_) => assert_eq!(answer, b"", "it says nothing"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

/// Sends bytes and closes.
fn send_and_close(system: &System, bytes: &[u8]) {
    let mut connection = TcpStream::connect(system.address(0)).unwrap();
    connection.write_all(bytes).unwrap();
    connection.shutdown(Shutdown::Both).unwrap();
}

/// Garbage that no version number begins.
fn garbage(random: &mut SmallRng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill_bytes(&mut bytes);
    bytes[0] = 0xff;
    bytes
}

#[test]
fn garbage_over_tcp() {
    let system = System::start(&SystemOptions::default());
    let beside = Beside::start(&system);
    let mut random = SmallRng::seed_from_u64(1);

    // Half a message that goes on much later, and one that never does.
    let mut late = Exporter::new(900);
    let late_message = late.template_and_records(256, 5);
    let mut late_connection = TcpStream::connect(system.address(0)).unwrap();
    late_connection.write_all(&late_message[..30]).unwrap();
    let mut stalled = TcpStream::connect(system.address(0)).unwrap();
    stalled.write_all(&late_message[..30]).unwrap();

    for _ in 0..20 {
        let length = random.random_range(16..100_000);
        send_and_be_cut(&system, &garbage(&mut random, length));
    }
    send_and_be_cut(&system, b"GET / HTTP/1.1\r\nHost: collector\r\nUser-Agent: scanner\r\n\r\n");
    // TLS: a handshake record of 512 bytes with a ClientHello in it.
    let client_hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0x5a; 506]].concat();
    send_and_be_cut(&system, &client_hello);
    for length in [0, 1, 15] {
        send_and_be_cut(&system, &header(10, length));
    }
    send_and_be_cut(&system, &[header(9, 1), vec![0; 100]].concat());
    send_and_be_cut(&system, &[header(5, 1), vec![0; 100]].concat());
    // A message and then garbage: the message counts.
    let mut first = Exporter::new(901).template_and_records(256, 7);
    first.extend(garbage(&mut random, 100));
    send_and_be_cut(&system, &first);
    // Cut off within a header and within a message.
    send_and_close(&system, &header(10, 1000)[..3]);
    send_and_close(&system, &[header(10, 1000), vec![0; 500]].concat());

    late_connection.write_all(&late_message[30..]).unwrap();
    beside.finish(&system);
    drop(stalled);
    drop(late_connection);
    let refused = [
        ("bad_length", 3),
        ("bad_version", 23),
        ("cut_off", 3),
        ("netflow_v5", 1),
        ("netflow_v9_over_tcp", 1),
    ];
    assert_counted(&system, 0, What::Refused, &refused);
    assert_counted(&system, 1, What::Refused, &[]);
    assert_eq!(other_rows(&system, 0), 5 + 7);
}

#[test]
fn garbage_over_udp() {
    let system = System::start(&SystemOptions::default());
    let beside = Beside::start(&system);
    let mut random = SmallRng::seed_from_u64(2);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(system.address(1)).unwrap();
    let send = |bytes: &[u8]| assert_eq!(socket.send(bytes).unwrap(), bytes.len());
    for _ in 0..1000 {
        let length = random.random_range(2..1400);
        send(&garbage(&mut random, length));
    }
    for _ in 0..10 {
        // Too short to be a message, or shorter than it says.
        send(&[]);
        send(&[0]);
        send(&header(10, 100)[..10]);
        send(&header(9, 1));
        send(&header(10, 17));
        send(&Exporter::new(1).template_and_records(256, 5)[..100]);
        // Shorter than its own header.
        send(&header(10, 0));
        send(&header(10, 15));
        send(&[header(5, 1), vec![0; 60]].concat());
    }
    beside.finish(&system);
    let refused = [("bad_length", 20), ("bad_version", 1000), ("cut_off", 60), ("netflow_v5", 10)];
    assert_counted(&system, 1, What::Refused, &refused);
    assert_counted(&system, 0, What::Refused, &[]);
    assert_eq!(other_rows(&system, 1), 0);
}
