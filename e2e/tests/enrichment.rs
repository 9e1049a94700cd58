//! What is made of records while they are stored, as SQL sees it: every row of the table of directions, a
//! dictionary that changes a hundred times while records flow, rows of natflow from fullflow records through
//! kills. The test writes versions of dictionaries into the database itself, as fast as it likes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use crds::enrichment::{Direction, LoginFromChannelMode};
use crds::receiver::EnrichmentConfig;
use e2e::exporter::Exporter;
use e2e::{
    Sending, Sent, Simulator, System, SystemOptions, assert_balanced, assert_stored_exactly, wait_for,
};
use ipfix::{Element, FieldSpec, Template};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LONG: Duration = Duration::from_secs(600);

/// Makes a version of a dictionary current; `rows` are SQL tuples of its fields. Without an object's name, as
/// nobody else may think that it is an object's.
fn load(system: &System, version: u32, dictionary: &str, rows: &[&str]) {
    let rows: Vec<String> = rows.iter().map(|row| format!("({version}, [], {row})")).collect();
    if !rows.is_empty() {
        system.query(&format!("INSERT INTO qoestor.{dictionary}_rows VALUES {}", rows.join(", ")));
    }
    system.query(&format!(
        "INSERT INTO qoestor.dictionary_versions VALUES ({version}, '{dictionary}', now(), {}, 0, 'v{version}', [])",
        rows.len()
    ));
}

/// Tells the receiver to look, and waits until this version is in force.
fn wait_for_version(system: &System, version: u32) {
    kill(Pid::from_raw(system.receiver_pid().try_into().unwrap()), Signal::SIGHUP).unwrap();
    wait_for("the version", LONG, || (system.status().dictionaries.version >= version).then_some(()));
}

/// Changes the settings of a running receiver.
fn set(system: &mut System, enrichment: EnrichmentConfig) {
    let swaps = |system: &System| -> u64 {
        let text = system.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix("qoe_receiver_dictionary_swaps_total "));
        line.unwrap().parse().unwrap()
    };
    if system.config.enrichment == enrichment {
        return;
    }
    let before = swaps(system);
    system.config.enrichment = enrichment;
    system.reload();
    wait_for("the settings", LONG, || (swaps(system) > before).then_some(()));
}

/// A row of the table of directions.
struct Case {
    mode: Direction,
    source: (bool, bool),
    destination: (bool, bool),
    marks: (u16, u16),
    direction: String,
    subscriber_is_source: bool,
}

fn cases() -> Vec<Case> {
    let table = include_str!("../../receiver/tests/data/direction.tsv");
    let mut cases = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [mode, src_as, dst_as, src_cidr, dst_cidr, marks, direction, subscriber] = fields[..] else {
            panic!("{line}")
        };
        cases.push(Case {
            mode: serde_json::from_value(mode.into()).unwrap(),
            source: (src_as == "1", src_cidr == "1"),
            destination: (dst_as == "1", dst_cidr == "1"),
            marks: match marks {
                "from" => (2, 1),
                "to" => (1, 2),
                _ => (0, 0),
            },
            direction: direction.to_string(),
            subscriber_is_source: subscriber == "source",
        });
    }
    assert_eq!(cases.len(), 5 * 48);
    cases
}

/// The last two labels of a host's name.
const DOMAIN: &str = "arrayStringConcat(arraySlice(splitByChar('.', host), -2), '.')";

/// The commonest domains of the hosts that are stored, quoted.
fn common_domains(system: &System) -> Vec<String> {
    let counted = format!(
        "SELECT {DOMAIN} AS domain FROM qoestor.fullflow WHERE host LIKE '%.%' GROUP BY domain \
         ORDER BY count() DESC LIMIT 20"
    );
    system.query(&counted).lines().map(|domain| format!("'{domain}'")).collect()
}

const OWN: u32 = 0x0a00_0001;
const OTHER: u32 = 0xc633_6401;

