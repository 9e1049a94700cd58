//! Aggregates against the raw rows, by SQL: every measure of every group, through kills, and what the rules leave out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crds::enrichment::{Direction, HostName, SubscriberFilter};
use crds::receiver::EnrichmentConfig;
use crds::{CustomElement, ElementType, StreamType};
use e2e::exporter::Exporter;
use e2e::{Simulator, System, SystemOptions, wait_for};
use ipfix::{Element, FieldSpec, Template};

const LONG: Duration = Duration::from_secs(600);
const ALL: &str =
    r#"{"fullflow_agg": {}, "clickstream_agg": {}, "gtpflow_agg": {}, "natflow_agg": {}, "dnsflow_agg": {}}"#;

/// What `fullflow_agg` should hold, from the raw rows; the bucket is that of the declaration, computed otherwise.
const FULLFLOW_FROM_RAW: &str = "
SELECT toStartOfInterval(toDateTime(flow_start_millisecond), INTERVAL 15 MINUTE) AS t, dpi_id, toString(login),
    subscriber_ipv4, IPv6CIDRToRange(subscriber_ipv6, 64).1, bridge_vchannel_num, lower(toString(host)), host_category,
    if(direction = 'to', bgp_destination_as_number, bgp_source_as_number),
    if(direction = 'to', bgp_source_as_number, bgp_destination_as_number),
    protocol_code, toUInt8(bitShiftRight(ip_class_of_service, 5)),
    count(), countIf(direction != 'to'), countIf(direction = 'to'),
    sumIf(octet_delta_count, direction != 'to'), sumIf(octet_delta_count, direction = 'to'),
    sumIf(packet_delta_count, direction != 'to'), sumIf(packet_delta_count, direction = 'to'),
    sumIf(repeat_delta_pack, direction != 'to'), sumIf(repeat_delta_pack, direction = 'to'),
    sum(frgmt_delta_packs), sum(dropped_bytes), sum(dropped_packets),
    countIf(rtt_us > 0 AND direction != 'to'), sumIf(coalesce(rtt_us, 0), direction != 'to'),
    coalesce(minIf(rtt_us, direction != 'to'), 0), coalesce(maxIf(rtt_us, direction != 'to'), 0),
    sumMapIf(map(toUInt8(doublings * 8 + intDiv(rtt * 8, exp2(doublings)) - 8), toUInt64(1)), rtt_us > 0 AND direction != 'to'),
    countIf(rtt_us > 0 AND direction = 'to'), sumIf(coalesce(rtt_us, 0), direction = 'to'),
    coalesce(minIf(rtt_us, direction = 'to'), 0), coalesce(maxIf(rtt_us, direction = 'to'), 0),
    sumMapIf(map(toUInt8(doublings * 8 + intDiv(rtt * 8, exp2(doublings)) - 8), toUInt64(1)), rtt_us > 0 AND direction = 'to')
FROM (SELECT *, direction, rtt_us, subscriber_ipv4, subscriber_ipv6, toUInt64(packet_deliver_time) * rtt_unit AS rtt,
    floor(log2(greatest(rtt, 1))) AS doublings FROM qoestor.fullflow)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12";

const MEASURES: &str = "sum(records), sum(flows_from), sum(flows_to), sum(octets_from), sum(octets_to),
    sum(packets_from), sum(packets_to), sum(retransmits_from), sum(retransmits_to), sum(fragments),
    sum(dropped_octets), sum(dropped_packets), sum(rtt_from_count), sum(rtt_from_sum),
    coalesce(min(rtt_from_min), 0), coalesce(max(rtt_from_max), 0), sumMap(rtt_from_histogram),
    sum(rtt_to_count), sum(rtt_to_sum), coalesce(min(rtt_to_min), 0), coalesce(max(rtt_to_max), 0),
    sumMap(rtt_to_histogram)";

fn wide() -> String {
    format!(
        "SELECT time, dpi_id, toString(login), subscriber_ipv4, subscriber_ipv6, bridge_vchannel_num, toString(host), \
         host_category, subscriber_as, host_as, protocol_code, traffic_class, {MEASURES} \
         FROM qoestor.fullflow_agg GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"
    )
}

