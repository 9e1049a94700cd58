//! Over TCP.

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};

use super::collector::{Collected, Session};
use super::{assert_meets, options};
use crate::Summary;

/// Clock of the runs that must be the same twice.
const CLOCK: &str = "1700000000000";

/// Reads messages until the peer closes, or until `limit` messages have come.
fn read_messages(stream: &mut TcpStream, collected: &mut Collected, limit: u64) -> bool {
    let mut session = Session::new();
    for _ in 0..limit {
        let mut message = vec![0; 4];
        match stream.read_exact(&mut message) {
            Ok(()) => {}
            Err(_) => return false,
        }
        let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
        message.resize(length, 0);
        stream.read_exact(&mut message[4..]).unwrap();
        collected.message(&mut session, &message);
    }
    true
}

fn run_against(listener: &TcpListener, more: &[&str]) -> std::thread::JoinHandle<Summary> {
    let options = options(&listener.local_addr().unwrap().to_string(), more);
    std::thread::spawn(move || crate::run(options).unwrap())
}

pub(super) fn collect(more: &[&str], connections: usize) -> (Collected, Summary) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let run = run_against(&listener, more);
    let mut collected = Collected::default();
    let mut streams = Vec::new();
    for _ in 0..connections {
        streams.push(listener.accept().unwrap().0);
    }
    // One after the other: the later ones wait in their socket buffers.
    for stream in &mut streams {
        read_messages(stream, &mut collected, u64::MAX);
    }
    drop(streams);
    (collected, run.join().unwrap())
}

#[test]
fn what_is_sent_arrives() {
    let (collected, summary) = collect(&["--records", "2000"], 1);
    assert_meets(&collected, &summary);
    assert_eq!((summary.records, summary.reconnects, summary.closed_cleanly), (2_000, 0, true));
    assert_eq!(collected.missing(), 0);
    assert!(collected.longest <= 1_400);
    let six = collected.flows.iter().filter(|flow| flow.ip_version == 6).count();
    assert!((200..600).contains(&six), "{six} of 2000 are IPv6");
    assert_eq!((summary.first_session_id, summary.seed), ((1 << 40) + 1, 1));
    let mut ids: Vec<u64> = collected.flows.iter().map(|flow| flow.session_id).collect();
    ids.sort_unstable();
    assert!(ids.iter().zip(summary.first_session_id..).all(|(id, expected)| *id == expected));
}

#[test]
fn records_look_like_a_provider() {
    let (collected, _) = collect(&["--records", "3000", "--start-ms", CLOCK], 1);
    let count =
        |test: fn(&super::collector::Flow) -> bool| collected.flows.iter().filter(|flow| test(flow)).count();
    assert_eq!(count(|flow| flow.octets < flow.packets * 40 || flow.packets == 0), 0);
    assert_eq!(count(|flow| flow.start_ms > flow.end_ms || flow.end_ms > 1_700_000_000_000), 0);
    assert_eq!(count(|flow| flow.login.is_empty()), 0);
    assert!(count(|flow| flow.host.is_empty()) > 50);
    assert!(count(|flow| flow.deliver_time == 0) > 300 && count(|flow| flow.deliver_time > 0) > 300);
    // The subscriber is the source of what he sends, marked (2, 1).
    let subscriber = |address: u64| address >> 16 == 0x0a40;
    for flow in collected.flows.iter().filter(|flow| flow.ip_version == 4) {
        assert_eq!(
            (subscriber(flow.source_v4), subscriber(flow.destination_v4)),
            (flow.input == 2, flow.input == 1)
        );
    }
    let mut hosts = std::collections::HashMap::new();
    for flow in &collected.flows {
        *hosts.entry(flow.host.clone()).or_insert(0) += 1;
    }
    hosts.remove(&Vec::new());
    assert!(hosts.len() > 100 && hosts.values().any(|visits| *visits > 100));
    let logins: std::collections::HashSet<_> = collected.flows.iter().map(|flow| &flow.login).collect();
    assert!(logins.len() <= 25, "5 % of 500 are active, got {}", logins.len());
}

#[test]
fn a_seed_says_it_all() {
    let arguments = ["--records", "500", "--seed", "7", "--start-ms", CLOCK];
    let (first, first_summary) = collect(&arguments, 1);
    let (second, second_summary) = collect(&arguments, 1);
    assert_eq!(first.flows, second.flows);
    assert_eq!(Summary { seconds: 0.0, ..first_summary }, Summary { seconds: 0.0, ..second_summary });
    let (other, _) = collect(&["--records", "500", "--seed", "8", "--start-ms", CLOCK], 1);
    assert!(first.flows.iter().all(|flow| other.flows.iter().all(|peer| peer.session_id != flow.session_id)));
}

