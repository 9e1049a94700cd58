//! Everything that two DPIs send is stored once, by both transports at the same time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::time::Duration;

use e2e::{Simulator, System, SystemOptions};

const LONG: Duration = Duration::from_secs(600);

#[test]
fn five_million_by_tcp_and_one_million_by_udp() {
    let system = System::start(&SystemOptions::default());
    let (tcp_to, udp_to) = (system.address(0), system.address(1));
    let tcp = Simulator::start(&["--to", &tcp_to, "--records", "5000000", "--seed", "11"]);
    let udp = Simulator::start(&[
        "--to",
        &udp_to,
        "--transport",
        "udp",
        "--records",
        "1000000",
        "--seed",
        "12",
        "--rate",
        "50000",
    ]);
    for (dpi, simulator) in [(0, tcp), (1, udp)] {
        let sent = simulator.finish(LONG);
        let status = system.wait_until_stored(dpi);
        let stored = system.stored(dpi);
        assert_eq!(stored.rows, sent.records, "{status:?}");
        assert_eq!(stored.octets, sent.octets);
        assert_eq!(stored.packets, sent.packets);
        assert_eq!(stored.distinct, sent.records);
        assert_eq!(status.wire.arrived, status.wire.journaled + status.wire.refused.values().sum::<u64>());
        assert_eq!(status.sequence.announced, sent.records);
        assert_eq!(status.sequence.decoded, sent.records);
        assert_eq!(status.sequence.missing, 0);
        assert_eq!(status.destination.stored, sent.records);
        assert_eq!(status.destination.set_aside, 0);
        assert_eq!(status.wire.kernel_drops, 0);
    }
}
