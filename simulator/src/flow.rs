//! Makes one record after the other. Only arithmetic on numbers from a seeded generator and
//! look-ups in tables: nothing is allocated per record.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use super::population::Population;

/// Idle time after which the DPI closes a record, in milliseconds.
const IDLE_TIMEOUT_MS: u64 = 30_000;

/// Age at which the DPI closes a record of a session that goes on, in milliseconds.
const ACTIVE_TIMEOUT_MS: u64 = 300_000;

/// TCP's number.
const TCP: u8 = 6;
/// UDP's number.
const UDP: u8 = 17;
/// ICMP's number.
const ICMP: u8 = 1;

/// Session id of the first record of a run: runs with different seeds below 2^24 have 2^40 ids each.
pub(super) fn first_session_id(seed: u64) -> u64 {
    ((seed & 0xff_ffff) << 40) + 1
}

/// What one record is about: one direction of a session. Every stream tells of it in its own words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow<'p> {
    pub(super) octets: u64,
    pub(super) packets: u64,
    pub(super) protocol: u8,
    pub(super) class_of_service: u8,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) source_v4: u32,
    pub(super) destination_v4: u32,
    pub(super) source_v6: u128,
    pub(super) destination_v6: u128,
    pub(super) source_as: u32,
    pub(super) destination_as: u32,
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
    pub(super) input: u16,
    pub(super) output: u16,
    pub(super) ip_version: u8,
    pub(super) session_id: u64,
    pub(super) host: &'p [u8],
    pub(super) application: u16,
    pub(super) login: &'p [u8],
    pub(super) nat_source_v4: u32,
    pub(super) nat_source_port: u16,
    pub(super) fragmented: u16,
    pub(super) retransmitted: u16,
    pub(super) deliver_time: u32,
    pub(super) channel: u16,
    pub(super) vlan: u16,
    pub(super) post_vlan: u16,
    pub(super) mpls: [u8; 3],
    pub(super) mpls_length: u8,
    pub(super) original_class_of_service: u8,
    pub(super) dropped_octets: u64,
    pub(super) dropped_packets: u64,
    /// Number of the subscriber.
    pub(super) subscriber: u32,
    /// Number of the host.
    host_number: u32,
    population: &'p Population,
    /// Decides what only some streams tell.
    pub(super) dice: u64,
}

impl<'p> Flow<'p> {
    /// Name of the host, also where the session does not tell it.
    pub(super) fn name(&self) -> &'p [u8] {
        self.population.host_name(self.host_number)
    }

    /// Address of the host.
    pub(super) fn host_v4(&self) -> u32 {
        self.population.place(self.host_number).address
    }
}

/// The records of one connection.
#[derive(Debug)]
pub(super) struct Flows<'p> {
    population: &'p Population,
    rng: Xoshiro256PlusPlus,
    next_session_id: u64,
    remaining: u64,
    began_ms: u64,
}

