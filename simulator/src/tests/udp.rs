//! Over UDP.

use std::net::UdpSocket;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::collector::{Collected, Numbered, Session};
use super::{assert_meets, options};
use crate::Summary;

/// Room for all that one of these tests sends: what arrives must not depend on when it is read.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Receives until the run has ended and nothing more comes.
pub(super) fn collect(more: &[&str]) -> (Collected, Summary) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // The first one needs root and knows no bound of the system's.
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER).unwrap();
    }
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut line = vec!["--transport", "udp", "--rate", "5000"];
    line.extend_from_slice(more);
    let options = options(&socket.local_addr().unwrap().to_string(), &line);
    let run = std::thread::spawn(move || crate::run(options).unwrap());

    let mut collected = Collected::default();
    let mut sessions = std::collections::HashMap::new();
    let mut buffer = [0; 2_048];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let session = sessions.entry(from).or_insert_with(Session::new);
                collected.message(session, &buffer[..length]);
            }
            Err(_) if run.is_finished() => break,
            Err(_) => {}
        }
    }
    (collected, run.join().unwrap())
}

#[test]
fn what_is_sent_arrives() {
    let (collected, summary) = collect(&["--records", "1000", "--connections", "2"]);
    assert_meets(&collected, &summary);
    assert_eq!(collected.missing(), 0);
    assert_eq!(summary.send_errors, 0);
    assert!(collected.longest <= 1_400);
}

#[test]
fn the_last_sequence_number_is_stated_even_if_the_last_message_is_lost() {
    let (collected, summary) = collect(&["--records", "40", "--drop-every", "1"]);
    assert_eq!((summary.records, summary.lost_records), (0, 40));
    assert_eq!(collected.missing(), 40);
    assert_eq!(collected.messages, summary.messages);
}

#[test]
fn lost_duplicated_and_late_messages_are_told_apart() {
    let (collected, summary) = collect(&[
        "--records",
        "2000",
        "--drop-every",
        "6",
        "--duplicate-every",
        "5",
        "--reorder-every",
        "9",
    ]);
    assert!(summary.lost_records > 0 && summary.duplicated_records > 0 && summary.reordered_messages > 0);
    assert_eq!(summary.records + summary.lost_records, 2_000);
    assert_eq!(collected.flows.len() as u64, summary.records + summary.duplicated_records);
    assert_eq!(collected.distinct() as u64, summary.records);
    assert_eq!(collected.messages, summary.messages);
    // No late message is followed by a dropped one here, so each shows as a step backwards.
    let numbers = &collected.numbers[&0];
    let backwards = numbers.windows(2).filter(|pair| pair[1].sequence < pair[0].sequence).count() as u64;
    assert_eq!(backwards, summary.reordered_messages);
}

#[test]
fn templates_are_sent_again_and_closing_messages_differ() {
    let (collected, _) = collect(&["--records", "400", "--template-every", "10"]);
    let numbers = &collected.numbers[&0];
    let without_records = numbers.iter().filter(|number| number.records == 0).count();
    let with_records = numbers.len() - without_records;
    assert_eq!(without_records, 1 + (with_records - 1) / 10 + 3);
    let end = Numbered { sequence: 400, records: 0 };
    assert!(numbers.iter().rev().take(3).all(|number| *number == end));
}
