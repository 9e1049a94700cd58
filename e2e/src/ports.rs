//! Ports for listeners of tests.

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::sync::Mutex;

/// A port of 127.0.0.1 that is free for TCP and UDP now. Below those that the embedded ClickHouse chooses from, and
/// these below the ephemeral range: neither a server nor an outgoing connection takes it in between.
/// Each is given once: between now and its use another test of this program may ask.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    for attempt in 0..1000u32 {
        let spread = std::process::id().wrapping_mul(31).wrapping_add(attempt.wrapping_mul(7));
        let port = 10_000 + (spread.wrapping_add(clock()) % 10_000) as u16;
        let is_free =
            TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok();
        if is_free && given.insert(port) {
            return port;
        }
    }
    panic!("no free port between 10000 and 20000");
}

fn clock() -> u32 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos()
}