impl<'p> Flows<'p> {
    /// The records numbered `first..first + count` of a run, made by the connection `index`.
    pub(super) fn new(
        population: &'p Population,
        seed: u64,
        index: u32,
        first: u64,
        count: u64,
        began_ms: u64,
    ) -> Flows<'p> {
        let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(index) << 32);
        Flows {
            population,
            rng: Xoshiro256PlusPlus::seed_from_u64(mixed),
            next_session_id: first_session_id(seed) + first,
            remaining: count,
            began_ms,
        }
    }

    /// Records that are still to come.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next record, which the DPI closes at `clock_ms`; `None` after the last.
    #[inline]
    pub(super) fn next(&mut self, clock_ms: u64, ipv6: bool) -> Option<Flow<'p>> {
        self.remaining = self.remaining.checked_sub(1)?;
        let session_id = self.next_session_id;
        self.next_session_id += 1;

        let rng = &mut self.rng;
        let elapsed = clock_ms.saturating_sub(self.began_ms);
        let subscriber = self.population.pick_subscriber(rng, elapsed);
        // What a subscriber does with a host stays the same for a while: protocol, port, class.
        let (host, habit) = self.population.pick_visit(rng, subscriber, elapsed, ipv6);
        let place = self.population.place(host);
        // Each word serves several small decisions, by different bits.
        let dice = rng.next_u64();
        let more = rng.next_u64();

        let protocol = match habit & 0xff {
            0..170 => TCP,
            170..252 => UDP,
            _ => ICMP,
        };
        let from_subscriber = dice & 0x100 != 0;
        let packets = packet_count(rng, from_subscriber);
        let octets = packets * packet_size((dice >> 9) & 0x3ff, from_subscriber);
        let (start_ms, end_ms) = times(clock_ms, more);
        let (host_port, application) = service(protocol, (habit >> 19) & 0x3f, host);
        let ephemeral = 32_768 + ((dice >> 25) & 0x6fff) as u16;
        let subscriber_port = if protocol == ICMP { 0 } else { ephemeral };
        let named = protocol != ICMP && host_port != 53 && (habit >> 40) & 0xf != 0;

        let subscriber_v4 = 0x0a40_0000_u32.wrapping_add(subscriber);
        let subscriber_v6 =
            (0x2001_0db8_0000_0000_u128 | u128::from(subscriber)) << 64 | u128::from(more >> 48);
        let host_v6 = 0x2a00_1450_4000_0000_u128 << 64 | u128::from(place.address);
        let subscriber_as = 65_010;
        let (
            (source_v4, source_v6, source_port, source_as),
            (destination_v4, destination_v6, destination_port, destination_as),
        ) = {
            let own = (subscriber_v4, subscriber_v6, subscriber_port, subscriber_as);
            let other = (place.address, host_v6, host_port, place.as_number);
            if from_subscriber { (own, other) } else { (other, own) }
        };
        let (input, output) = if from_subscriber { (2, 1) } else { (1, 2) };
        let retransmitted = if protocol == TCP && (dice >> 44) & 0x7 == 0 { 1 + packets / 50 } else { 0 };
        let dropped_packets = if (dice >> 47) & 0x7f == 0 { 1 + packets / 100 } else { 0 };
        let class_of_service = if (habit >> 54) & 0x7 == 0 { 0x28 } else { 0 };
        Some(Flow {
            octets,
            packets,
            protocol,
            class_of_service,
            source_port,
            destination_port,
            source_v4,
            destination_v4,
            source_v6,
            destination_v6,
            source_as,
            destination_as,
            start_ms,
            end_ms,
            input,
            output,
            ip_version: if ipv6 { 6 } else { 4 },
            session_id,
            host: if named { self.population.host_name(host) } else { &[] },
            application,
            login: self.population.login(subscriber),
            nat_source_v4: if from_subscriber { 0xc633_6400 | (subscriber & 0xff) } else { 0 },
            nat_source_port: if from_subscriber { 1_024 + (more >> 40) as u16 % 60_000 } else { 0 },
            fragmented: if (dice >> 57) & 0x7f == 0 { 2 } else { 0 },
            retransmitted: u16::try_from(retransmitted).unwrap_or(u16::MAX),
            deliver_time: deliver_time(protocol, more >> 20),
            channel: 1 + (subscriber % 48) as u16,
            vlan: 100 + (subscriber % 400) as u16,
            post_vlan: 2_000 + (subscriber % 4) as u16,
            mpls: [0x00, 0x0a, (subscriber % 16) as u8],
            mpls_length: if subscriber & 0xf == 0 { 3 } else { 0 },
            original_class_of_service: class_of_service,
            dropped_octets: dropped_packets * 1_200,
            dropped_packets,
            subscriber,
            host_number: host,
            population: self.population,
            dice: more,
        })
    }
}

/// Most records have a few packets, some many thousands.
fn packet_count(rng: &mut Xoshiro256PlusPlus, from_subscriber: bool) -> u64 {
    let uniform: f64 = rng.random();
    // Pareto with exponent 1, cut off: half of the records have at most 4 packets.
    let count = (2.0 / (1.0 - uniform).max(1e-6)) as u64;
    let count = count.min(400_000);
    if from_subscriber { 1 + count / 3 } else { 1 + count }
}

fn packet_size(dice: u64, from_subscriber: bool) -> u64 {
    if from_subscriber { 52 + dice / 4 } else { 60 + dice + (dice & 0x1ff) % 400 }
}

/// Start and end of a record that is closed at `clock_ms`.
fn times(clock_ms: u64, dice: u64) -> (u64, u64) {
    let end = clock_ms.saturating_sub(dice % IDLE_TIMEOUT_MS);
    let long = (dice >> 15) & 0x7 == 0;
    let longest = if long { ACTIVE_TIMEOUT_MS } else { 8_000 };
    let duration = ((dice >> 18) % longest).min(ACTIVE_TIMEOUT_MS);
    (end.saturating_sub(duration), end)
}

/// Port of the host and what the DPI takes the session for.
fn service(protocol: u8, dice: u64, host: u32) -> (u16, u16) {
    let of_host = (host % 600) as u16;
    match (protocol, dice) {
        (ICMP, _) => (0, 1),
        (TCP, 0..50) => (443, 200 + of_host),
        (TCP, 50..58) => (80, 7),
        (UDP, 0..36) => (443, 200 + of_host),
        (UDP, 36..48) => (53, 5),
        _ => (1_025 + (host % 50_000) as u16, 49_000 + (host % 7) as u16),
    }
}

/// Half a round trip in ms; 0 where the DPI could not measure it.
fn deliver_time(protocol: u8, dice: u64) -> u32 {
    if protocol != TCP || dice & 0x7 < 2 {
        return 0;
    }
    let near = 1 + ((dice >> 3) & 0x1f) as u32;
    if (dice >> 8) & 0xf == 0 { near * 12 } else { near }
}
