//! The rules, on blocks of real streams.

use std::net::IpAddr;

use crds::enrichment::{Direction, LoginFromChannelMode, RttUnit};
use crds::receiver::Marks;
use ipfix::BytesColumn;

use super::*;

/// Every mode, AS, address and mark; `receiver/tests/data/README.md` says what the columns mean.
const DIRECTIONS: &str = include_str!("../../tests/data/direction.tsv");

const LOCAL_AS: u32 = 64_500;
const OTHER_AS: u32 = 64_501;
const LOCAL: &str = "10.1.2.3";
const OTHER: &str = "192.0.2.7";

/// A DPI's marks as the settings have them by default.
const FROM: (u64, u64) = (2, 1);
const TO: (u64, u64) = (1, 2);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A block whose columns are set by name.
struct Block {
    stream: &'static Stream,
    columns: Vec<Column>,
}

impl Block {
    fn new(stream: &'static Stream, rows: usize) -> Block {
        let mut columns = stream.new_columns();
        columns.iter_mut().for_each(|column| column.push_defaults(rows));
        Block { stream, columns }
    }

    fn at(&self, name: &str) -> usize {
        let place = self.stream.inserted_columns().position(|column| column.name == name);
        place.unwrap_or_else(|| panic!("{} has no {name}", self.stream.name))
    }

    fn set(&mut self, name: &str, row: usize, value: u64) {
        let at = self.at(name);
        match &mut self.columns[at] {
            Column::U8(values) => values[row] = value as u8,
            Column::U16(values) => values[row] = value as u16,
            Column::U32(values) => values[row] = value as u32,
            Column::U64(values) => values[row] = value,
            other => panic!("{name} is {:?}", other.kind()),
        }
    }

    fn set_address(&mut self, end: &str, row: usize, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.set(&format!("{end}_ipv4"), row, address.to_bits().into()),
            IpAddr::V6(address) => {
                let at = self.at(&format!("{end}_ipv6"));
                let Column::Bytes16(values) = &mut self.columns[at] else { panic!("not an IPv6 column") };
                values[row] = address.octets();
            }
        }
    }

    fn set_texts(&mut self, name: &str, texts: &[&str]) {
        let mut column = BytesColumn::default();
        texts.iter().for_each(|text| column.push(text.as_bytes()));
        let at = self.at(name);
        self.columns[at] = Column::Bytes(column);
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let Column::Bytes(values) = &self.columns[self.at(name)] else { panic!("{name} is no text") };
        values.iter().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    }

    fn numbers(&self, name: &str) -> Vec<u64> {
        match &self.columns[self.at(name)] {
            Column::U8(values) => values.iter().map(|&value| value.into()).collect(),
            Column::U16(values) => values.iter().map(|&value| value.into()).collect(),
            Column::U32(values) => values.iter().map(|&value| value.into()).collect(),
            other => panic!("{name} is {:?}", other.kind()),
        }
    }

    fn enrich(&mut self, knowledge: &Knowledge) {
        Enricher::new(self.stream).enrich(&mut self.columns, knowledge);
    }
}

fn networks() -> Knowledge {
    Knowledge {
        asnum_local: Arc::new([LOCAL_AS].into_iter().collect()),
        subnets_local: Arc::new([(ip("10.0.0.0"), 8), (ip("2001:db8::"), 32)].into_iter().collect()),
        ..Knowledge::default()
    }
}

fn with_direction(direction: Direction) -> Knowledge {
    let mut knowledge = networks();
    knowledge.settings.direction = direction;
    knowledge
}

fn direction_of(name: &str) -> Direction {
    match name {
        "AsIs" => Direction::AsIs,
        "AS" => Direction::AS,
        "CIDR" => Direction::CIDR,
        "ASAndCIDR" => Direction::ASAndCIDR,
        "ASOrCIDR" => Direction::ASOrCIDR,
        other => panic!("{other}"),
    }
}

fn logins(rows: &[(&str, u8, &str)]) -> Arc<Logins> {
    let mut builder = LoginsBuilder::with_room(rows.len());
    for (address, length, login) in rows {
        builder.add(ip(address), *length, login.as_bytes()).unwrap();
    }
    Arc::new(builder.finish())
}

