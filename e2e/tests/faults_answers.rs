//! Answers of ClickHouse that get lost, requests that break off: every record is stored once all the
//! same, because a retry is the same insert, byte for byte, under the same token.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{
    Attempt, Fate, Relay, Sent, Simulator, System, SystemOptions, assert_balanced, assert_stored_exactly,
};

const LONG: Duration = Duration::from_secs(600);

/// What each insert must carry, whatever a server's or a profile's defaults are.
const PINNED: [(&str, &str); 9] = [
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("min_insert_block_size_rows", "100000000"),
    ("min_insert_block_size_bytes", "100000000000"),
    ("max_insert_block_size", "100000000"),
    ("input_format_parallel_parsing", "0"),
    ("materialized_views_ignore_errors", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("max_partitions_per_insert_block", "100"),
];

#[test]
fn every_fifth_answer_is_lost() {
    let (system, relay) = start(|number| if number.is_multiple_of(5) { Fate::CutAnswer } else { Fate::Pass });
    let tcp = send(&system, 0, "2000000", "160000", "21");
    let udp = send(&system, 1, "300000", "40000", "22");
    // Every fifth of them is one.
    finish_and_compare(&system, [tcp, udp], || relay.attempts().len() >= 15);

    let attempts = relay.attempts();
    let lost = attempts.iter().filter(|attempt| attempt.fate == Fate::CutAnswer).count();
    assert!(lost >= 3, "only {lost} answers of {} were lost", attempts.len());
    for attempt in &attempts {
        assert_eq!(attempt.status, Some(200), "the server has stored it: {attempt:?}");
    }
    assert_retries_are_the_same(&attempts, lost);
    assert_settings(&system, &attempts);
}

#[test]
fn inserts_break_at_every_place() {
    let (system, relay) = start(|number| match number % 12 {
        2 => Fate::CutRequest(0),
        4 => Fate::CutRequest(1),
        6 => Fate::Unavailable,
        8 => Fate::Reset,
        // More blocks than there are: cut before the body's end.
        10 => Fate::CutRequest(1_000),
        11 => Fate::CutAnswer,
        _ => Fate::Pass,
    });
    let tcp = send(&system, 0, "900000", "100000", "23");
    let udp = send(&system, 1, "200000", "40000", "24");
    finish_and_compare(&system, [tcp, udp], || relay.attempts().len() >= 12);

    let attempts = relay.attempts();
    let broken = attempts.iter().filter(|attempt| attempt.fate != Fate::Pass).count();
    assert!(broken >= 6, "only {broken} inserts of {} were broken", attempts.len());
    assert_retries_are_the_same(&attempts, broken);
}

fn start(decide: impl Fn(u64) -> Fate + Send + Sync + 'static) -> (System, Relay) {
    let options = SystemOptions {
        configure: Some(Box::new(|config| {
            for dpi in &mut config.dpis {
                dpi.max_delay_ms = 100;
            }
        })),
        ..SystemOptions::default()
    };
    let mut system = System::prepare(&options);
    let relay = Relay::start(system.clickhouse_url(), "qoestor.fullflow", decide);
    system.config.clickhouse.url = relay.url();
    system.start_receiver();
    (system, relay)
}

fn send(system: &System, dpi: u16, records: &str, rate: &str, seed: &str) -> Simulator {
    let transport = if dpi == 0 { "tcp" } else { "udp" };
    let to = system.address(dpi);
    let mut arguments = vec!["--to", &to, "--transport", transport];
    arguments.extend(["--records", records, "--rate", rate, "--seed", seed]);
    Simulator::start(&arguments)
}

/// Sends more, a little at a time, until there were enough inserts: a slow machine makes fewer and larger ones.
fn finish_and_compare(system: &System, simulators: [Simulator; 2], is_enough: impl Fn() -> bool) {
    let mut retries = 0;
    for (dpi, simulator) in (0..).zip(simulators) {
        let mut runs = vec![simulator.finish(LONG)];
        for seed in 1_000.. {
            let sent = Sent::sum(&runs);
            system.wait_until_decoded(dpi, "fullflow", sent.records);
            system.wait_until_stored(dpi);
            if is_enough() {
                break;
            }
            runs.push(send(system, dpi, "1000", "10000", &seed.to_string()).finish(LONG));
        }
        let (sent, status) = (Sent::sum(&runs), system.wait_until_stored(dpi));
        assert_stored_exactly(system, dpi, &runs);
        assert_balanced(&status);
        assert_eq!(status.sequence.decoded, sent.records);
        assert_eq!(status.destination.stored, sent.records);
        assert_eq!(status.sequence.missing, 0);
        retries += status.destination.retries;
    }
    assert!(retries > 0, "{}", system.receiver_log_text());
}

/// Attempts under one token send the same bytes in the same blocks, and the last one succeeded.
fn assert_retries_are_the_same(attempts: &[Attempt], broken: usize) {
    let mut by_token: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        assert!(!attempt.token.is_empty());
        by_token.entry(&attempt.token).or_default().push(attempt);
    }
    let retries: usize = by_token.values().map(|same| same.len() - 1).sum();
    assert!(retries >= broken, "{retries} retries of {broken} broken inserts");
    for same in by_token.values() {
        let complete: Vec<_> = same.iter().filter(|attempt| attempt.complete).collect();
        let last = complete.last().unwrap_or_else(|| panic!("never sent whole: {same:?}"));
        assert!(last.status == Some(200) && last.blocks > 0, "{same:?}");
        for attempt in &complete {
            assert_eq!(
                (attempt.blocks, attempt.bytes, attempt.hash),
                (last.blocks, last.bytes, last.hash),
                "a retry is another insert: {same:?}"
            );
        }
    }
}

/// What the server says of the inserts that it got.
fn assert_settings(system: &System, attempts: &[Attempt]) {
    system.query("SYSTEM FLUSH LOGS");
    let inserts =
        "system.query_log WHERE type != 'QueryStart' AND query LIKE 'INSERT INTO qoestor.fullflow %'";
    assert_eq!(system.number(&format!("SELECT count() FROM {inserts}")), attempts.len() as u64);
    for (name, value) in PINNED {
        // The log leaves out what is as the server's default.
        let seen = system.query(&format!(
            "SELECT DISTINCT if(mapContains(Settings, '{name}'), Settings['{name}'], \
             (SELECT value FROM system.settings WHERE name = '{name}')) FROM {inserts}"
        ));
        assert_eq!(seen, value, "{name}");
        let pinned = format!("&{name}={value}&");
        for attempt in attempts {
            assert!(format!("{}&", attempt.target).contains(&pinned), "{pinned}: {}", attempt.target);
        }
    }
    let token = "Settings['insert_deduplication_token']";
    assert_eq!(system.number(&format!("SELECT countIf({token} = '') FROM {inserts}")), 0);
    let repeated = system.number(&format!(
        "SELECT count() FROM (SELECT {token} AS token FROM {inserts} GROUP BY token HAVING count() > 1)"
    ));
    assert!(repeated > 0);
    let different = system.query(&format!(
        "SELECT {token} AS token, groupArray(read_rows), groupArray(written_rows) FROM {inserts} \
         GROUP BY token HAVING uniqExact(read_rows) > 1"
    ));
    assert_eq!(different, "", "attempts of one token had different numbers of rows");
}
