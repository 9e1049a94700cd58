//! The simulator against plain sockets: what it says it sent is what arrives.

mod collector;
mod streams;
mod tcp;
mod udp;

use clap::Parser;

use super::{Options, Summary};
use collector::Collected;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// Options as the command line would give them, with a small population.
fn options(to: &str, more: &[&str]) -> Options {
    let mut line = vec!["simulate", "--to", to, "--subscribers", "500", "--hosts", "1000"];
    line.extend_from_slice(more);
    Line::try_parse_from(line).unwrap().options
}

/// What every run must satisfy: nothing twice, nothing that was not announced.
fn assert_meets(collected: &Collected, summary: &Summary) {
    assert_eq!(summary.error, None);
    assert_eq!(collected.flows.len() as u64, summary.records, "records");
    assert_eq!(collected.flows.iter().map(|flow| flow.octets).sum::<u64>(), summary.octets, "octets");
    assert_eq!(collected.flows.iter().map(|flow| flow.packets).sum::<u64>(), summary.packets, "packets");
    let session_sum = collected.flows.iter().fold(0, |sum: u64, flow| sum.wrapping_add(flow.session_id));
    assert_eq!(session_sum, summary.session_sum, "session ids");
    assert_eq!(collected.distinct(), collected.flows.len(), "session id and start are unique");
    assert_eq!(collected.messages, summary.messages, "messages");
    assert_eq!(collected.bytes, summary.bytes, "bytes");
    let starts = || collected.flows.iter().map(|flow| flow.start_ms);
    assert_eq!(starts().min().unwrap_or_default(), summary.first_start_ms);
    assert_eq!(starts().max().unwrap_or_default(), summary.last_start_ms);
}

#[test]
fn wrong_options_are_named() {
    for (more, expected) in [
        (&["--connections", "0"][..], "--connections: expected at least 1, got 0"),
        (&["--ipv6-share", "2"], "--ipv6-share: expected 0 to 1, got 2"),
        (&["--drop-every", "0"], "--drop-every: expected at least 1, got 0"),
        (&["--reorder-every", "5"], "--reorder-every: TCP keeps the order"),
    ] {
        let mut line = vec!["--records", "1"];
        line.extend_from_slice(more);
        let error = super::run(options("127.0.0.1:1", &line)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let error = super::run(options("nowhere", &["--records", "1"])).unwrap_err();
    assert_eq!(error.to_string(), "--to nowhere: expected HOST:PORT");
}

#[test]
fn a_receiver_that_is_not_there_is_reported_and_what_was_sent_too() {
    let summary = super::run(options("127.0.0.1:1", &["--records", "5", "--patience", "0"])).unwrap();
    assert_eq!(summary.records, 0);
    assert!(summary.error.unwrap().starts_with("gave up on 127.0.0.1:1: "));
}