#[test]
fn connections_have_domains_of_their_own() {
    let (collected, summary) = collect(&["--records", "1000", "--connections", "3", "--domain", "70"], 3);
    assert_meets(&collected, &summary);
    assert_eq!(collected.numbers.keys().copied().collect::<Vec<_>>(), [70, 71, 72]);
    assert_eq!(collected.missing(), 0);
}

#[test]
fn dropped_messages_are_announced_and_duplicates_counted_once() {
    let (collected, summary) = collect(&["--records", "1000", "--drop-every", "10"], 1);
    assert_meets(&collected, &summary);
    assert!(summary.lost_records > 0);
    assert_eq!(summary.records + summary.lost_records, 1_000);
    assert_eq!(collected.missing(), summary.lost_records);

    let (collected, summary) = collect(&["--records", "1000", "--duplicate-every", "10"], 1);
    assert!(summary.duplicated_records > 0);
    assert_eq!(summary.records, 1_000);
    assert_eq!(collected.flows.len() as u64, summary.records + summary.duplicated_records);
    assert_eq!(collected.distinct(), 1_000);
    assert_eq!(collected.messages, summary.messages);
}

#[test]
fn the_order_of_fields_can_be_permuted() {
    let (plain, _) = collect(&["--records", "300", "--start-ms", CLOCK], 1);
    let (permuted, summary) = collect(&["--records", "300", "--start-ms", CLOCK, "--order-seed", "3"], 1);
    assert_meets(&permuted, &summary);
    assert_eq!(plain.flows, permuted.flows);
    assert_ne!(plain.templates, permuted.templates);
    let widths: Vec<usize> = plain.templates.values().map(Vec::len).collect();
    assert_eq!(widths, [31, 29]);
}

#[test]
fn it_goes_on_after_a_reset_and_the_gap_is_what_was_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let run = run_against(&listener, &["--records", "60000"]);
    let mut collected = Collected::default();
    let mut resets = 0;
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        // Closing with unread data in the socket is a reset, as of a killed process.
        let limit = if resets < 3 { 400 } else { u64::MAX };
        if !read_messages(&mut stream, &mut collected, limit) {
            break;
        }
        resets += 1;
    }
    let summary = run.join().unwrap();
    assert_eq!((summary.error.as_deref(), summary.closed_cleanly), (None, true));
    assert_eq!((summary.records, summary.reconnects), (60_000, 3));
    assert_eq!(collected.distinct(), collected.flows.len());
    assert!(collected.missing() > 0);
    assert_eq!(collected.flows.len() as u64 + collected.missing(), summary.records);
}

#[test]
fn a_receiver_that_half_closes_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let run = run_against(&listener, &["--records", "60000"]);
    let mut collected = Collected::default();
    for round in 0.. {
        let (mut stream, _) = listener.accept().unwrap();
        if round == 2 {
            read_messages(&mut stream, &mut collected, u64::MAX);
            break;
        }
        let mut first = [0; 1];
        assert_eq!(stream.peek(&mut first).unwrap(), 1);
        stream.shutdown(Shutdown::Write).unwrap();
        read_messages(&mut stream, &mut collected, u64::MAX);
    }
    let summary = run.join().unwrap();
    assert_meets(&collected, &summary);
    assert_eq!((collected.missing(), summary.reconnects, summary.closed_cleanly), (0, 2, true));
}

#[test]
fn an_end_that_breaks_is_stated_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let run = run_against(&listener, &["--records", "300"]);
    let mut collected = Collected::default();
    let (mut stream, _) = listener.accept().unwrap();
    assert!(read_messages(&mut stream, &mut collected, 5));
    // Everything has been handed to the kernel by now or soon; the rest is thrown away.
    std::thread::sleep(std::time::Duration::from_millis(200));
    drop(stream);
    let (mut stream, _) = listener.accept().unwrap();
    read_messages(&mut stream, &mut collected, u64::MAX);
    drop(stream);
    let summary = run.join().unwrap();
    assert_eq!((summary.records, summary.reconnects, summary.closed_cleanly), (300, 1, true));
    assert!(collected.missing() > 0);
    assert_eq!(collected.flows.len() as u64 + collected.missing(), 300);
}

#[test]
fn the_end_can_be_announced_in_any_case() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let run = run_against(&listener, &["--records", "100", "--announce-end"]);
    let mut collected = Collected::default();
    for _ in 0..2 {
        read_messages(&mut listener.accept().unwrap().0, &mut collected, u64::MAX);
    }
    let summary = run.join().unwrap();
    assert_meets(&collected, &summary);
    let last = *collected.numbers[&0].last().unwrap();
    assert_eq!((last.sequence, last.records), (100, 0));
}

#[test]
fn a_pace_does_not_change_what_is_sent() {
    let (collected, summary) = collect(&["--records", "60", "--rate", "400"], 1);
    assert_meets(&collected, &summary);
    assert_eq!((summary.records, collected.missing()), (60, 0));
}