#[test]
fn every_row_of_the_truth_table() {
    let mut seen = 0;
    for line in DIRECTIONS.lines().skip(1) {
        let [mode, src_as, dst_as, src_cidr, dst_cidr, marks, direction, subscriber] =
            line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("{line}");
        };
        let mut knowledge = with_direction(direction_of(mode));
        // The side shows in the login.
        knowledge.subscribers = logins(&[
            (LOCAL, 32, "a"),
            (OTHER, 32, "b"),
            ("2001:db8::1", 128, "a"),
            ("2001:db9::1", 128, "b"),
        ]);
        for [local, other] in [[LOCAL, OTHER], ["2001:db8::1", "2001:db9::1"]] {
            let mut block = Block::new(schema::fullflow(), 2);
            for row in 0..2 {
                for (end, is_as, is_local) in
                    [("source", src_as, src_cidr), ("destination", dst_as, dst_cidr)]
                {
                    let number = format!("bgp_{end}_as_number");
                    block.set(&number, row, if is_as == "1" { LOCAL_AS } else { OTHER_AS }.into());
                    block.set_address(end, row, ip(if is_local == "1" { local } else { other }));
                }
                let (input, output) = match marks {
                    "from" => FROM,
                    "to" => TO,
                    _ => (3, 0),
                };
                block.set("input_snmp", row, input);
                block.set("output_snmp", row, output);
            }
            block.enrich(&knowledge);
            let expected =
                ["unknown", "from", "to", "local"].iter().position(|name| *name == direction).unwrap();
            assert_eq!(block.numbers("direction"), [expected as u64; 2], "{line}");
            let (is_as, is_local) = match subscriber {
                "source" => (src_as, src_cidr),
                "destination" => (dst_as, dst_cidr),
                _ => panic!("{line}"),
            };
            let flags = is_as.parse::<u64>().unwrap() + 2 * is_local.parse::<u64>().unwrap();
            assert_eq!(block.numbers("subscriber_flags"), [flags; 2], "{line}");
            let login = if is_local == "1" { "a" } else { "b" };
            assert_eq!(block.texts("login"), [login; 2], "{line}");
        }
        seen += 1;
    }
    assert_eq!(seen, 5 * 16 * 3);
}

#[test]
fn marks_are_as_configured() {
    let mut block = Block::new(schema::fullflow(), 4);
    for (row, (input, output)) in [(7, 9), (9, 7), (1, 2), (7 + (1 << 16), 9)].into_iter().enumerate() {
        block.set("input_snmp", row, input);
        block.set("output_snmp", row, output);
    }
    let mut knowledge = Knowledge::default();
    knowledge.settings.from_subscriber = Marks { input: 7, output: 9 };
    block.enrich(&knowledge);
    assert_eq!(block.numbers("direction"), [1, 2, 0, 0]);
}

/// Two equal marks cannot be turned round.
#[test]
fn equal_marks_say_only_from() {
    let mut block = Block::new(schema::fullflow(), 2);
    block.set("input_snmp", 0, 5);
    block.set("output_snmp", 0, 5);
    let mut knowledge = Knowledge::default();
    knowledge.settings.from_subscriber = Marks { input: 5, output: 5 };
    block.enrich(&knowledge);
    assert_eq!(block.numbers("direction"), [1, 0]);
}

