//! `kill -9` of the receiver: nothing that is in the journal is lost or doubled, and what was not is
//! exactly what the sequence gaps say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::print_stdout)]

use std::net::UdpSocket;
use std::time::Duration;

use crds::receiver::GapStatus;
use e2e::{
    Sent, Simulator, System, SystemOptions, assert_balanced, assert_stored_exactly, free_port, wait_for,
};
use ipfix::{Element, FieldSpec, MessageBuilder, Protocol, Template};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const LONG: Duration = Duration::from_secs(600);
const KILLS: usize = 20;
const CONNECTIONS: u64 = 3;
const RECORDS: u64 = 400_000;

/// One simulator's run: each has observation domains of its own, so that gaps tell which run they are of.
struct Run {
    first_domain: u64,
    sent: Sent,
}

#[test]
fn killed_while_records_arrive() {
    let mut system = System::start(&with_delay(300));
    let mut dice = StdRng::seed_from_u64(2026);
    let mut runs = Vec::new();
    let mut running = start_run(&system, 0);
    for _ in 0..KILLS {
        if !running.is_running() {
            let sent = running.finish(LONG);
            runs.push(Run { first_domain: runs.len() as u64 * 100, sent });
            running = start_run(&system, runs.len());
        }
        // Records arrive on all connections: a loss before a domain's first message would be known to
        // nobody.
        let before = system.stream(0).sequence.decoded;
        wait_for("records", LONG, || {
            let status = system.stream(0);
            let sending = status.wire.connections == CONNECTIONS && status.sequence.decoded > before + 2_000;
            (sending || !running.is_running()).then_some(())
        });
        std::thread::sleep(Duration::from_millis(dice.random_range(0..700)));
        system.kill_receiver();
        system.start_receiver();
    }
    let sent = running.finish(LONG);
    runs.push(Run { first_domain: runs.len() as u64 * 100, sent });

    let status = system.wait_until_stored(0);
    assert_balanced(&status);
    let stored = system.stored(0);
    let sent = Sent::sum(&runs.iter().map(|run| run.sent).collect::<Vec<_>>());
    println!(
        "{KILLS} kills: {} records sent, {} stored, {} missing in {} gaps",
        sent.records,
        stored.rows,
        status.sequence.missing,
        status.sequence.gaps.len()
    );
    assert_eq!(stored.rows, stored.distinct, "doubled");
    assert_eq!(status.destination.stored, stored.rows);
    assert_eq!(stored.rows + status.sequence.missing, sent.records, "{status:?}");
    assert!(sent.reconnects > 0);

    // No gap was forgotten, and no record inside one is stored: so no record outside one is missing.
    let gaps = &status.sequence.gaps;
    assert_eq!(gaps.iter().map(|gap| gap.missing).sum::<u64>(), status.sequence.missing, "{gaps:?}");
    for gap in gaps {
        let (first, last) = ids_of_gap(&runs, gap);
        let inside = system.number(&format!(
            "SELECT count() FROM qoestor.fullflow WHERE session_id BETWEEN {first} AND {last}"
        ));
        assert_eq!(inside, 0, "{gap:?}");
    }
}

#[test]
fn killed_when_everything_is_journaled() {
    let mut system = System::start(&with_delay(1_500));
    let mut dice = StdRng::seed_from_u64(7);
    let mut runs = Vec::new();
    for seed in 100..110 {
        let (to, seed) = (system.address(0), format!("{seed}"));
        let simulator =
            Simulator::start(&["--to", &to, "--records", "20000", "--connections", "2", "--seed", &seed]);
        // It returns when the receiver has read everything. Some of it is stored by now, some is on
        // its way, some waits.
        runs.push(simulator.finish(LONG));
        std::thread::sleep(Duration::from_millis(dice.random_range(0..1_000)));
        system.kill_receiver();
        system.start_receiver();
    }
    let status = system.wait_until_stored(0);
    assert_stored_exactly(&system, 0, &runs);
    assert_balanced(&status);
    assert_eq!(status.sequence.missing, 0);
    assert_eq!(status.destination.stored, Sent::sum(&runs).records);
    assert_eq!(status.wire.journaled, Sent::sum(&runs).messages);
}

/// The exporter never repeats its templates: they must survive in the journal.
#[test]
fn templates_sent_by_udp_survive() {
    let mut system = System::start(&with_delay(100));
    let socket = UdpSocket::bind(("127.0.0.1", free_port())).unwrap();
    socket.connect(system.address(1)).unwrap();
    let iana = |id, length| FieldSpec::new(Element::iana(id), length);
    let fields = vec![iana(1, 8), iana(2, 8), FieldSpec::new(Element::vas_experts(2000), 8)];
    let template = Template::new(700, 0, fields);
    let mut builder = MessageBuilder::new(Protocol::Ipfix, 5);
    for number in 0..40u32 {
        builder.begin(1_700_000_000, number);
        if number == 0 {
            builder.template(&template);
        }
        builder.begin_data(700);
        builder.put_u64(1_000);
        builder.put_u64(2);
        builder.put_u64(u64::from(number) + 1);
        builder.end_record();
        socket.send(builder.finish().unwrap()).unwrap();
        // Also killed before the template's segment was ever closed, and again when it is only known
        // from the head of another.
        let journaled = u64::from(number) + 1;
        wait_for("the journal", LONG, || (system.stream(1).wire.journaled == journaled).then_some(()));
        if number % 8 == 7 {
            system.kill_receiver();
            system.start_receiver();
        }
    }
    let status = system.wait_until_stored(1);
    assert_eq!(status.sequence.decoded, 40, "{status:?}");
    assert_eq!(status.sequence.missing, 0);
    assert_eq!(status.sequence.waiting_sets, 0);
    assert_balanced(&status);
    let stored = system.stored(1);
    assert_eq!((stored.rows, stored.distinct, stored.octets), (40, 40, 40_000));
}

fn with_delay(max_delay_ms: u64) -> SystemOptions {
    SystemOptions {
        configure: Some(Box::new(move |config| {
            for dpi in &mut config.dpis {
                dpi.max_delay_ms = max_delay_ms;
            }
        })),
        ..SystemOptions::default()
    }
}

fn start_run(system: &System, index: usize) -> Simulator {
    let (to, records) = (system.address(0), RECORDS.to_string());
    let (domain, seed) = ((index * 100).to_string(), (200 + index).to_string());
    let connections = CONNECTIONS.to_string();
    let mut arguments = vec!["--to", &to, "--records", &records, "--rate", "30000", "--announce-end"];
    arguments.extend(["--connections", &connections, "--domain", &domain, "--seed", &seed]);
    Simulator::start(&arguments)
}

/// Session ids of the records of a gap. A connection numbers its records from 0, and the run deals
/// them out to its connections in ranges.
fn ids_of_gap(runs: &[Run], gap: &GapStatus) -> (u64, u64) {
    let domain = u64::from(gap.domain);
    let run = runs.iter().rfind(|run| run.first_domain <= domain).unwrap();
    let connection = domain - run.first_domain;
    assert!(connection < CONNECTIONS, "{gap:?}");
    let (each, left) = (RECORDS / CONNECTIONS, RECORDS % CONNECTIONS);
    let begin = run.sent.first_session_id + connection * each + connection.min(left);
    let records = each + u64::from(connection < left);
    assert!(u64::from(gap.first) + gap.missing <= records, "{gap:?} of {records} records");
    (begin + u64::from(gap.first), begin + u64::from(gap.first) + gap.missing - 1)
}
