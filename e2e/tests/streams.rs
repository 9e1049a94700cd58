//! All streams at once: each record is a row of its stream's table, by both transports, with the fields that
//! only the user knows; records of several DPIs behind one listener; records sent to the wrong port.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::time::Duration;

use crds::{CustomElement, Domain, ElementType, StreamType};
use e2e::{Sent, Simulator, System, SystemOptions, assert_balanced, wait_for};

const LONG: Duration = Duration::from_secs(600);
const STREAMS: [&str; 5] = ["fullflow", "clickstream", "gtpflow", "natflow", "dnsflow"];
const EACH: u64 = 100_000;

/// Fields that the simulator sends and the vendor does not publish.
fn elements() -> Vec<CustomElement> {
    let element = |stream, id, element_type, column: &str| CustomElement {
        stream,
        id,
        pen: 43_823,
        name: column.to_string(),
        element_type,
        column: column.to_string(),
    };
    use {ElementType::*, StreamType::*};
    vec![
        element(GtpFlow, 3311, UInt32, "pgw_control_teid"),
        element(GtpFlow, 3316, String, "imsi"),
        element(DnsFlow, 3601, String, "dns_host"),
        element(DnsFlow, 3602, UInt16, "dns_type"),
        element(DnsFlow, 3603, UInt16, "dns_class"),
        element(DnsFlow, 3604, UInt32, "ttl"),
        element(DnsFlow, 3605, String, "rdata"),
    ]
}

/// Starts a simulator with a small population, so that ten of them find room.
fn simulate(to: &str, stream: &str, more: &[&str]) -> Simulator {
    let arguments = ["--to", to, "--stream", stream, "--hosts", "20000", "--subscribers", "5000"];
    Simulator::start(&[&arguments, more].concat())
}

#[test]
fn a_million_records_of_all_streams_at_once() {
    let mut system = System::start_all_streams(elements());
    let mut runs = Vec::new();
    for (index, stream) in STREAMS.iter().enumerate() {
        for (dpi, more) in [(0, &[][..]), (1, &["--transport", "udp", "--rate", "5000"][..])] {
            let (records, seed) = (EACH.to_string(), (10 * index + usize::from(dpi)).to_string());
            let address = system.address_of(dpi, stream);
            let numbers = ["--records", &records, "--seed", &seed];
            runs.push((dpi, *stream, simulate(&address, stream, &[&numbers[..], more].concat())));
        }
    }
    let mut requests = Vec::new();
    for (dpi, stream, simulator) in runs {
        let sent = simulator.finish(LONG);
        assert_eq!(sent.records, EACH);
        system.wait_until_decoded(dpi, stream, EACH);
        let status = system.wait_until_stored_of(dpi, stream);
        assert_balanced(&status);
        assert_eq!((status.sequence.missing, status.wire.kernel_drops), (0, 0), "{stream}: {status:?}");
        assert_eq!(status.destination.table, stream);
        let stored = system.query(&format!(
            "SELECT count(), sum(session_id), uniqExact(session_id) FROM qoestor.{stream} WHERE dpi_id = {dpi}"
        ));
        assert_eq!(stored, format!("{EACH}\t{}\t{EACH}", sent.session_sum), "{stream}: {status:?}");
        if stream == "clickstream" {
            requests.push(sent);
        }
    }
    assert_manual(&system, &requests);
    assert_fields(&system);

    // The ledger has its last row when the receiver has stopped, or, if there was no time for it, soon after the start.
    system.stop_receiver();
    system.start_receiver();
    for stream in STREAMS {
        let sql = format!(
            "SELECT dpi_id, sum(records_announced), sum(records_stored), sum(records_missing) \
             FROM qoestor.ledger WHERE stream = '{stream}' AND dpi_id < 2 GROUP BY dpi_id ORDER BY dpi_id"
        );
        let expected = format!("0\t{EACH}\t{EACH}\t0\n1\t{EACH}\t{EACH}\t0");
        wait_for(&format!("{expected} in the ledger of {stream}"), LONG, || {
            (system.query(&sql) == expected).then_some(())
        });
    }
}

/// The statement of the old product's manual, as printed there.
fn assert_manual(system: &System, sent: &[Sent]) {
    let shown = system.query("select count(), min(time), max(time) from qoestor.clickstream");
    let first = sent.iter().map(|sent| sent.first_start_ms).min().unwrap() / 1_000;
    let last = sent.iter().map(|sent| sent.last_start_ms).max().unwrap() / 1_000;
    let records: u64 = sent.iter().map(|sent| sent.records).sum();
    let expected = format!("SELECT {records}, toDateTime({first}, 'UTC'), toDateTime({last}, 'UTC')");
    assert_eq!(shown, system.query(&expected));
}

