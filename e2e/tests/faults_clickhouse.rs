//! ClickHouse killed while records arrive: they wait in the journal and are stored once it is back.
//!
//! `QOE_FAULTS_LONG=1` makes each outage 30 s long instead of 10 s.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use e2e::{
    Sent, Simulator, System, SystemOptions, assert_balanced, assert_stored_exactly, resident_bytes, wait_for,
};

const LONG: Duration = Duration::from_secs(600);
const MIB: u64 = 1 << 20;

#[test]
fn killed_three_times() {
    let outage = if std::env::var_os("QOE_FAULTS_LONG").is_some() { 30 } else { 10 };
    let mut system = System::start(&SystemOptions::default());
    let idle = resident_bytes(system.receiver_pid());
    assert!(idle <= 40 * MIB, "the idle receiver takes {idle} bytes");

    let (mut by_tcp, mut by_udp) = (Vec::new(), Vec::new());
    let mut largest = 0;
    for round in 0..3u64 {
        // The outage begins while they send and ends when they have sent everything.
        let tcp = start(&system, 0, 60_000, outage, 300 + round);
        let udp = start(&system, 1, 20_000, outage, 400 + round);
        let before = system.stream(0).destination.stored;
        wait_for("stored rows", LONG, || (system.stream(0).destination.stored > before).then_some(()));
        system.kill_clickhouse();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(outage) {
            // An outage of the database must not take the receiver out of its Service.
            assert_eq!(system.get("/readyz"), "ok\n");
            largest = largest.max(resident_bytes(system.receiver_pid()));
            std::thread::sleep(Duration::from_millis(200));
        }
        by_tcp.push(tcp.finish(LONG));
        by_udp.push(udp.finish(LONG));
        let waiting = system.stream(0).journal.waiting_frames;
        assert!(waiting > 0);
        system.start_clickhouse();
    }
    for (dpi, runs) in [(0, by_tcp), (1, by_udp)] {
        system.wait_until_decoded(dpi, "fullflow", Sent::sum(&runs).records);
        let status = system.wait_until_stored(dpi);
        assert_stored_exactly(&system, dpi, &runs);
        assert_balanced(&status);
        assert_eq!(status.sequence.missing, 0);
        assert!(status.destination.retries > 0);
    }
    println!("idle {} MiB, at most {} MiB in outages", idle / MIB, largest / MIB);
    assert!(largest <= 200 * MIB, "the receiver grew to {largest} bytes");
}

fn start(system: &System, dpi: u16, rate: u64, seconds: u64, seed: u64) -> Simulator {
    let (to, transport) = (system.address(dpi), if dpi == 0 { "tcp" } else { "udp" });
    let (records, rate, seed) = ((rate * seconds).to_string(), rate.to_string(), seed.to_string());
    let mut arguments = vec!["--to", &to, "--transport", transport, "--records", &records];
    arguments.extend(["--rate", &rate, "--seed", &seed]);
    Simulator::start(&arguments)
}
