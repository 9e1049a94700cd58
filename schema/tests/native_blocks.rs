//! Encoded blocks, read by a real server and read back, are the rows that went in.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{row_binary, start};
use ipfix::{BytesColumn, Column};
use schema::native::Encoder;
use schema::{ColumnDecl, ColumnType, Filled, Stream, TableOptions, fullflow};

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
async fn every_column_of_fullflow_holds_its_smallest_and_largest_value() {
    let server = start();
    let stream = fullflow();
    server.run(&stream.create_table_sql(&TableOptions::new("default", "fullflow"))).await;
    let mut columns = stream.new_columns();
    let long = vec![0xfe; 70_000];
    for (declared, column) in stream.inserted_columns().zip(&mut columns) {
        match column {
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
    let mut body = Vec::new();
    Encoder::new(stream).encode_block(&columns, &mut body).unwrap();
    server.insert(&stream.insert_sql("default", "fullflow"), body).await;
    let read = format!("SELECT {} FROM default.fullflow ORDER BY session_id", stream.column_list());
    assert!(server.bytes(&read, "RowBinary").await == row_binary(&columns));
    let first = "SELECT source_ipv4, source_ipv6, flow_start_date, flow_start_time, original_tos FROM default.fullflow \
                 WHERE input_snmp = 16909060";
    let shown = server.text(first);
    assert!(shown.starts_with("1.2.3.4\t2a2a:2a2a:2a2a:2a2a:2a2a:2a2a:2a2a:2a2a\t"), "{shown}");
}
