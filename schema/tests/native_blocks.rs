//! Encoded blocks, read by a real server and read back, are the rows that went in.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{row_binary, start};
use ipfix::{BytesColumn, Column, Element};
use schema::native::Encoder;
use schema::{ColumnDecl, ColumnType, CustomElement, Filled, Stream, TableOptions, dnsflow, streams};

#[test]
fn clickhouse_server() {
    embedded::testing::serve_if_asked();
}

/// A stream of a number and a string, to try dictionaries on.
fn words() -> Stream {
    let column = |name, column_type| ColumnDecl {
        name,
        column_type,
        filled: Filled::Constant(0),
        codec: "",
        unit: "",
        comment: "",
    };
    Stream {
        name: "words",
        comment: "numbers and words",
        columns: vec![
            column("number", ColumnType::UInt32),
            column("word", ColumnType::LowCardinalityText),
            column("same", ColumnType::Text),
        ],
        identifying: &[],
        partition_by: "",
        order_by: &["number"],
        ttl_from: "",
        indices: Vec::new(),
        skipped: Vec::new(),
    }
}

/// `rows` rows from `first`, with `distinct` words, of which one is empty and some have odd bytes.
fn word_columns(first: usize, rows: usize, distinct: usize) -> Vec<Column> {
    let mut numbers = Vec::new();
    let mut words = BytesColumn::default();
    for row in first..first + rows {
        numbers.push(row as u32);
        match row * 11 % distinct {
            0 => words.push(b""),
            1 => words.push(b"\0\xff'\\\n"),
            2 => words.push(b"\0\xff'\\\n\0"),
            other => words.push(format!("word-{other}").as_bytes()),
        }
    }
    vec![Column::U32(numbers), Column::Bytes(words.clone()), Column::Bytes(words)]
}

#[tokio::test]
async fn dictionaries_of_every_width_come_back() {
    let server = start();
    let stream = words();
    let mut encoder = Encoder::new(&stream);
    for distinct in [1, 255, 256, 257, 65_536, 70_000] {
        let table = format!("words_{distinct}");
        server.run(&stream.create_table_sql(&TableOptions::new("default", &table))).await;
        let columns = word_columns(0, 2 * distinct + 3, distinct);
        let mut body = Vec::new();
        encoder.encode_block(&columns, &mut body).unwrap();
        server.insert(&stream.insert_sql("default", &table), body).await;
        let read = format!("SELECT number, word, same FROM default.{table} ORDER BY number");
        assert!(server.bytes(&read, "RowBinary").await == row_binary(&columns), "{distinct} words differ");
        let count =
            server.text(&format!("SELECT uniqExact(word), countIf(word != same) FROM default.{table}"));
        assert_eq!(count, format!("{distinct}\t0\n"));
    }
}

#[tokio::test]
async fn several_blocks_in_one_request_have_each_their_own_dictionary() {
    let server = start();
    let stream = words();
    server.run(&stream.create_table_sql(&TableOptions::new("default", "words"))).await;
    let mut encoder = Encoder::new(&stream);
    let (mut body, mut expected, mut first) = (Vec::new(), Vec::new(), 0);
    for (rows, distinct) in [(1, 1), (16_384, 300), (16_384, 16_000), (0, 1), (10, 3), (300, 257)] {
        let columns = word_columns(first, rows, distinct);
        encoder.encode_block(&columns, &mut body).unwrap();
        expected.extend(row_binary(&columns));
        first += rows;
    }
    server.insert(&stream.insert_sql("default", "words"), body).await;
    let read =
        server.bytes("SELECT number, word, same FROM default.words ORDER BY number", "RowBinary").await;
    assert!(read == expected);
}

