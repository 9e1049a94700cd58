//! Real exporters, written by others: what they send is what `nfcapd` stores, what they say
//! of themselves, and what the capture holds, flow by flow.
//!
//! What these exporters are special in:
//! - softflowd's IPFIX sequence numbers count the records of the message itself, where RFC 7011 counts
//!   those before it: it announces gaps that are none (nfcapd counts sequence errors, too). So its
//!   missing records are not looked at.
//! - softflowd writes IPFIX times as uptimes unless told otherwise (`-A milli`), and says in an options
//!   record when it booted. Such times are taken as the time of export.
//! - In NetFlow v9 the time of export is in whole seconds, so times are exact to a second only.
//! - Both ways of a conversation begin at the same time for them: they track conversations.
//! - ICMP type and code are no ports. softflowd sends them as elements of their own, pmacct not at all.
//! - softflowd -b (biflows, RFC 5103) puts the way back into elements of its own (PEN 29305), which are
//!   not stored: a DPI sends a record for each direction.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod capture;
mod exporter;
mod interface;
mod nfcapd;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use capture::{Capture, Carried, Flow, Flows, ICMP, sums};
use crds::receiver::StreamStatus;
use e2e::{System, SystemOptions, assert_balanced, free_port, wait_for};
use exporter::{Watching, need_tools, pmacct, softflowd};
use interface::Interface;
use nfcapd::Nfcapd;

const LONG: Duration = Duration::from_secs(120);
const CONVERSATIONS: u32 = 2000;
/// Datagrams after which softflowd repeats its templates and its options record.
const TEMPLATE_INTERVAL: u64 = 16;

/// A system with `udp` listeners over UDP, each for a DPI of its own (1, 2, ..), and one over TCP (0).
fn system(udp: u16) -> System {
    System::start(&SystemOptions {
        configure: Some(Box::new(move |config| {
            for id in 2..=udp {
                let mut dpi = config.dpis[1].clone();
                dpi.id = id;
                dpi.streams[0].listen.set_port(free_port());
                config.dpis.push(dpi);
            }
        })),
        ..SystemOptions::default()
    })
}

fn port(system: &System, dpi: u16) -> u16 {
    system.config.dpis[usize::from(dpi)].streams[0].listen.port()
}

fn capture(system: &System, seed: u64) -> (Capture, PathBuf) {
    let capture = Capture::new(CONVERSATIONS, seed);
    let file = system.path().join("capture.pcap");
    capture.write(&file);
    (capture, file)
}

/// What the table holds of a DPI, flow by flow.
fn stored(system: &System, dpi: u16) -> Flows {
    let answer = system.query(&format!(
        "SELECT if(ip_version = 4, toString(source_ipv4), toString(source_ipv6)), \
         if(ip_version = 4, toString(destination_ipv4), toString(destination_ipv6)), \
         source_port, destination_port, protocol_identifier, \
         count(), sum(packet_delta_count), sum(octet_delta_count), \
         toUnixTimestamp64Milli(min(flow_start_millisecond)) \
         FROM qoestor.fullflow WHERE dpi_id = {dpi} GROUP BY ALL"
    ));
    let mut flows = Flows::new();
    for line in answer.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [source, destination]: [IpAddr; 2] = [0, 1].map(|at| fields[at].parse().unwrap());
        let [source_port, destination_port, protocol, records, packets, octets, first_ms] =
            [2, 3, 4, 5, 6, 7, 8].map(|at| fields[at].parse::<u64>().unwrap());
        let protocol = protocol as u8;
        let ports = if protocol == ICMP { [0, 0] } else { [source_port as u16, destination_port as u16] };
        let flow = Flow { source, destination, source_port: ports[0], destination_port: ports[1], protocol };
        let earlier = flows.insert(flow, Carried { records, packets, octets, first_ms });
        assert_eq!(earlier.map(|_| flow), None, "two flows are the same");
    }
    flows
}

/// Waits until so many records are decoded and all of them are stored.
fn wait_for_records(system: &System, dpi: u16, records: u64) -> StreamStatus {
    wait_for(&format!("{records} records of DPI {dpi}"), LONG, || {
        (system.stream(dpi).destination.decoded >= records).then_some(())
    });
    system.wait_until_stored(dpi)
}

/// Records, packets and octets of each flow, without its time.
fn counts(flows: &Flows) -> BTreeMap<Flow, (u64, u64, u64)> {
    flows.iter().map(|(flow, carried)| (*flow, (carried.records, carried.packets, carried.octets))).collect()
}

#[track_caller]
fn assert_same(ours: &Flows, theirs: &Flows, whose: &str) {
    assert_eq!(sums(ours), sums(theirs), "records, packets, octets against {whose}");
    let (ours, theirs) = (counts(ours), counts(theirs));
    for (flow, carried) in &theirs {
        assert_eq!(ours.get(flow), Some(carried), "{flow:?} against {whose}");
    }
    assert_eq!(ours.len(), theirs.len(), "flows against {whose}");
}

/// The greatest difference between the start of a flow and that of its conversation in the capture, in
/// milliseconds.
fn time_difference(ours: &Flows, capture: &Flows) -> u64 {
    let began = |flow: &Flow| {
        let way_back = capture.get(&flow.reversed()).map_or(u64::MAX, |carried| carried.first_ms);
        capture[flow].first_ms.min(way_back)
    };
    ours.iter().map(|(flow, carried)| carried.first_ms.abs_diff(began(flow))).max().unwrap()
}