#[test]
fn every_row_of_the_table_of_directions_is_stored_so() {
    let mut system = System::start(&SystemOptions::default());
    load(&system, 1, "asnum_local", &["64500, 'LOCAL'"]);
    load(&system, 2, "subnets_local", &["'10.0.0.0/8', 'LOCAL'"]);
    load(&system, 3, "subscribers", &["'10.0.0.1/32', 'from the list', 1, 'p', '', '', '', '', ''"]);
    wait_for_version(&system, 3);
    let field = |id, length| FieldSpec::new(Element::iana(id), length);
    let fields = [(8, 4), (12, 4), (16, 4), (17, 4), (10, 2), (14, 2), (7, 2), (11, 2)];
    let mut fields: Vec<FieldSpec> = fields.into_iter().map(|(id, length)| field(id, length)).collect();
    fields.push(FieldSpec::new(Element::vas_experts(2000), 8));
    let template = Template::new(256, 0, fields);
    let cases = cases();
    let mut connection = TcpStream::connect(system.address(0)).unwrap();
    let mut exporter = Exporter::new(1);
    for (number, case) in cases.iter().enumerate() {
        let enrichment = EnrichmentConfig { direction: case.mode, ..EnrichmentConfig::default() };
        if system.config.enrichment != enrichment {
            // What was sent before is stored by the mode before.
            wait_for("the rows so far", LONG, || (system.stored(0).rows == number as u64).then_some(()));
            set(&mut system, enrichment);
        }
        let message = exporter.message(|builder| {
            builder.template(&template);
            builder.begin_data(256);
            for (_, own) in [case.source, case.destination] {
                builder.put_u32(if own { OWN } else { OTHER });
            }
            for (own, _) in [case.source, case.destination] {
                builder.put_u32(if own { 64_500 } else { 64_999 });
            }
            builder.put_u16(case.marks.0);
            builder.put_u16(case.marks.1);
            builder.put_u16(1_111);
            builder.put_u16(2_222);
            builder.put_u64(number as u64);
            builder.end_record();
        });
        connection.write_all(&message).unwrap();
    }
    drop(connection);
    wait_for("all rows", LONG, || (system.stored(0).rows == cases.len() as u64).then_some(()));
    let stored = system.query(
        "SELECT direction, IPv4NumToString(subscriber_ipv4), IPv4NumToString(host_ipv4), subscriber_port, \
         host_port, subscriber_flags, login, login_from, dictionary_version FROM qoestor.fullflow ORDER BY session_id",
    );
    for (case, stored) in cases.iter().zip(stored.lines()) {
        let address = |own: bool| if own { "10.0.0.1" } else { "198.51.100.1" };
        let (subscriber, host, ports) = match case.subscriber_is_source {
            true => (case.source, case.destination, "1111\t2222"),
            false => (case.destination, case.source, "2222\t1111"),
        };
        let flags = u8::from(subscriber.0) + 2 * u8::from(subscriber.1);
        let login = if subscriber.1 { "from the list\tsubscribers" } else { "\trecord" };
        let expected = format!(
            "{}\t{}\t{}\t{ports}\t{flags}\t{login}\t3",
            case.direction,
            address(subscriber.1),
            address(host.1)
        );
        assert_eq!(stored, expected, "{:?} {:?} {:?}", case.mode, case.source, case.destination);
    }
}

#[test]
fn a_dictionary_changes_a_hundred_times_under_a_million_records() {
    const SWAPS: u32 = 100;
    let system = System::start(&SystemOptions {
        configure: Some(Box::new(|config| config.dpis[0].max_delay_ms = 50)),
        ..SystemOptions::default()
    });
    let (to, few) = (system.address(0), ["--hosts", "1000", "--subscribers", "5000"]);
    let first = Simulator::start(&[&["--to", &to, "--records", "20000"], &few[..]].concat()).finish(LONG);
    system.wait_until_stored(0);
    let domains = common_domains(&system);
    let sending = Sending::start_with(&to, 30_000, 77, &few);
    for version in 1..=SWAPS {
        // The version's number is every host's category.
        let rows: Vec<String> = domains.iter().map(|domain| format!("{domain}, {version}")).collect();
        load(&system, version, "urlcats_host", &rows.iter().map(String::as_str).collect::<Vec<_>>());
        wait_for_version(&system, version);
    }
    wait_for("a million records", LONG, || (system.stored(0).rows >= 1_000_000).then_some(()));
    let mut runs = sending.finish();
    let status = system.wait_until_stored(0);
    assert_balanced(&status);
    assert_eq!(status.sequence.missing, 0, "{status:?}");
    runs.push(first);
    assert_stored_exactly(&system, 0, &runs);
    let known = format!("{DOMAIN} IN ({})", domains.join(", "));
    assert!(system.number(&format!("SELECT count() FROM qoestor.fullflow WHERE {known}")) > 50_000);
    // Before the first version there is none, and no category.
    let wrong = format!(
        "SELECT count() FROM qoestor.fullflow WHERE host_category != if({known}, dictionary_version, 0)"
    );
    assert_eq!(system.number(&wrong), 0);
    let versions = system.number("SELECT uniqExact(dictionary_version) FROM qoestor.fullflow");
    assert!(versions > 50, "only {versions} versions were seen by records");
    // A frame's rows are of one version, and no later frame is of an earlier one.
    let backwards = "SELECT countIf(least != greatest), countIf(least < before) FROM (SELECT *, \
                     lagInFrame(greatest) OVER (ORDER BY received_at) AS before FROM (SELECT received_at, \
                     min(dictionary_version) AS least, max(dictionary_version) AS greatest \
                     FROM qoestor.fullflow GROUP BY received_at))";
    assert_eq!(system.query(backwards), "0\t0");
}

