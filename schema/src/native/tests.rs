use ipfix::{BytesColumn, Column};

use super::*;
use crate::stream::{ColumnDecl, Filled};
use crate::{Stream, fullflow};

fn declared(name: &'static str, column_type: ColumnType) -> ColumnDecl {
    ColumnDecl { name, column_type, filled: Filled::Constant(0), codec: "", unit: "", comment: "" }
}

fn small_stream() -> Stream {
    let mut columns = vec![
        declared("n", ColumnType::UInt16),
        declared("a", ColumnType::IPv4),
        declared("s", ColumnType::Text),
        declared("l", ColumnType::LowCardinalityText),
        declared("x", ColumnType::IPv6),
    ];
    columns.push(ColumnDecl { filled: Filled::Computed("n + 1"), ..declared("not_sent", ColumnType::Date) });
    columns.push(ColumnDecl { filled: Filled::Unpublished, ..declared("not_yet", ColumnType::UInt8) });
    Stream { columns, ..fullflow().clone() }
}

fn bytes(values: &[&[u8]]) -> Column {
    let mut column = BytesColumn::default();
    for value in values {
        column.push(value);
    }
    Column::Bytes(column)
}

fn small_columns() -> Vec<Column> {
    vec![
        Column::U16(vec![1, 0x0203, 0xffff]),
        Column::U32(vec![0x0a40_4264, 0, 1]),
        bytes(&[b"", b"hi", b"\0"]),
        bytes(&[b"u1", b"", b"u1"]),
        Column::Bytes16(vec![[0; 16], [1; 16], [2; 16]]),
    ]
}

#[test]
fn a_block_byte_by_byte() {
    let mut out = Vec::new();
    Encoder::new(&small_stream()).encode_block(&small_columns(), &mut out).unwrap();
    let mut expected: Vec<u8> = vec![5, 3];
    expected.extend(b"\x01n\x06UInt16\x01\x00\x03\x02\xff\xff");
    expected.extend(b"\x01a\x04IPv4\x64\x42\x40\x0a\0\0\0\0\x01\0\0\0");
    expected.extend(b"\x01s\x06String\x00\x02hi\x01\x00");
    expected.extend(b"\x01l\x16LowCardinality(String)");
    expected.extend(b"\x01\0\0\0\0\0\0\0"); // version of the keys
    expected.extend(b"\x00\x06\0\0\0\0\0\0"); // own keys, new dictionary, indices of one byte
    expected.extend(b"\x02\0\0\0\0\0\0\0\x02u1\x00"); // two keys
    expected.extend(b"\x03\0\0\0\0\0\0\0\x00\x01\x00"); // three rows
    expected.extend(b"\x01x\x04IPv6");
    expected.extend([[0; 16], [1; 16], [2; 16]].as_flattened());
    assert_eq!(out, expected);
}

#[test]
fn some_rows_are_encoded_like_a_block_of_only_these() {
    let mut some = Vec::new();
    let mut encoder = Encoder::new(&small_stream());
    encoder.encode_rows(&small_columns(), 1..3, &mut some).unwrap();
    let columns = vec![
        Column::U16(vec![0x0203, 0xffff]),
        Column::U32(vec![0, 1]),
        bytes(&[b"hi", b"\0"]),
        bytes(&[b"", b"u1"]),
        Column::Bytes16(vec![[1; 16], [2; 16]]),
    ];
    let mut only = Vec::new();
    encoder.encode_block(&columns, &mut only).unwrap();
    assert_eq!(some, only);
}