#[tokio::test]
async fn every_column_of_every_stream_holds_its_smallest_and_largest_value() {
    let server = start();
    for stream in streams() {
        server.run(&stream.create_table_sql(&TableOptions::new("default", stream.name))).await;
        let columns = extremes(stream);
        let mut body = Vec::new();
        Encoder::new(stream).encode_block(&columns, &mut body).unwrap();
        server.insert(&stream.insert_sql("default", stream.name), body).await;
        // Every stream numbers its sessions, so the order of the rows is known.
        let read =
            format!("SELECT {} FROM default.{} ORDER BY session_id", stream.column_list(), stream.name);
        assert!(server.bytes(&read, "RowBinary").await == row_binary(&columns), "{}", stream.name);
        // Computed columns too.
        server.text(&format!(
            "SELECT * FROM default.{} SETTINGS asterisk_include_alias_columns = 1",
            stream.name
        ));
    }
    let first = "SELECT source_ipv4, source_ipv6, flow_start_date, flow_start_time, original_tos FROM default.fullflow \
                 WHERE input_snmp = 16909060";
    let shown = server.text(first);
    assert!(shown.starts_with("1.2.3.4\t2a2a:2a2a:2a2a:2a2a:2a2a:2a2a:2a2a:2a2a\t"), "{shown}");
    let events = server.text("SELECT nat_event, event FROM default.natflow ORDER BY session_id");
    assert_eq!(events, "0\tother\n1\tcreate\n255\tother\n");
    let times = server.text("SELECT time, date FROM default.clickstream ORDER BY session_id LIMIT 1");
    assert_eq!(times, "1970-01-01 00:00:00\t1970-01-01\n");
}

#[tokio::test]
async fn a_field_of_the_users_own_is_a_column_like_the_others() {
    let server = start();
    let custom = |id: u16, column: &str, column_type| CustomElement {
        element: Element::vas_experts(id),
        name: column.to_owned(),
        column: column.to_owned(),
        column_type,
    };
    // Of every type that can be declared; the last one fills a column that was there before.
    let own = [
        custom(3320, "a_text", ColumnType::Text),
        custom(3321, "a_uint8", ColumnType::UInt8),
        custom(3322, "a_uint16", ColumnType::UInt16),
        custom(3323, "a_uint32", ColumnType::UInt32),
        custom(3324, "a_uint64", ColumnType::UInt64),
        custom(3325, "an_ipv4", ColumnType::IPv4),
        custom(3326, "an_ipv6", ColumnType::IPv6),
        custom(3327, "a_time", ColumnType::DateTime),
        custom(3601, "dns_host", ColumnType::Text),
    ];
    let stream = dnsflow().with_elements(&own).unwrap();
    server.run(&stream.create_table_sql(&TableOptions::new("default", "dnsflow"))).await;
    let columns = extremes(&stream);
    let mut body = Vec::new();
    Encoder::new(&stream).encode_block(&columns, &mut body).unwrap();
    server.insert(&stream.insert_sql("default", "dnsflow"), body).await;
    let read = format!("SELECT {} FROM default.dnsflow ORDER BY session_id", stream.column_list());
    assert!(server.bytes(&read, "RowBinary").await == row_binary(&columns));
    let middle = "SELECT a_uint16, an_ipv4, a_time, length(dns_host) FROM default.dnsflow \
                  ORDER BY session_id LIMIT 1 OFFSET 1";
    assert_eq!(server.text(middle), "258\t1.2.3.4\t1970-07-15 16:57:40\t1\n");
}

/// Three rows: everything smallest, something in between, everything largest.
fn extremes(stream: &Stream) -> Vec<Column> {
    let mut columns = stream.new_columns();
    let long = vec![0xfe; 70_000];
    for (declared, column) in stream.inserted_columns().zip(&mut columns) {
        match column {
            // Words, three of them at least, counted from 0.
            Column::U8(values) if matches!(declared.column_type, ColumnType::Enum8(_)) => {
                *values = vec![0, 1, 2];
            }
            Column::U8(values) => *values = vec![0, 1, u8::MAX],
            Column::U16(values) => *values = vec![0, 0x0102, u16::MAX],
            Column::U32(values) => *values = vec![0, 0x0102_0304, u32::MAX],
            // A partition cannot be made for every time; the other times take anything an exporter sends.
            Column::U64(values) if declared.name == "received_at" => *values = vec![0, 1, 2],
            Column::U64(values) => *values = vec![0, 0x0102_0304_0506_0708, u64::MAX],
            Column::Bytes16(values) => *values = vec![[0; 16], [0x2a; 16], [0xff; 16]],
            Column::Bytes(values) => {
                values.push(b"");
                values.push(b"\0");
                values.push(&long);
            }
        }
    }
    columns
}
