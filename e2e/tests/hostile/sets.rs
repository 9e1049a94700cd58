//! Messages that are messages, with sets and templates in them that are not right: what is right beside
//! them is stored.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};

use e2e::{System, SystemOptions, wait_for};
use ipfix::{Element, FieldSpec, MessageBuilder, Protocol, Template};

use crate::beside::{Beside, LONG, other_rows};
use crate::counted::{What, assert_counted};
use crate::messages::{EXPORT_TIME, Exporter, append, foreign_template, put_records, template};

/// What a message can be sent over.
enum Way {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Way {
    fn to(system: &System, dpi: u16) -> Way {
        if dpi == 0 {
            return Way::Tcp(TcpStream::connect(system.address(0)).unwrap());
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(system.address(dpi)).unwrap();
        Way::Udp(socket)
    }

    fn send(&mut self, message: &[u8]) {
        match self {
            Way::Tcp(connection) => connection.write_all(message).unwrap(),
            Way::Udp(socket) => assert_eq!(socket.send(message).unwrap(), message.len()),
        }
    }
}

/// Waits until so many rows of bad exporters are stored, and no more.
fn wait_for_rows(system: &System, dpi: u16, rows: u64) {
    wait_for(&format!("{rows} rows of DPI {dpi}"), LONG, || {
        let stored = other_rows(system, dpi);
        assert!(stored <= rows, "{stored} rows instead of {rows}");
        (stored == rows).then_some(())
    });
}

#[test]
fn wrong_sets_and_templates() {
    let system = System::start(&SystemOptions::default());
    let beside = Beside::start(&system);
    let mut ways = Vec::new();
    for dpi in [0, 1] {
        let mut way = Way::to(&system, dpi);
        let rows = bad_sets(&mut way) + bad_templates(&mut way) + other_templates(&mut way);
        ways.push(way);
        wait_for_rows(&system, dpi, rows);
        let sets = [("bad_set_length", 7), ("malformed_record", 1), ("reserved_set_id", 2)];
        assert_counted(&system, dpi, What::UndecodableSets, &sets);
        let templates = [("template_malformed", 4), ("template_too_large", 2)];
        assert_counted(&system, dpi, What::TemplatesRefused, &templates);
        assert_counted(&system, dpi, What::Undecodable, &[("foreign_template", 4)]);
        assert_eq!(system.stream(dpi).sequence.options, 3);
    }
    beside.finish(&system);
    for dpi in [0, 1] {
        assert_counted(&system, dpi, What::Refused, &[]);
    }
}

/// Set headers that cannot be: nothing behind them can be found, what stands before them counts.
fn bad_sets(way: &mut Way) -> u64 {
    let mut exporter = Exporter::new(100);
    let mut rows = 0;
    for length in [0, 1, 2, 3, 5, u16::MAX] {
        let good = exporter.template_and_records(256, 2);
        way.send(&append(good, &[&[1, 0][..], &length.to_be_bytes()].concat()));
        rows += 2;
    }
    // Too few bytes for a set header, and no padding.
    way.send(&append(exporter.records(256, 2), &[1, 0]));
    // Ids that no set has; the next set counts.
    for id in [4, 255] {
        way.send(&exporter.message(|builder| {
            builder.begin_set(id);
            builder.put_u64(0);
            put_records(builder, 256, 2);
        }));
        rows += 2;
    }
    // A message without anything.
    way.send(&exporter.message(|_| {}));
    rows + 2
}

/// Templates that are not learned; good ones of the same message are.
fn bad_templates(way: &mut Way) -> u64 {
    let mut exporter = Exporter::new(101);
    // 65,535 fields announced, 3 there.
    let mut announced = vec![1, 0, 0xff, 0xff];
    announced.extend_from_slice(&[0, 1, 0, 8, 0, 2, 0, 8, 0, 8, 0, 4]);
    way.send(&template_set(&mut exporter, &announced));
    // 10,000 fields, all there.
    let fields = vec![FieldSpec::new(Element::iana(1), 1); 10_000];
    way.send(&exporter.message(|builder| builder.template(&Template::new(257, 0, fields))));
    // Cut off, with an id that only sets have, and options without a scope.
    way.send(&template_set(&mut exporter, &[1, 2, 0, 9, 0, 1, 0, 8]));
    way.send(&template_set(&mut exporter, &[0, 255, 0, 1, 0, 1, 0, 8]));
    for scope_count in [0, 2] {
        way.send(&exporter.message(|builder| {
            builder.begin_set(3);
            for word in [258, 1, scope_count, 1, 8] {
                builder.put_u16(word);
            }
        }));
    }
    way.send(&exporter.template_and_records(259, 3));
    // A variable value that is longer than what is left.
    let mut fields = template(260).fields;
    fields.push(FieldSpec::variable(Element::vas_experts(2003)));
    way.send(&exporter.message(|builder| {
        builder.template(&Template::new(260, 0, fields));
        put_records(builder, 260, 1);
        builder.put_u8(200);
        builder.put_bytes(b"short");
    }));
    3
}

fn template_set(exporter: &mut Exporter, record: &[u8]) -> Vec<u8> {
    exporter.message(|builder| {
        builder.begin_set(2);
        builder.put_bytes(record);
    })
}

/// Templates that are right and do not make rows.
fn other_templates(way: &mut Way) -> u64 {
    let mut exporter = Exporter::new(102);
    let options = vec![FieldSpec::new(Element::iana(149), 4), FieldSpec::new(Element::iana(42), 8)];
    way.send(&exporter.message(|builder| {
        builder.template(&Template::new(300, 1, options));
        builder.begin_data(300);
        for number in 0..3 {
            builder.put_u32(number);
            builder.put_u64(1);
            builder.end_record();
        }
    }));
    way.send(&exporter.message(|builder| {
        builder.template(&foreign_template(301));
        builder.begin_data(301);
        for _ in 0..4 {
            builder.put_u32(EXPORT_TIME);
            builder.put_variable(b"login");
            builder.put_u32(0);
            builder.put_variable(b"example.org");
            builder.end_record();
        }
    }));
    // Records of no length at all: none of them, however many bytes there are.
    way.send(&exporter.message(|builder| {
        builder.template(&Template::new(302, 0, vec![FieldSpec::new(Element::iana(1), 0); 3]));
        builder.begin_data(302);
        builder.put_bytes(&[7; 1000]);
    }));
    way.send(&exporter.template_and_records(303, 4));
    4
}

#[test]
fn data_before_its_template() {
    let system = System::start(&SystemOptions::default());
    let beside = Beside::start(&system);
    for dpi in [0, 1] {
        let mut way = Way::to(&system, dpi);
        let mut exporter = Exporter::new(110);
        // In IPFIX, and in NetFlow v9 where it may be sent.
        for _ in 0..3 {
            way.send(&exporter.records(400, 4));
        }
        let mut v9 = MessageBuilder::new(Protocol::NetflowV9, 111);
        if dpi == 1 {
            v9.begin(EXPORT_TIME, 0);
            put_records(&mut v9, 400, 5);
            way.send(v9.finish().unwrap());
        }
        let (sets, v9_rows) = if dpi == 1 { (4, 5) } else { (3, 0) };
        wait_for("waiting sets", LONG, || (system.stream(dpi).sequence.waiting_sets == sets).then_some(()));
        assert_eq!(other_rows(&system, dpi), 0);
        // A template of that number in another domain is another template.
        way.send(&Exporter::new(112).message(|builder| builder.template(&template(400))));
        way.send(&exporter.message(|builder| builder.template(&template(400))));
        if dpi == 1 {
            v9.begin(EXPORT_TIME, 1);
            v9.template(&template(400));
            way.send(v9.finish().unwrap());
        }
        wait_for_rows(&system, dpi, 12 + v9_rows);
        let status = system.stream(dpi);
        assert_eq!(status.sequence.waiting_sets, 0);
        assert_eq!((status.sequence.missing, status.sequence.missing_packets), (0, 0), "{status:?}");

        // A template that never comes: over TCP known at the end of the connection.
        way.send(&exporter.records(401, 6));
        way.send(&exporter.records(400, 1));
        wait_for_rows(&system, dpi, 12 + v9_rows + 1);
        assert_eq!(system.stream(dpi).sequence.waiting_sets, 1);
        assert_eq!(system.stream(dpi).sequence.missing, 6, "they are announced and not there");
        drop(way);
        if dpi == 0 {
            assert_counted(&system, dpi, What::UndecodableSets, &[("template_missing", 1)]);
            assert_eq!(system.stream(dpi).sequence.waiting_sets, 0);
        }
    }
    beside.finish(&system);
}