#[test]
fn the_width_of_indices_follows_the_number_of_keys() {
    let mut stream = small_stream();
    stream.columns = vec![declared("l", ColumnType::LowCardinalityText)];
    let mut encoder = Encoder::new(&stream);
    for (distinct, width_code, width) in [(1, 0, 1), (256, 0, 1), (257, 1, 2), (65_536, 1, 2), (65_537, 2, 4)]
    {
        let mut column = BytesColumn::default();
        let mut keys_len = 0;
        for number in 0..distinct {
            let text = format!("{number:05}");
            keys_len += text.len() + 1;
            column.push(text.as_bytes());
        }
        let mut out = Vec::new();
        encoder.encode_block(&[Column::Bytes(column)], &mut out).unwrap();
        let rows_varint = if distinct < 128 {
            1
        } else if distinct < 16_384 {
            2
        } else {
            3
        };
        let prefix = 1 + rows_varint + 2 + 1 + "LowCardinality(String)".len() + 8;
        assert_eq!(out[prefix], width_code, "{distinct} keys");
        assert_eq!(out.len(), prefix + 8 + 8 + keys_len + 8 + distinct * width, "{distinct} keys");
    }
}

#[test]
fn no_rows_are_no_block() {
    let mut out = vec![7];
    let stream = fullflow();
    Encoder::new(stream).encode_block(&stream.new_columns(), &mut out).unwrap();
    assert_eq!(out, [7]);
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let mut encoder = Encoder::new(&small_stream());
    let mut out = vec![7];

    let mut columns = small_columns();
    columns.pop();
    let error = encoder.encode_block(&columns, &mut out).unwrap_err();
    assert_eq!(error, EncodeError::ColumnCount { expected: 5, found: 4 });

    let mut columns = small_columns();
    columns[1] = Column::U32(vec![1]);
    let error = encoder.encode_block(&columns, &mut out).unwrap_err();
    assert_eq!(error, EncodeError::UnequalLength { column: "a", expected: 3, found: 1 });

    let mut columns = small_columns();
    columns[1] = Column::U64(vec![1, 2, 3]);
    assert_eq!(encoder.encode_block(&columns, &mut out).unwrap_err(), EncodeError::Kind { column: "a" });

    let mut columns = small_columns();
    columns[3] = Column::Bytes(BytesColumn { data: vec![1], ends: vec![0, 1, 2] });
    assert_eq!(encoder.encode_block(&columns, &mut out).unwrap_err(), EncodeError::Malformed { column: "l" });

    let error = encoder.encode_rows(&small_columns(), 2..4, &mut out).unwrap_err();
    assert_eq!(error, EncodeError::Rows { start: 2, end: 4, rows: 3 });
    assert_eq!(out, [7]);
}

#[test]
fn the_same_rows_give_the_same_bytes_from_any_encoder() {
    let mut first = Encoder::new(&small_stream());
    let (mut one, mut two, mut three) = (Vec::new(), Vec::new(), Vec::new());
    first.encode_block(&small_columns(), &mut one).unwrap();
    first.encode_block(&small_columns(), &mut two).unwrap();
    Encoder::new(&small_stream()).encode_block(&small_columns(), &mut three).unwrap();
    assert_eq!(one, two);
    assert_eq!(one, three);
}

#[test]
fn a_column_of_defaults_is_left_out_but_for_the_first() {
    let mut columns = small_columns();
    columns[1] = Column::U32(vec![0, 0, 9]);
    columns[2] = bytes(&[b"", b"", b""]);
    let mut encoder = Encoder::new(&small_stream());
    let has = |out: &[u8], header: &[u8]| out.windows(header.len()).any(|window| window == header);
    let mut out = Vec::new();
    encoder.encode_block(&columns, &mut out).unwrap();
    assert_eq!(out[..2], [4, 3]);
    assert!(has(&out, b"\x01a\x04IPv4") && !has(&out, b"\x01s\x06String"));
    // Rows decide, not the whole column.
    out.clear();
    encoder.encode_rows(&columns, 0..2, &mut out).unwrap();
    assert_eq!(out[..2], [3, 2]);
    assert!(!has(&out, b"\x01a\x04IPv4"));

    let nothing = vec![
        Column::U16(vec![0]),
        Column::U32(vec![0]),
        bytes(&[b""]),
        bytes(&[b""]),
        Column::Bytes16(vec![[0; 16]]),
    ];
    out.clear();
    encoder.encode_block(&nothing, &mut out).unwrap();
    assert_eq!(out, b"\x01\x01\x01n\x06UInt16\0\0");
}
