//! Traffic made up from a seed, written as a capture file (pcap, Ethernet), with what it holds flow
//! by flow. Checksums are 0: exporters do not look at them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

/// One direction of a conversation. The ports of ICMP are 0: what exporters write there differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_port: u16,
    pub destination_port: u16,
    pub protocol: u8,
}

impl Flow {
    /// The other direction.
    pub fn reversed(self) -> Flow {
        Flow {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
        }
    }
}

/// What a flow carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Records about it.
    pub records: u64,
    pub packets: u64,
    pub octets: u64,
    /// Milliseconds since 1970 of its first packet.
    pub first_ms: u64,
}

pub type Flows = BTreeMap<Flow, Carried>;

/// Sums over all flows: records, packets, octets.
pub fn sums(flows: &Flows) -> (u64, u64, u64) {
    flows
        .values()
        .fold((0, 0, 0), |sum, flow| (sum.0 + flow.records, sum.1 + flow.packets, sum.2 + flow.octets))
}

/// A capture of some seconds that ended a moment ago.
pub struct Capture {
    packets: Vec<Packet>,
    pub flows: Flows,
}

struct Packet {
    at_us: u64,
    flow: Flow,
    /// Length of the IP packet.
    length: u16,
}

const ETHERNET_HEADER: usize = 14;
/// How long the capture lasts. Shorter than every timeout of the exporters, so that a flow is one record.
const SECONDS: u64 = 30;

impl Capture {
    /// `conversations` over IPv4 and IPv6, TCP and UDP, a third of them answered, and some pings.
    pub fn new(conversations: u32, seed: u64) -> Capture {
        let mut random = SmallRng::seed_from_u64(seed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        let begin_us = now - (SECONDS + 5) * 1_000_000;
        let mut packets = Vec::new();
        for number in 0..conversations {
            let flow = flow(number);
            let mut at_us = begin_us + random.random_range(0..(SECONDS - 5) * 1_000_000);
            for packet in 0..random.random_range(1..=10) {
                let answered = number.is_multiple_of(3) && packet > 0 && random.random_bool(0.5);
                let flow = if answered && flow.protocol != ICMP { flow.reversed() } else { flow };
                packets.push(Packet { at_us, flow, length: random.random_range(64..=1500) });
                at_us += random.random_range(1_000..500_000);
            }
        }
        packets.sort_by_key(|packet| packet.at_us);
        Capture::of(packets)
    }

    /// Some thousand packets of one flow that no other capture has.
    pub fn nudge() -> Capture {
        let (source, destination) = (Ipv4Addr::new(10, 9, 9, 9).into(), Ipv4Addr::new(192, 0, 2, 9).into());
        let flow = Flow { source, destination, source_port: 9, destination_port: 9, protocol: UDP };
        Capture::of((0..2000).map(|at_us| Packet { at_us, flow, length: 64 }).collect())
    }

    fn of(packets: Vec<Packet>) -> Capture {
        let mut flows = Flows::new();
        for packet in &packets {
            let new = Carried { records: 1, first_ms: packet.at_us / 1000, ..Carried::default() };
            let carried = flows.entry(packet.flow).or_insert(new);
            carried.packets += 1;
            carried.octets += u64::from(packet.length);
        }
        Capture { packets, flows }
    }

    /// Writes it in libpcap's format, version 2.4.
    pub fn write(&self, path: &Path) {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4u32, 2 | 4 << 16, 0, 0, 65_535, 1] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        for packet in &self.packets {
            let frame = frame(packet);
            let time = [(packet.at_us / 1_000_000) as u32, (packet.at_us % 1_000_000) as u32];
            for word in [time[0], time[1], frame.len() as u32, frame.len() as u32] {
                file.extend_from_slice(&word.to_le_bytes());
            }
            file.extend_from_slice(&frame);
        }
        std::fs::write(path, file).unwrap();
    }
}

fn flow(number: u32) -> Flow {
    let protocol = match number % 50 {
        0 => ICMP,
        other if other % 2 == 0 => TCP,
        _ => UDP,
    };
    let high = (number >> 8) as u8;
    let low = number as u8;
    let (source, destination): (IpAddr, IpAddr) = if number % 4 < 2 {
        (Ipv4Addr::new(10, 1, high, low).into(), Ipv4Addr::new(192, 0, 2, low % 200 + 1).into())
    } else {
        let host = number as u16;
        (
            Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, host).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, host % 99).into(),
        )
    };
    if protocol == ICMP {
        // Over IPv4 only, so that one protocol number is enough.
        let source = Ipv4Addr::new(10, 2, high, low).into();
        let destination = Ipv4Addr::new(192, 0, 2, 1).into();
        return Flow { source, destination, source_port: 0, destination_port: 0, protocol };
    }
    Flow { source, destination, source_port: 1024 + number as u16, destination_port: 443, protocol }
}

fn frame(packet: &Packet) -> Vec<u8> {
    let Packet { flow, length, .. } = packet;
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    match (flow.source, flow.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame.extend_from_slice(&[0x08, 0x00, 0x45, 0]);
            frame.extend_from_slice(&length.to_be_bytes());
            frame.extend_from_slice(&[0, 1, 0, 0, 64, flow.protocol, 0, 0]);
            frame.extend_from_slice(&source.octets());
            frame.extend_from_slice(&destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend_from_slice(&(length - 40).to_be_bytes());
            frame.extend_from_slice(&[flow.protocol, 64]);
            frame.extend_from_slice(&source.octets());
            frame.extend_from_slice(&destination.octets());
        }
        _ => unreachable!("both ends speak the same IP"),
    }
    match flow.protocol {
        // Echo request.
        ICMP => frame.extend_from_slice(&[8, 0, 0, 0, 0, 1, 0, 1]),
        TCP => {
            frame.extend_from_slice(&flow.source_port.to_be_bytes());
            frame.extend_from_slice(&flow.destination_port.to_be_bytes());
            // Sequence and acknowledgement, 20 bytes of header, PSH and ACK, window.
            frame.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 4, 0, 0, 0, 0, 0]);
        }
        _ => {
            frame.extend_from_slice(&flow.source_port.to_be_bytes());
            frame.extend_from_slice(&flow.destination_port.to_be_bytes());
            let header = if flow.source.is_ipv4() { 20 } else { 40 };
            frame.extend_from_slice(&(length - header).to_be_bytes());
            frame.extend_from_slice(&[0, 0]);
        }
    }
    frame.resize(ETHERNET_HEADER + usize::from(*length), 0);
    frame
}