/// The answers have the same rows.
fn assert_same(system: &System, one: &str, other: &str) {
    for (left, right) in [(one, other), (other, one)] {
        let more = system.query(&format!(
            "SELECT * FROM (SELECT * FROM ({left}) EXCEPT SELECT * FROM ({right})) ORDER BY ALL LIMIT 3"
        ));
        assert_eq!(more, "", "only in\n{left}\n and not in\n{right}");
    }
    assert_ne!(system.number(&format!("SELECT count() FROM ({one})")), 0, "{one}");
}

fn elements() -> Vec<CustomElement> {
    let element = |id, element_type, column: &str| CustomElement {
        stream: StreamType::DnsFlow,
        id,
        pen: 43_823,
        name: column.to_string(),
        element_type,
        column: column.to_string(),
    };
    vec![element(3601, ElementType::String, "dns_host"), element(3602, ElementType::UInt16, "dns_type")]
}

#[test]
fn every_measure_of_every_group_is_that_of_the_raw_rows() {
    let mut system = System::start_streams(
        &SystemOptions {
            tables: Some(ALL),
            configure: Some(Box::new(|config| config.enrichment.host = HostName::FullName)),
        },
        elements(),
    );
    let mut runs = Vec::new();
    for (stream, records) in [
        ("fullflow", "300000"),
        ("clickstream", "100000"),
        ("gtpflow", "50000"),
        ("natflow", "50000"),
        ("dnsflow", "50000"),
    ] {
        let to = system.address_of(0, stream);
        let run = [
            "--to",
            &to,
            "--stream",
            stream,
            "--records",
            records,
            "--subscribers",
            "2000",
            "--hosts",
            "20000",
        ];
        runs.push((stream, Simulator::start(&run)));
    }
    for (stream, run) in runs {
        let sent = run.finish(LONG);
        wait_for("the last bytes", LONG, || {
            (system.stream_of(0, stream).wire.connections == 0).then_some(())
        });
        let status = system.wait_until_aggregated(0, stream);
        for aggregate in &status.aggregates {
            assert_eq!(aggregate.destination.table, format!("{stream}_agg"));
            assert_eq!(
                (aggregate.destination.stored, aggregate.clock_skew),
                (sent.records, 0),
                "{aggregate:?}"
            );
        }
    }
    assert_same(&system, FULLFLOW_FROM_RAW, &wide());
    for (table, keys, interval) in [
        ("fullflow_by_protocol", "protocol_code", "15 MINUTE"),
        ("fullflow_by_as", "host_as", "15 MINUTE"),
        ("fullflow_by_channel", "bridge_vchannel_num", "15 MINUTE"),
        ("fullflow_by_category", "host_category", "15 MINUTE"),
        ("fullflow_by_subscriber", "toString(login), subscriber_ipv4, subscriber_ipv6", "1 HOUR"),
    ] {
        let of = |table: &str| {
            format!(
                "SELECT toStartOfInterval(time, INTERVAL {interval}), dpi_id, ({keys}), {MEASURES} \
                 FROM qoestor.{table} GROUP BY 1, 2, 3"
            )
        };
        assert_same(&system, &of(table), &of("fullflow_agg"));
        assert_eq!(
            system.number(&format!(
                "SELECT countIf(time != toStartOfInterval(time, INTERVAL {interval})) FROM qoestor.{table}"
            )),
            0
        );
    }
    assert_same(
        &system,
        "SELECT toStartOfMinute(toDateTime(flow_start_millisecond)), dpi_id, count(), sum(octet_delta_count) \
         FROM qoestor.fullflow GROUP BY 1, 2",
        "SELECT time, dpi_id, sum(records), sum(octets_from) + sum(octets_to) FROM qoestor.fullflow_totals GROUP BY 1, 2",
    );
    assert_same(
        &system,
        "SELECT toStartOfInterval(time, INTERVAL 15 MINUTE), toString(login), subscriber_ipv4, \
         IPv6CIDRToRange(subscriber_ipv6, 64).1, bridge_vchannel_num, lower(toString(host)), host_category, host_type, count(), countIf(locked != 0) \
         FROM qoestor.clickstream GROUP BY 1, 2, 3, 4, 5, 6, 7, 8",
        "SELECT time, toString(login), subscriber_ipv4, subscriber_ipv6, bridge_vchannel_num, toString(host), \
         host_category, host_type, sum(records), sum(blocked) FROM qoestor.clickstream_agg GROUP BY 1, 2, 3, 4, 5, 6, 7, 8",
    );
    let of = |time: &str, table: &str, count: &str, keys: &str| {
        format!(
            "SELECT toStartOfInterval({time}, INTERVAL 15 MINUTE), {keys}, {count} FROM qoestor.{table} GROUP BY ALL"
        )
    };
    for (raw, table, time, keys) in [
        (
            "gtpflow",
            "gtpflow_agg",
            "time",
            "gtp_version, request_type, response_type, cause, sgw_control_ipv4, pgw_control_ipv4",
        ),
        (
            "natflow",
            "natflow_agg",
            "toDateTime(event_millisecond)",
            "post_nat_source_ipv4, post_nat_source_port, toString(login), source_ipv4, source_port, destination_ipv4, \
             destination_port, protocol_identifier, nat_event, session_id",
        ),
        (
            "dnsflow",
            "dnsflow_agg",
            "time",
            "toString(login), source_ipv4, IPv6CIDRToRange(source_ipv6, 64).1, toString(dns_host), dns_type, bridge_vchannel_num",
        ),
    ] {
        assert_same(&system, &of(time, raw, "count()", keys), &of("time", table, "sum(records)", keys));
    }

    // The ledger has a row for each flush.
    system.stop_receiver();
    let ledger = system.query(
        "SELECT sum(records_decoded), sum(records_stored), sum(records_filtered) FROM qoestor.ledger \
         WHERE stream = 'fullflow to fullflow_agg'",
    );
    assert_eq!(ledger, "300000\t300000\t0");
}