fn assert_fields(system: &System) {
    let wrong = |table: &str, condition: &str| {
        system.number(&format!("SELECT count() FROM qoestor.{table} WHERE NOT ({condition})"))
    };
    assert_eq!(wrong("gtpflow", "match(imsi, '^[0-9]{15}$') AND pgw_control_teid = sgw_control_teid"), 0);
    assert_eq!(wrong("gtpflow", "gtp_version = 2 AND response_type = request_type + 1"), 0);
    assert_eq!(wrong("dnsflow", "dns_host != '' AND dns_type = 1 AND dns_class = 1 AND ttl >= 30"), 0);
    assert_eq!(
        wrong(
            "dnsflow",
            "length(base64Decode(rdata)) = 4 AND login != '' AND source_port > 0 OR protocol_identifier = 1"
        ),
        0
    );
    let events =
        system.query("SELECT nat_event, any(event), uniq(event) FROM qoestor.natflow GROUP BY 1 ORDER BY 1");
    assert_eq!(events, "1\tcreate\t1\n2\tdelete\t1\n4\tcreate\t1\n5\tdelete\t1");
    assert_eq!(
        wrong(
            "natflow",
            "source_ipv4 != '0.0.0.0'::IPv4 AND post_nat_source_ipv4 != '0.0.0.0'::IPv4 AND login != ''"
        ),
        0
    );

    // Responses have no path and are rows all the same; requests are of either family.
    let kinds = system.query(
        "SELECT countIf(path = ''), countIf(path != '' AND source_ipv4 != '0.0.0.0'::IPv4), \
         countIf(path != '' AND source_ipv6 != '::'::IPv6) FROM qoestor.clickstream",
    );
    let kinds: Vec<u64> = kinds.split('\t').map(|count| count.parse().unwrap()).collect();
    assert_eq!(kinds.iter().sum::<u64>(), 2 * EACH);
    assert!(kinds.iter().all(|count| *count > EACH / 10), "{kinds:?}");
}

/// A balancer sends the records of two DPIs to one port.
#[test]
fn observation_domains_are_dpis_and_survive_kills() {
    let mut system = System::start(&SystemOptions {
        configure: Some(Box::new(|config| {
            config.dpis[0].max_delay_ms = 1_500;
            config.dpis[0].streams[0].domains = vec![Domain { id: 70, dpi: 5 }, Domain { id: 71, dpi: 6 }];
        })),
        ..SystemOptions::default()
    });
    let (mut sent, mut expected) = (Vec::new(), [(0_u64, 0_u64); 3]);
    for seed in 1..6_u64 {
        let (to, seed) = (system.address(0), seed.to_string());
        // The third connection's domain is nobody's: it is the listener's own DPI.
        let more = [
            "--records",
            "30000",
            "--connections",
            "3",
            "--domain",
            "70",
            "--seed",
            &seed,
            "--rate",
            "40000",
        ];
        let simulator = simulate(&to, "fullflow", &more);
        let run = simulator.finish(LONG);
        for (index, (records, session_sum)) in expected.iter_mut().enumerate() {
            let first = run.first_session_id + index as u64 * 10_000;
            *records += 10_000;
            *session_sum += (first..first + 10_000).sum::<u64>();
        }
        sent.push(run);
        // Everything is in the journal; some of it is stored, some on its way.
        std::thread::sleep(Duration::from_millis(300 * (sent.len() as u64 % 3)));
        system.kill_receiver();
        system.start_receiver();
    }
    let status = system.wait_until_stored(0);
    assert_balanced(&status);
    assert_eq!((status.sequence.missing, status.destination.stored), (0, 150_000), "{status:?}");
    let stored = system.query(
        "SELECT dpi_id, count(), sum(session_id), uniqExact(session_id) FROM qoestor.fullflow \
         GROUP BY dpi_id ORDER BY dpi_id",
    );
    let row = |dpi: u16, (records, sum): (u64, u64)| format!("{dpi}\t{records}\t{sum}\t{records}");
    let [fifth, sixth, own] = expected;
    assert_eq!(stored, [row(0, own), row(5, fifth), row(6, sixth)].join("\n"));
}

#[test]
fn records_on_the_wrong_port_are_counted_and_not_stored() {
    let system = System::start_all_streams(Vec::new());
    let more = |domain| ["--records", "3000", "--domain", domain];
    for (sent_stream, stream) in [
        ("natflow", "fullflow"),
        ("fullflow", "clickstream"),
        ("clickstream", "gtpflow"),
        ("gtpflow", "natflow"),
    ] {
        let address = system.address_of(0, stream);
        let wrong = simulate(&address, sent_stream, &more("1"));
        let right = simulate(&address, stream, &more("2")).finish(LONG);
        assert_eq!(wrong.finish(LONG).records, 3_000);
        let status = wait_for("both", LONG, || {
            let status = system.wait_until_stored_of(0, stream);
            (status.sequence.announced == 6_000).then_some(status)
        });
        assert_balanced(&status);
        assert_eq!(status.sequence.undecodable["foreign_template"], 3_000, "{status:?}");
        let stored = system.query(&format!("SELECT count(), sum(session_id) FROM qoestor.{stream}"));
        assert_eq!(stored, format!("3000\t{}", right.session_sum), "{sent_stream} on the port of {stream}");
    }
}
