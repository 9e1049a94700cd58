//! Memory of aggregates when every record has a long name of its own: flushes come by the bound on memory, not by age
//! and not by the number of groups, and the bound holds again and again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::exporter::Exporter;
use e2e::{System, SystemOptions, wait_for};
use ipfix::{Element, FieldSpec, Template};

const LONG: Duration = Duration::from_secs(600);
/// Records, each with a host of its own.
const RECORDS: u64 = 300_000;
/// Bytes of a host's name.
const LENGTH: u64 = 1_000;
/// What is gathered at most: `MAX_MEMORY` of the reader.
const BOUND: u64 = 192 << 20;
/// A block is added as a whole.
const BLOCK: u64 = 2 << 20;

#[test]
fn long_names_flush_early_and_again_and_again() {
    let mut system = System::start(&SystemOptions {
        tables: Some(r#"{"fullflow_agg": {}}"#),
        // Never for its age.
        configure: Some(Box::new(|config| config.dpis[0].flush_interval_ms = Some(3_600_000))),
    });
    let field = |id, length| FieldSpec::new(Element::iana(id), length);
    let host = FieldSpec::new(Element::vas_experts(2001), u16::MAX);
    let template = Template::new(256, 0, vec![field(8, 4), field(12, 4), field(152, 8), field(1, 8), host]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let mut connection = TcpStream::connect(system.address(0)).unwrap();
    let mut exporter = Exporter::new(1);
    let filler = "x".repeat(LENGTH as usize - 9);
    for first in (0..RECORDS).step_by(60) {
        let message = exporter.message(|builder| {
            if first == 0 {
                builder.template(&template);
            }
            builder.begin_data(256);
            for number in first..first + 60 {
                builder.put_u32(0x0a00_0001);
                builder.put_u32(0xc633_6401);
                builder.put_u64(now);
                builder.put_u64(100);
                builder.put_variable(format!("{number:08}.{filler}").as_bytes());
                builder.end_record();
            }
        });
        connection.write_all(&message).unwrap();
    }
    drop(connection);
    let status = wait_for("the records", LONG, || {
        let status = system.stream(0);
        (status.destination.stored == RECORDS && status.aggregates[0].destination.decoded == RECORDS)
            .then_some(status)
    });
    assert!(status.aggregates[0].groups < RECORDS / 2, "{:?}", status.aggregates[0]);
    let process = std::fs::read_to_string(format!("/proc/{}/status", system.receiver_pid())).unwrap();
    let peak = process.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    system.config.dpis[0].flush_interval_ms = Some(1);
    system.reload();
    system.wait_until_aggregated(0, "fullflow");

    let of = "FROM qoestor.ledger WHERE stream = 'fullflow to fullflow_agg' AND records_stored > 0";
    let flushes = system
        .query(&format!("SELECT groupArray(records_stored) FROM (SELECT * {of} ORDER BY arrival_from)"));
    println!("at most {} MB, flushes of {flushes} records", peak >> 10);
    // What is gathered, the same as blocks, and all else.
    assert!(peak << 10 < 2 * BOUND + (128 << 20), "{peak} kB");
    assert_eq!(system.number(&format!("SELECT sum(records_stored) {of}")), RECORDS);
    assert!(
        system.number(&format!("SELECT max(records_stored) {of}")) * LENGTH <= BOUND + BLOCK,
        "{flushes}"
    );
    let count = system.number(&format!("SELECT count() {of}"));
    assert!((2..=10).contains(&count), "{count} flushes: {flushes}");
    let exact = system.query("SELECT count(), uniqExact(host), sum(records), sum(octets_from + octets_to) FROM qoestor.fullflow_agg");
    assert_eq!(exact, format!("{RECORDS}\t{RECORDS}\t{RECORDS}\t{}", RECORDS * 100));
}
