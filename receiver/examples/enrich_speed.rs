//! Prints how long enrichment takes for a record and a look-up for an address or a host, with 100,000 prefixes of
//! our own, a million subscribers and a million hosts, and what a subscriber takes in memory. Run it with
//! `--release`; with an argument, so many million subscribers.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::enrichment::{Direction, LoginFromChannelMode};
use ipfix::{BytesColumn, Column};
use receiver::enrich::{
    Address, AsNumbers, ChannelNames, Enricher, HostCategories, Knowledge, Logins, LoginsBuilder, Prefixes,
};

/// Rows of a block, as the receiver sends them.
const ROWS: usize = 16_384;
/// Look-ups of a measurement.
const LOOK_UPS: usize = 1 << 20;

fn main() {
    let million: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("look-ups");
    prefixes("100,000 IPv4 prefixes", (0..100_000).map(ipv4_prefix));
    prefixes("1,000,000 IPv4 prefixes", (0..1_000_000).map(ipv4_prefix));
    prefixes("1,000,000 IPv6 prefixes in 8 places", (0..1_000_000).map(ipv6_prefix));
    let subscribers = logins("IPv4 subscribers", million * 1_000_000, |number| (ipv4(number), 32));
    logins("IPv6 delegations, /56", million * 1_000_000, |number| (ipv6_prefix(number).0, 56));
    logins("IPv6 addresses", million * 1_000_000, |number| (ipv6_prefix(number).0, 128));
    let hosts = hosts(1_000_000);
    let names: ChannelNames = (0..4096u16).map(|channel| (channel, format!("channel {channel}"))).collect();

    println!("a record of fullflow");
    let nothing = Knowledge::default();
    let mut networks = Knowledge {
        asnum_local: Arc::new((64_000..64_100).collect()),
        subnets_local: Arc::new((0..100_000).map(ipv4_prefix).collect()),
        ..Knowledge::default()
    };
    measure("settings' defaults, no dictionary", &nothing);
    networks.settings.direction = Direction::CIDR;
    measure("direction by 100,000 prefixes", &networks);
    networks.settings.direction = Direction::ASOrCIDR;
    networks.asnum_exclude = Arc::new(AsNumbers::from_iter([1, 2, 3]));
    networks.subnets_exclude = Arc::new((0..1000).map(ipv6_prefix).collect());
    measure("direction by AS or prefix, excluded ones", &networks);
    let with_logins = Knowledge { subscribers: Arc::new(subscribers), ..nothing.clone() };
    measure("logins of subscribers for half of the records", &with_logins);
    let mut with_channels = Knowledge { channels: Arc::new(names), ..nothing.clone() };
    with_channels.settings.login_from_channel = LoginFromChannelMode::Always;
    with_channels.settings.channel_names = true;
    measure("logins from channels by name", &with_channels);
    let with_hosts = Knowledge { hosts: Arc::new(hosts), ..nothing.clone() };
    measure("categories of 1,000,000 hosts", &with_hosts);
    let everything = Knowledge {
        subscribers: with_logins.subscribers.clone(),
        hosts: with_hosts.hosts.clone(),
        ..networks.clone()
    };
    measure("all of it without channels", &everything);
}

/// A number that looks random.
fn scatter(number: usize) -> u64 {
    let mixed = (number as u64 ^ 0x9E37_79B9).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 16
}

/// Private addresses, one after the other, every second one.
fn ipv4(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits((10 << 24) + 2 * number as u32))
}

fn ipv4_prefix(number: usize) -> (IpAddr, u8) {
    let places = [10u32 << 24, 100 << 24, 172 << 24, 185 << 24];
    let place = places.get(number % 4).copied().unwrap_or(0);
    (IpAddr::V4(Ipv4Addr::from_bits(place + ((number as u32 / 4) << 6))), 27)
}

fn ipv6_prefix(number: usize) -> (IpAddr, u8) {
    let place = (0x2a00_0000u128 + ((number as u128 % 8) << 18)) << 96;
    (IpAddr::V6(Ipv6Addr::from_bits(place + ((number as u128 / 8) << 73))), 56)
}