#[test]
fn clickstream_knows_addresses_only() {
    let ends = [(LOCAL, OTHER), (OTHER, LOCAL), (LOCAL, LOCAL), (OTHER, OTHER)];
    for direction in
        [Direction::AsIs, Direction::AS, Direction::CIDR, Direction::ASAndCIDR, Direction::ASOrCIDR]
    {
        let mut block = Block::new(schema::clickstream(), 4);
        for (row, (source, destination)) in ends.into_iter().enumerate() {
            block.set_address("source", row, ip(source));
            block.set_address("destination", row, ip(destination));
        }
        let mut knowledge = with_direction(direction);
        knowledge.asnum_local = Arc::new([0].into_iter().collect());
        knowledge.asnum_exclude = knowledge.asnum_local.clone();
        knowledge.subnets_exclude = Arc::new([(ip(OTHER), 32)].into_iter().collect());
        block.enrich(&knowledge);
        let (directions, flags) = match direction {
            Direction::AsIs | Direction::AS => ([1, 1, 1, 1], [2, 8, 2, 8]),
            Direction::CIDR | Direction::ASAndCIDR | Direction::ASOrCIDR => ([1, 2, 3, 0], [2, 2, 2, 8]),
        };
        assert_eq!(block.numbers("direction"), directions, "{direction:?}");
        assert_eq!(block.numbers("subscriber_flags"), flags, "{direction:?}");
    }
}

#[test]
fn flags_are_those_of_the_subscribers_end() {
    let mut knowledge = networks();
    knowledge.asnum_exclude = Arc::new([OTHER_AS].into_iter().collect());
    knowledge.subnets_exclude = Arc::new([(ip(OTHER), 32), (ip("10.1.0.0"), 16)].into_iter().collect());
    for direction in [Direction::AsIs, Direction::AS, Direction::CIDR] {
        knowledge.settings.direction = direction;
        let mut block = Block::new(schema::fullflow(), 2);
        for (row, [source, destination]) in
            [["source", "destination"], ["destination", "source"]].iter().enumerate()
        {
            block.set_address(source, row, ip(LOCAL));
            block.set(&format!("bgp_{source}_as_number"), row, LOCAL_AS.into());
            block.set_address(destination, row, ip(OTHER));
            block.set(&format!("bgp_{destination}_as_number"), row, OTHER_AS.into());
        }
        // The first record comes from the subscriber, the second goes to it; then the marks lie.
        for swapped in [false, true] {
            for row in 0..2 {
                let is_from = (row == 0) != swapped;
                let (input, output) = if is_from { FROM } else { TO };
                block.set("input_snmp", row, input);
                block.set("output_snmp", row, output);
            }
            for name in ["direction", "subscriber_flags"] {
                (0..2).for_each(|row| block.set(name, row, 0));
            }
            block.enrich(&knowledge);
            let flags = if swapped && direction == Direction::AsIs { 4 + 8 } else { 1 + 2 + 8 };
            assert_eq!(block.numbers("subscriber_flags"), [flags; 2], "{direction:?} {swapped}");
        }
    }
}

/// Rows: login and channel, only one, none of them.
fn with_channels(stream: &'static Stream) -> Block {
    let mut block = Block::new(stream, 4);
    block.set_texts("login", &["ann", "", "bob", ""]);
    block.set("bridge_vchannel_num", 0, 7);
    block.set("bridge_vchannel_num", 1, 65_535);
    block
}

#[test]
fn logins_from_channels() {
    use LoginFromChannelMode::{Always, IfEmpty, Never};
    for stream in [schema::fullflow(), schema::clickstream(), schema::dnsflow()] {
        for (mode, names, expected, from) in [
            (Never, false, ["ann", "", "bob", ""], [0, 0, 0, 0]),
            (Never, true, ["ann", "", "bob", ""], [0, 0, 0, 0]),
            (Always, false, ["7", "65535", "bob", ""], [1, 1, 0, 0]),
            (Always, true, ["seven", "65535", "bob", ""], [1, 1, 0, 0]),
            (IfEmpty, false, ["ann", "65535", "bob", ""], [0, 1, 0, 0]),
            (IfEmpty, true, ["ann", "65535", "bob", ""], [0, 1, 0, 0]),
        ] {
            let mut knowledge = Knowledge {
                channels: Arc::new([(7, "seven"), (0, "zero")].into_iter().collect()),
                ..Knowledge::default()
            };
            knowledge.settings.login_from_channel = mode;
            knowledge.settings.channel_names = names;
            let mut block = with_channels(stream);
            block.enrich(&knowledge);
            assert_eq!(block.texts("login"), expected, "{} {mode:?} {names}", stream.name);
            assert_eq!(block.numbers("login_from"), from, "{} {mode:?} {names}", stream.name);
        }
    }
}