#[test]
fn a_start_without_a_server_is_enriched_by_what_was_fetched_before() {
    let mut system = System::start(&SystemOptions::default());
    load(&system, 1, "subnets_local", &["'10.0.0.0/8', 'LOCAL'"]);
    load(&system, 2, "vchannel_name", &["1, 'north'"]);
    wait_for_version(&system, 2);
    system.stop_receiver();
    system.kill_clickhouse();
    system.config.enrichment = EnrichmentConfig {
        direction: Direction::CIDR,
        login_from_channel: LoginFromChannelMode::Always,
        channel_names: true,
        ..EnrichmentConfig::default()
    };
    system.start_receiver();
    assert_eq!(system.status().dictionaries.version, 2);
    let sent = Simulator::start(&["--to", &system.address(0), "--records", "20000"]).finish(LONG);
    system.start_clickhouse();
    system.wait_until_stored(0);
    assert_stored_exactly(&system, 0, &[sent]);
    let is_own = |side: &str| format!("bitShiftRight(toUInt32({side}_ipv4), 24) = 10");
    let direction = format!(
        "multiIf({0} AND {1}, 'local', {0}, 'from', {1}, 'to', \
         input_snmp = 2, 'from', input_snmp = 1, 'to', 'unknown')",
        is_own("source"),
        is_own("destination")
    );
    let login = "multiIf(bridge_vchannel_num = 1, 'north', bridge_vchannel_num > 0, \
                 toString(bridge_vchannel_num), login)";
    let wrong = format!(
        "SELECT count() FROM qoestor.fullflow WHERE dictionary_version != 2 OR toString(direction) != {direction} \
         OR login != {login}"
    );
    assert_eq!(system.number(&wrong), 0);
    assert!(system.number("SELECT count() FROM qoestor.fullflow WHERE direction = 'from'") > 5_000);
}

#[test]
fn natflow_from_fullflow_is_exact_through_kills() {
    let mut system = System::start(&SystemOptions {
        configure: Some(Box::new(|config| config.enrichment.nat_from_fullflow = true)),
        ..SystemOptions::default()
    });
    let mut runs: Vec<Sent> = Vec::new();
    for seed in ["1", "2", "3"] {
        let run = ["--to", &system.address(0), "--records", "60000", "--seed", seed, "--rate", "60000"];
        runs.push(Simulator::start(&run).finish(LONG));
        std::thread::sleep(Duration::from_millis(300 * runs.len() as u64));
        system.kill_receiver();
        system.start_receiver();
    }
    let status = wait_for("both readers", LONG, || {
        let status = system.wait_until_stored(0);
        let nat = status.nat.clone().unwrap();
        (nat.waiting == 0 && nat.decoded == status.destination.decoded).then_some(status)
    });
    assert_stored_exactly(&system, 0, &runs);
    let nat = status.nat.unwrap();
    let filtered: u64 = nat.filtered.values().sum();
    assert_eq!(nat.decoded, nat.stored + filtered, "{nat:?}");
    assert!(nat.stored > 0 && filtered > 0, "{nat:?}");
    let columns = "session_id, login, protocol_identifier, source_ipv4, source_port, post_nat_source_ipv4, \
                   post_nat_source_port, destination_ipv4, destination_port";
    let made = format!(
        "SELECT count(), sum(cityHash64({columns}, event_millisecond)) FROM qoestor.natflow WHERE nat_event = 1"
    );
    let expected = format!(
        "SELECT count(), sum(cityHash64({columns}, flow_start_millisecond)) FROM qoestor.fullflow \
         WHERE post_nat_source_ipv4 != toIPv4('0.0.0.0')"
    );
    assert_eq!(system.query(&made), system.query(&expected));
    assert_eq!(system.number("SELECT count() FROM qoestor.natflow"), nat.stored);
    // There may be no time for the last row at the stop; the next start has it.
    system.stop_receiver();
    system.start_receiver();
    let ledger = "SELECT sum(records_decoded), sum(records_stored), sum(records_filtered), sum(messages_arrived) \
                  FROM qoestor.ledger WHERE stream = 'fullflow to natflow'";
    let expected = format!("{}\t{}\t{filtered}\t0", nat.decoded, nat.stored);
    wait_for(&format!("{expected} in the ledger"), LONG, || (system.query(ledger) == expected).then_some(()));
}

#[test]
fn sites_may_share_private_addresses() {
    let system = System::start(&SystemOptions::default());
    for (row, dpis) in [("'north'", "[0]"), ("'south'", "[1, 7]")] {
        system.query(&format!(
            "INSERT INTO qoestor.subscribers_rows (version, dpis, address, login) VALUES (1, {dpis}, '10.0.0.0/8', {row})"
        ));
    }
    system.query("INSERT INTO qoestor.dictionary_versions VALUES (1, 'subscribers', now(), 2, 0, 'v1', [])");
    wait_for_version(&system, 1);
    let template =
        Template::new(256, 0, vec![FieldSpec::new(Element::iana(8), 4), FieldSpec::new(Element::iana(1), 8)]);
    let message = Exporter::new(1).message(|builder| {
        builder.template(&template);
        builder.begin_data(256);
        builder.put_u32(OWN);
        builder.put_u64(1);
        builder.end_record();
    });
    TcpStream::connect(system.address(0)).unwrap().write_all(&message).unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&message, system.address(1)).unwrap();
    wait_for("both records", LONG, || {
        (system.number("SELECT count() FROM qoestor.fullflow") == 2).then_some(())
    });
    let logins = system.query("SELECT dpi_id, login, login_from FROM qoestor.fullflow ORDER BY dpi_id");
    assert_eq!(logins, "0\tnorth\tsubscribers\n1\tsouth\tsubscribers");
}