/// The simulator's realistic stream with its defaults: 100,000 subscribers of whom one in twenty is active, a million
/// hosts.
#[test]
fn aggregates_are_a_sixth_and_a_third_of_the_raw_rows() {
    const RECORDS: u64 = 1_000_000;
    let streams = [("fullflow", 6, "4711"), ("clickstream", 3, "815")];
    let mut system = System::start_streams(
        &SystemOptions {
            tables: Some(r#"{"fullflow_agg": {}, "clickstream_agg": {}}"#),
            // However slow the machine is, nothing is flushed for its age before all is gathered.
            configure: Some(Box::new(|config| config.dpis[0].flush_interval_ms = Some(3_600_000))),
        },
        Vec::new(),
    );
    for (stream, _, seed) in streams {
        let to = system.address_of(0, stream);
        let records = RECORDS.to_string();
        let run = ["--to", &to, "--stream", stream, "--records", &records, "--seed", seed];
        assert_eq!(Simulator::start(&run).finish(LONG).records, RECORDS);
        wait_for("the last bytes", LONG, || {
            (system.stream_of(0, stream).wire.connections == 0).then_some(())
        });
        wait_for("all records gathered", LONG, || {
            (system.stream_of(0, stream).aggregates[0].destination.decoded == RECORDS).then_some(())
        });
    }
    system.config.dpis[0].flush_interval_ms = Some(1);
    system.reload();
    for (stream, ..) in streams {
        system.wait_until_aggregated(0, stream);
    }
    for when in ["before", "after"] {
        for (stream, part, _) in streams {
            let raw = system.number(&format!("SELECT count() FROM qoestor.{stream}"));
            let records = system.number(&format!("SELECT sum(records) FROM qoestor.{stream}_agg"));
            assert_eq!((raw, records), (RECORDS, RECORDS), "{stream}");
            let rows = system.number(&format!("SELECT count() FROM qoestor.{stream}_agg"));
            println!("{stream}: {rows} rows {when} OPTIMIZE, one for {} records", raw as f64 / rows as f64);
            assert!(rows * part <= raw, "{stream}: {rows} rows {when} OPTIMIZE, of {raw}");
            system.query(&format!("OPTIMIZE TABLE qoestor.{stream}_agg FINAL"));
        }
    }
}

#[test]
fn translations_of_fullflow_records_are_aggregated_beside_those_of_natflow() {
    let system = System::start_streams(
        &SystemOptions {
            tables: Some(
                r#"{"natflow_agg": {"interval": "5m", "keys": ["PostNATSourceIPv4", "Login", "EventType"]}}"#,
            ),
            configure: Some(Box::new(|config| config.enrichment.nat_from_fullflow = true)),
        },
        Vec::new(),
    );
    let sent = [("fullflow", 200_000), ("natflow", 50_000)].map(|(stream, records)| {
        let (to, records) = (system.address_of(0, stream), records.to_string());
        let run = ["--to", &to, "--stream", stream, "--records", &records, "--subscribers", "2000"];
        (stream, Simulator::start(&run).finish(LONG).records)
    });
    let balances = sent.map(|(stream, records)| {
        wait_for("the last bytes", LONG, || {
            (system.stream_of(0, stream).wire.connections == 0).then_some(())
        });
        let status = system.wait_until_aggregated(0, stream);
        assert_eq!(status.aggregates.len(), 1);
        let balance = status.aggregates.into_iter().next().unwrap().destination;
        assert_eq!((balance.table.as_str(), balance.decoded), ("natflow_agg", records), "{stream}");
        balance
    });
    let nat = wait_for("the rows of natflow", LONG, || {
        let nat = system.stream(0).nat.unwrap();
        (nat.waiting == 0 && nat.decoded == 200_000).then_some(nat)
    });
    let without = balances[0].filtered["no_translation"];
    assert!(without > 0 && nat.stored > 0, "{nat:?}");
    assert_eq!((balances[0].stored, balances[0].stored + without), (nat.stored, 200_000));
    assert_eq!(balances[1].stored, 50_000);
    let of = |time: &str, table: &str, count: &str| {
        format!(
            "SELECT toStartOfInterval({time}, INTERVAL 5 MINUTE), dpi_id, post_nat_source_ipv4, toString(login), \
             nat_event, {count} FROM qoestor.{table} GROUP BY 1, 2, 3, 4, 5"
        )
    };
    let raw = of("toDateTime(event_millisecond)", "natflow", "count()");
    assert_same(&system, &raw, &of("time", "natflow_agg", "sum(records)"));
    let all = system.number("SELECT count() FROM qoestor.natflow");
    assert_eq!(all, nat.stored + 50_000);
    let with_keys_that_are_off = system.number(
        "SELECT countIf(source_ipv4 != toIPv4('0.0.0.0') OR source_port != 0 OR session_id != 0 OR \
         destination_ipv4 != toIPv4('0.0.0.0') OR post_nat_source_port != 0 OR protocol_identifier != 0) \
         FROM qoestor.natflow_agg",
    );
    assert_eq!(with_keys_that_are_off, 0);
}

#[test]
fn a_hundred_kills_during_flushes_double_and_lose_nothing() {
    let mut system = System::start(&SystemOptions {
        tables: Some(r#"{"fullflow_agg": {"interval": "1m"}}"#),
        configure: Some(Box::new(|config| {
            config.dpis[0].max_delay_ms = 50;
            // A flush is always under way.
            config.dpis[0].flush_interval_ms = Some(2);
        })),
    });
    let to = system.address(0);
    let run =
        ["--to", &to, "--records", "3000000", "--rate", "40000", "--subscribers", "2000", "--hosts", "20000"];
    let simulator = Simulator::start(&run);
    let flushes = |system: &System| {
        system.number("SELECT count() FROM qoestor.ledger WHERE stream = 'fullflow to fullflow_agg'")
    };
    for kill in 0..100_u64 {
        std::thread::sleep(Duration::from_millis(37 * kill % 113));
        // On a machine with other work a life may be too short for a flush: every tenth waits for those that are missing.
        if kill % 10 == 9 {
            wait_for("a flush for each kill", LONG, || (flushes(&system) > kill + 1).then_some(()));
        }
        system.kill_receiver();
        system.start_receiver();
    }
    simulator.finish(LONG);
    wait_for("the last bytes", LONG, || (system.stream(0).wire.connections == 0).then_some(()));
    system.wait_until_aggregated(0, "fullflow");
    let raw = system.query("SELECT count(), sum(octet_delta_count) FROM qoestor.fullflow");
    for table in ["fullflow_agg", "fullflow_totals"] {
        let sums = format!("SELECT sum(records), sum(octets_from) + sum(octets_to) FROM qoestor.{table}");
        assert_eq!(system.query(&sums), raw, "{table}");
    }
    let of_raw = "SELECT toStartOfMinute(toDateTime(flow_start_millisecond)), toString(login), count(), \
                  sum(octet_delta_count), sum(packet_delta_count) FROM qoestor.fullflow GROUP BY 1, 2";
    let of_wide = "SELECT time, toString(login), sum(records), sum(octets_from + octets_to), \
                   sum(packets_from + packets_to) FROM qoestor.fullflow_agg GROUP BY 1, 2";
    assert_same(&system, of_raw, of_wide);
    let totals = |table: &str| {
        system.query(&format!(
            "SELECT sum(records), sum(octets_to), sum(rtt_to_sum), sumMap(rtt_to_histogram) FROM qoestor.{table}"
        ))
    };
    for narrow in ["fullflow_totals", "fullflow_by_protocol", "fullflow_by_subscriber"] {
        assert_eq!(totals(narrow), totals("fullflow_agg"), "{narrow}");
    }
    let flushes = flushes(&system);
    assert!(flushes > 100, "{flushes} flushes, and a hundred kills");
}

const OWN: u32 = 0x0a00_0001;
const OTHER: u32 = 0xc633_6401;
const QUARTER: u64 = 900;

/// All combinations of ends and marks that the table of directions has.
fn records() -> Vec<([bool; 4], (u16, u16))> {
    let mut records = Vec::new();
    for bits in 0..16_u8 {
        for marks in [(2, 1), (1, 2), (0, 0)] {
            records.push(([0, 1, 2, 3].map(|bit| bits >> bit & 1 == 1), marks));
        }
    }
    records
}

/// SQL about the subscriber's end: what a rule matches, by two bits of its flags.
fn matches(filter: SubscriberFilter, first: u8) -> String {
    let [by_as, by_address] = [first, first * 2].map(|bit| format!("bitAnd(subscriber_flags, {bit}) != 0"));
    match filter {
        SubscriberFilter::None => unreachable!(),
        SubscriberFilter::AS => by_as,
        SubscriberFilter::CIDR => by_address,
        SubscriberFilter::ASAndCIDR => format!("({by_as} AND {by_address})"),
        SubscriberFilter::ASOrCIDR => format!("({by_as} OR {by_address})"),
    }
}

#[test]
fn what_is_left_out_is_accounted_for_in_every_bucket() {
    let mut system =
        System::start(&SystemOptions { tables: Some(r#"{"fullflow_agg": {}}"#), ..SystemOptions::default() });
    // Half of the ends that are ours are excluded, and half of the others.
    system.query("INSERT INTO qoestor.asnum_local_rows VALUES (1, [], 64500, 'LOCAL')");
    system.query("INSERT INTO qoestor.subnets_local_rows VALUES (2, [], '10.0.0.0/8', 'LOCAL')");
    system.query("INSERT INTO qoestor.asnum_exclude_rows VALUES (3, [], 64500, ''), (3, [], 64999, '')");
    system.query("INSERT INTO qoestor.subnets_exclude_rows VALUES (4, [], '198.51.100.0/24', '')");
    for (version, name, rows) in
        [(1, "asnum_local", 1), (2, "subnets_local", 1), (3, "asnum_exclude", 2), (4, "subnets_exclude", 1)]
    {
        system.query(&format!(
            "INSERT INTO qoestor.dictionary_versions VALUES ({version}, '{name}', now(), {rows}, 0, 'v{version}', [])"
        ));
    }
    wait_for("the dictionaries", LONG, || (system.status().dictionaries.version >= 4).then_some(()));

    use Direction::{AS, ASAndCIDR, ASOrCIDR, AsIs, CIDR};
    let filters = [
        SubscriberFilter::None,
        SubscriberFilter::AS,
        SubscriberFilter::CIDR,
        SubscriberFilter::ASAndCIDR,
        SubscriberFilter::ASOrCIDR,
    ];
    let field = |id, length| FieldSpec::new(Element::iana(id), length);
    let fields = [(8, 4), (12, 4), (16, 4), (17, 4), (10, 2), (14, 2), (152, 8), (1, 8)];
    let template = Template::new(256, 0, fields.into_iter().map(|(id, length)| field(id, length)).collect());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let first_bucket = now / QUARTER * QUARTER - 40 * QUARTER;
    let mut connection = TcpStream::connect(system.address(0)).unwrap();
    let mut exporter = Exporter::new(1);
    let mut combinations = Vec::new();
    for direction in [AsIs, AS, CIDR, ASAndCIDR, ASOrCIDR] {
        for (index, filter) in filters.into_iter().enumerate() {
            combinations.push((direction, filter, filters[(index * 2) % 5]));
        }
    }
    let records = records();
    let mut sent = 0;
    for (number, (direction, filter, exclude)) in combinations.iter().enumerate() {
        set(
            &mut system,
            EnrichmentConfig {
                direction: *direction,
                subscriber_filter: *filter,
                subscriber_exclude: *exclude,
                ..EnrichmentConfig::default()
            },
        );
        let bucket = first_bucket + number as u64 * QUARTER;
        let message = exporter.message(|builder| {
            builder.template(&template);
            builder.begin_data(256);
            for ([source_as, destination_as, source, destination], marks) in &records {
                for own in [source, destination] {
                    builder.put_u32(if *own { OWN } else { OTHER });
                }
                for own in [source_as, destination_as] {
                    builder.put_u32(if *own { 64_500 } else { 64_998 });
                }
                builder.put_u16(marks.0);
                builder.put_u16(marks.1);
                builder.put_u64((bucket + 7) * 1000);
                builder.put_u64(100);
                builder.end_record();
            }
        });
        connection.write_all(&message).unwrap();
        sent += records.len() as u64;
        wait_for("the rows", LONG, || (system.stored(0).rows == sent).then_some(()));
        system.wait_until_aggregated(0, "fullflow");
    }
    let mut left_out = [0, 0];
    for (number, (direction, filter, exclude)) in combinations.iter().enumerate() {
        let bucket = first_bucket + number as u64 * QUARTER;
        let not_local = match filter {
            SubscriberFilter::None => "0".to_string(),
            filter => format!("NOT {}", matches(*filter, 1)),
        };
        let excluded = match exclude {
            SubscriberFilter::None => "0".to_string(),
            exclude => format!("NOT ({not_local}) AND {}", matches(*exclude, 4)),
        };
        let raw = system.query(&format!(
            "SELECT count(), countIf({not_local}), countIf({excluded}) FROM qoestor.fullflow \
             WHERE toStartOfInterval(flow_start_time, INTERVAL 15 MINUTE) = toDateTime({bucket}, 'UTC')"
        ));
        let raw: Vec<u64> = raw.split('\t').map(|count| count.parse().unwrap()).collect();
        let kept = system.number(&format!(
            "SELECT sum(records) FROM qoestor.fullflow_agg WHERE time = toDateTime({bucket}, 'UTC')"
        ));
        assert_eq!(kept + raw[1] + raw[2], raw[0], "{direction:?} {filter:?} {exclude:?}");
        left_out[0] += raw[1];
        left_out[1] += raw[2];
    }
    assert!(left_out.iter().all(|count| *count > 100), "{left_out:?}");
    let status = system.stream(0);
    let balance = &status.aggregates[0].destination;
    assert_eq!(balance.filtered["not_local"], left_out[0]);
    assert_eq!(balance.filtered["excluded"], left_out[1]);
    assert_eq!(balance.stored + left_out[0] + left_out[1], sent);
    assert_eq!(balance.decoded, sent);
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