#[test]
fn subscribers_fill_what_is_still_empty() {
    for stream in [schema::fullflow(), schema::clickstream(), schema::dnsflow()] {
        let mut knowledge = Knowledge {
            subscribers: logins(&[(LOCAL, 32, "dora"), (OTHER, 32, "")]),
            ..Knowledge::default()
        };
        knowledge.settings.login_from_channel = LoginFromChannelMode::Always;
        let mut block = with_channels(stream);
        (0..4).for_each(|row| block.set_address("source", row, ip(LOCAL)));
        let mut other = Block::new(stream, 1);
        other.set_address("source", 0, ip(OTHER));
        // One enricher: what is left of a block must not be in the next.
        let mut enricher = Enricher::new(stream);
        enricher.enrich(&mut block.columns, &knowledge);
        enricher.enrich(&mut other.columns, &knowledge);
        assert_eq!(block.texts("login"), ["7", "65535", "bob", "dora"], "{}", stream.name);
        assert_eq!(block.numbers("login_from"), [1, 1, 0, 2], "{}", stream.name);
        assert_eq!((other.texts("login"), other.numbers("login_from")), (vec![String::new()], vec![0]));
    }
}

#[test]
fn the_subscriber_of_a_translation_is_its_source() {
    let knowledge = Knowledge {
        subscribers: logins(&[(LOCAL, 32, "dora")]),
        version: 17,
        ..with_direction(Direction::CIDR)
    };
    for (stream, event) in [(schema::natflow(), 0), (schema::nat_from_fullflow(), 1)] {
        let mut block = Block::new(stream, 3);
        block.set_texts("login", &["", "ann", ""]);
        block.set_address("source", 0, ip(LOCAL));
        block.set_address("source", 1, ip(LOCAL));
        block.set_address("destination", 2, ip(LOCAL));
        block.enrich(&knowledge);
        assert_eq!(block.texts("login"), ["dora", "ann", ""]);
        assert_eq!(block.numbers("login_from"), [2, 0, 0]);
        assert_eq!(block.numbers("nat_event"), [event; 3]);
        assert_eq!(block.numbers("dictionary_version"), [17; 3]);
    }
}

#[test]
fn hosts_have_the_category_of_their_domain() {
    let mut hosts = HostCategories::default();
    hosts.add(b"example.com", 40_000).unwrap();
    let knowledge = Knowledge { hosts: Arc::new(hosts), ..Knowledge::default() };
    for stream in [schema::fullflow(), schema::clickstream()] {
        let mut block = Block::new(stream, 3);
        block.set_texts("host", &["www.Example.com:8080", "", "example.org"]);
        block.enrich(&knowledge);
        assert_eq!(block.numbers("host_category"), [40_000, 0, 0], "{}", stream.name);
    }
}

#[test]
fn what_is_known_stands_in_every_row() {
    let mut knowledge = Knowledge { version: 3, ..Knowledge::default() };
    for (unit, expected) in [(RttUnit::Milliseconds, 1000), (RttUnit::Microseconds, 1)] {
        knowledge.settings.rtt_unit = unit;
        let mut block = Block::new(schema::fullflow(), 2);
        block.enrich(&knowledge);
        assert_eq!(block.numbers("rtt_unit"), [expected; 2]);
        assert_eq!(block.numbers("dictionary_version"), [3; 2]);
    }
}

/// Whatever stream it is, every column has as many rows as before, and a block without rows is nothing special.
#[test]
fn blocks_keep_their_shape() {
    let mut knowledge = with_direction(Direction::ASOrCIDR);
    knowledge.subscribers = logins(&[("0.0.0.0", 0, "four"), ("::", 0, "six")]);
    for &stream in schema::streams().iter().chain([&schema::nat_from_fullflow()]) {
        let mut enricher = Enricher::new(stream);
        for rows in [0, 3, 1, 5] {
            let mut block = Block::new(stream, rows);
            enricher.enrich(&mut block.columns, &knowledge);
            assert!(block.columns.iter().all(|column| column.len() == rows), "{} {rows}", stream.name);
        }
    }
}
