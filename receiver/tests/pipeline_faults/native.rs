//! A small stream of columns of fixed width, and its rows read back from `Native` blocks.

use ipfix::{Convert, Element};
use schema::{ColumnDecl, ColumnType, Filled, FilledBy, Stream};

/// A row as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Every record has its own.
    pub octets: u64,
    pub arrival_us: u64,
    pub journal: u32,
}

/// `dpi_id`, `received_at`, `journal_id` and the octets of a record.
pub fn stream() -> &'static Stream {
    let column = |name, column_type, filled| ColumnDecl {
        name,
        column_type,
        filled,
        codec: "",
        unit: "",
        comment: "",
    };
    let octets = FilledBy { element: Element { pen: 0, id: 1 }, convert: Convert::Plain };
    Box::leak(Box::new(Stream {
        name: "flow",
        comment: "",
        columns: vec![
            column("dpi_id", ColumnType::UInt16, Filled::Constant(schema::DPI_ID)),
            column("received_at", ColumnType::DateTimeMicros, Filled::Constant(schema::RECEIVED_AT)),
            column("journal_id", ColumnType::UInt32, Filled::Constant(schema::JOURNAL_ID)),
            column("octets", ColumnType::UInt64, Filled::Elements(vec![octets])),
        ],
        identifying: &["octets"],
        partition_by: "",
        order_by: &[],
        ttl_from: "",
        indices: Vec::new(),
    }))
}

/// How many blocks a body has, and their rows.
pub fn blocks(body: &[u8]) -> (usize, Vec<Row>) {
    let mut rest = body;
    let mut blocks = 0;
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let (columns, count) = (number(&mut rest), number(&mut rest));
        assert_eq!(columns, 4);
        assert!(count > 0, "an empty block ends an insert");
        let mut values = [const { Vec::new() }; 4];
        for (of_column, width) in values.iter_mut().zip([2, 8, 4, 8]) {
            for _ in 0..2 {
                let length = number(&mut rest);
                rest = &rest[length..];
            }
            let (column, behind) = rest.split_at(count * width);
            rest = behind;
            for value in column.chunks(width) {
                let mut wide = [0; 8];
                wide[..width].copy_from_slice(value);
                of_column.push(u64::from_le_bytes(wide));
            }
        }
        rows.extend((0..count).map(|row| Row {
            octets: values[3][row],
            arrival_us: values[1][row],
            journal: values[2][row] as u32,
        }));
        blocks += 1;
    }
    (blocks, rows)
}

fn number(rest: &mut &[u8]) -> usize {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = rest[0];
        *rest = &rest[1..];
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}