/// Nothing was refused, nothing was left over.
#[track_caller]
fn assert_clean(status: &StreamStatus) {
    assert_balanced(status);
    assert_eq!(status.wire.arrived, status.wire.journaled, "{status:?}");
    assert_eq!(status.wire.kernel_drops, 0, "{status:?}");
    assert!(status.wire.templates_refused.is_empty(), "{status:?}");
    assert!(status.sequence.undecodable.is_empty(), "{status:?}");
    assert!(status.sequence.undecodable_sets.is_empty(), "{status:?}");
    assert_eq!(status.sequence.waiting_sets, 0, "{status:?}");
    assert_eq!(status.sequence.duplicates, 0, "{status:?}");
    assert_eq!(status.destination.stored, status.destination.decoded, "{status:?}");
    assert_eq!(status.destination.set_aside, 0, "{status:?}");
}

#[test]
fn softflowd_over_udp() {
    need_tools();
    let system = system(3);
    let (capture, file) = capture(&system, 1);
    // NetFlow v9, IPFIX as it is by default, IPFIX with absolute times.
    let runs: [(u16, &[&str]); 3] =
        [(1, &["-v", "9"]), (2, &["-v", "10"]), (3, &["-v", "10", "-A", "milli"])];
    for (dpi, arguments) in runs {
        let said = softflowd(&file, port(&system, dpi), arguments);
        let status = wait_for_records(&system, dpi, said.records);
        let ours = stored(&system, dpi);
        assert_eq!(sums(&ours), (said.records, said.packets, said.octets), "{arguments:?}");
        assert_same(&ours, &capture.flows, "the capture");
        let theirs = Nfcapd::collect(|port| {
            softflowd(&file, port, arguments);
        });
        assert_same(&ours, &theirs, "nfcapd");
        assert_clean(&status);
        assert_eq!(status.wire.arrived, said.datagrams);
        assert_eq!(status.sequence.options, said.datagrams.div_ceil(TEMPLATE_INTERVAL));
        if dpi == 1 {
            assert_eq!(status.sequence.missing_packets, 0);
        }
        let allowed = match dpi {
            1 => 1_000,
            // The time of export: any of the capture's length, and its reading.
            2 => 1_000_000,
            _ => 1,
        };
        assert!(time_difference(&ours, &capture.flows) <= allowed, "{arguments:?}");
    }
}

#[test]
fn pmacct_over_udp() {
    need_tools();
    let system = system(2);
    let (capture, file) = capture(&system, 2);
    for (dpi, version) in [(1, 9), (2, 10)] {
        pmacct(&file, port(&system, dpi), version);
        let (records, ..) = sums(&capture.flows);
        let status = wait_for_records(&system, dpi, records);
        let ours = stored(&system, dpi);
        assert_same(&ours, &capture.flows, "the capture");
        let theirs = Nfcapd::collect(|port| pmacct(&file, port, version));
        assert_same(&ours, &theirs, "nfcapd");
        assert_clean(&status);
        assert_eq!((status.sequence.missing, status.sequence.missing_packets), (0, 0));
        assert!(time_difference(&ours, &capture.flows) <= 1, "version {version}");
    }
}

#[test]
fn softflowd_over_tcp() {
    need_tools();
    let system = system(1);
    let (capture, file) = capture(&system, 3);
    let said = softflowd(&file, port(&system, 0), &["-v", "10", "-P", "tcp", "-A", "milli"]);
    let status = wait_for_records(&system, 0, said.records);
    let ours = stored(&system, 0);
    assert_same(&ours, &capture.flows, "the capture");
    assert_eq!(sums(&ours), (said.records, said.packets, said.octets));
    assert_clean(&status);
    assert_eq!(status.wire.arrived, said.datagrams);
    assert!(time_difference(&ours, &capture.flows) <= 1);
}

#[test]
fn netflow_v5_is_refused_and_the_setting_named() {
    need_tools();
    let system = system(1);
    let (_, file) = capture(&system, 4);
    let said = softflowd(&file, port(&system, 1), &["-v", "5"]);
    assert!(said.datagrams > 10);
    let status = wait_for("the refusals", LONG, || {
        let status = system.stream(1);
        (status.wire.arrived == said.datagrams).then_some(status)
    });
    assert_eq!(status.wire.refused, BTreeMap::from([("netflow_v5".to_string(), said.datagrams)]));
    assert_eq!(status.wire.journaled, 0);
    assert_eq!(system.stored(1).rows, 0);
    let log = system.receiver_log_text();
    assert!(log.contains("netflow_full_collector_type"), "{log}");
}

#[test]
fn softflowd_watches_an_interface() {
    need_tools();
    let Some(interface) = Interface::new() else {
        eprintln!("skipped: a network namespace needs root");
        return;
    };
    let system = system(1);
    let (capture, file) = capture(&system, 5);
    let softflowd = Watching::start(&interface, port(&system, 1));
    interface.play(&file);
    // softflowd gets packets from the kernel when a buffer is full: others have to follow.
    let nudge = Capture::nudge();
    let nudge_file = system.path().join("nudge.pcap");
    nudge.write(&nudge_file);
    let (_, packets, _) = sums(&capture.flows);
    let said = softflowd.finish(packets, || interface.play(&nudge_file));
    let status = wait_for_records(&system, 1, said.records);
    let mut ours = stored(&system, 1);
    assert_eq!(sums(&ours), (said.records, said.packets, said.octets));
    for flow in nudge.flows.keys() {
        ours.remove(flow);
    }
    assert_same(&ours, &capture.flows, "the capture");
    assert_clean(&status);
}