/// The best of five runs.
fn best(mut run: impl FnMut()) -> Duration {
    let times = (0..5).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

fn tell(name: &str, time: Duration, times: usize, more: &str) {
    println!("  {name}: {:.1} ns{more}", time.as_nanos() as f64 / times as f64);
}

fn prefixes(name: &str, given: impl Iterator<Item = (IpAddr, u8)>) {
    let given: Vec<(IpAddr, u8)> = given.collect();
    let prefixes: Prefixes = given.iter().copied().collect();
    // Half of the addresses are in a prefix, half right behind one.
    let asked: Vec<Address> = (0..LOOK_UPS)
        .filter_map(|number| {
            let (address, length) = given.get(scatter(number) as usize % given.len())?;
            let behind = number % 2;
            Some(match Address::from(*address) {
                Address::V4(bits) => Address::V4(bits + (behind << (32 - length)) as u32),
                Address::V6(bits) => Address::V6(bits + ((behind as u128) << (128 - length))),
            })
        })
        .collect();
    let mut found = 0;
    let time =
        best(|| found = asked.iter().filter(|&&address| prefixes.contains(black_box(address))).count());
    let share = found as f64 / asked.len() as f64;
    let memory = prefixes.memory() / prefixes.ranges().max(1);
    tell(name, time, asked.len(), &format!(", {share:.2} found, {memory} bytes a range"));
}

fn logins(name: &str, rows: usize, prefix: impl Fn(usize) -> (IpAddr, u8)) -> Logins {
    let start = Instant::now();
    let mut builder = LoginsBuilder::with_room(rows);
    for number in 0..rows {
        let (address, length) = prefix(number);
        if builder.add(address, length, format!("subscriber-{number:09}").as_bytes()).is_err() {
            println!("  {name}: too large");
        }
    }
    let logins = builder.finish();
    let built = start.elapsed();
    let asked: Vec<Address> =
        (0..LOOK_UPS).map(|number| Address::from(prefix(scatter(number) as usize % (2 * rows)).0)).collect();
    let mut length: usize = 0;
    let alone = best(|| {
        length = asked.iter().filter_map(|&address| logins.get(black_box(address))).map(<[u8]>::len).sum();
    });
    tell(&format!("{rows} {name}, one by one"), alone, asked.len(), "");
    let mut found = Vec::new();
    let time = best(|| {
        length = 0;
        for asked in asked.chunks(ROWS) {
            logins.find_many(black_box(asked), &mut found);
            length += found.iter().filter_map(|&at| logins.text(at)).map(<[u8]>::len).sum::<usize>();
        }
    });
    let share = length as f64 / 20.0 / asked.len() as f64;
    let memory = logins.memory() as f64 / rows as f64;
    let more =
        format!(", {share:.2} found, {memory:.1} bytes a row with a login of 20, built in {built:.1?}");
    tell(&format!("{rows} {name}, a block at once"), time, asked.len(), &more);
    logins
}

fn hosts(count: usize) -> HostCategories {
    let mut hosts = HostCategories::with_room(count);
    for number in 0..count {
        if hosts.add(format!("site-{number}.example.net").as_bytes(), 1 + (number % 500) as u16).is_err() {
            println!("  hosts: too many");
        }
    }
    hosts.shrink();
    let mut asked = BytesColumn::default();
    (0..LOOK_UPS / 4).for_each(|number| asked.push(host(number, count).as_bytes()));
    let mut found = 0;
    let time = best(|| found = asked.iter().filter(|host| hosts.get(black_box(host)) != 0).count());
    let share = found as f64 / asked.len() as f64;
    let memory = hosts.memory() as f64 / count as f64;
    let more = format!(", {share:.2} found, {memory:.1} bytes a host");
    tell(&format!("{count} hosts, parents too"), time, asked.len(), &more);
    hosts
}

fn host(number: usize, count: usize) -> String {
    let site = scatter(number) as usize % (2 * count);
    format!("{}site-{site}.example.net", if number.is_multiple_of(2) { "" } else { "www." })
}

/// Enriches copies of one block, without the copying.
fn measure(name: &str, knowledge: &Knowledge) {
    let stream = schema::fullflow();
    let block = block();
    let mut enricher = Enricher::new(stream);
    let mut fastest = Duration::MAX;
    for _ in 0..50 {
        let mut columns = block.clone();
        let start = Instant::now();
        enricher.enrich(black_box(&mut columns), knowledge);
        fastest = fastest.min(start.elapsed());
        black_box(&columns);
    }
    tell(name, fastest, ROWS, "");
}

/// Records of both directions; every second one has no login, every second one a host.
fn block() -> Vec<Column> {
    let stream = schema::fullflow();
    let mut columns = stream.new_columns();
    for (declared, column) in stream.inserted_columns().zip(&mut columns) {
        match column {
            Column::Bytes(values) => (0..ROWS).for_each(|row| match declared.name {
                "login" if row % 4 < 2 => values.push(format!("user-{}", row % 5000).as_bytes()),
                "host" if row.is_multiple_of(2) => values.push(host(row % 4096, 1_000_000).as_bytes()),
                _ => values.push_empty(1),
            }),
            _ => (0..ROWS).for_each(|row| column.push_constant(value(declared.name, row), 1)),
        }
    }
    columns
}

fn value(name: &str, row: usize) -> u64 {
    let from = row.is_multiple_of(2);
    match name {
        "source_ipv4" if from => 10 << 24 | (scatter(row) & 0x1F_FFFF),
        "destination_ipv4" if !from => 10 << 24 | (scatter(row) & 0x1F_FFFF),
        "source_ipv4" | "destination_ipv4" => scatter(row) & 0xFFFF_FFFF,
        "bgp_source_as_number" | "bgp_destination_as_number" => scatter(row) % 65_536,
        "input_snmp" => {
            if from {
                2
            } else {
                1
            }
        }
        "output_snmp" => {
            if from {
                1
            } else {
                2
            }
        }
        "bridge_vchannel_num" => row as u64 % 5000,
        _ => 0,
    }
}
