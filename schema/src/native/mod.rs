//! Columns to ClickHouse's Native format, as `INSERT ... FORMAT Native` over HTTP takes it: for each block
//! the number of columns and rows, then for each column its name, its type and its values. There is no block
//! info, because an HTTP client has no protocol revision. A column that has nothing but defaults is left out of its
//! block: most exporters fill a part of the columns only.
//!
//! The bytes are a pure function of the values: encoding the same rows again gives the same block. This
//! module must never reorder, drop or invent a row.

mod dictionary;

use std::ops::Range;

use ipfix::{BytesColumn, Column};

use crate::stream::{ColumnType, Stream};
use dictionary::Dictionary;

#[cfg(target_endian = "big")]
compile_error!("Native blocks are little-endian, and the columns are sent as they lie in memory");

/// Why a block could not be encoded. Each is a programmer's mistake upstream, not bad input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Not one buffer for each inserted column.
    #[error("{found} columns given, the stream has {expected}")]
    ColumnCount {
        /// Inserted columns of the stream.
        expected: usize,
        /// Buffers given.
        found: usize,
    },
    /// A buffer of another kind than the column's.
    #[error("column {column}: the buffer is of another kind")]
    Kind {
        /// Name of the column.
        column: &'static str,
    },
    /// A buffer with another number of rows than the first.
    #[error("column {column} has {found} rows, the first column {expected}")]
    UnequalLength {
        /// Name of the column.
        column: &'static str,
        /// Rows of the first column.
        expected: usize,
        /// Rows of this column.
        found: usize,
    },
    /// Rows asked for that the buffers do not have.
    #[error("rows {start}..{end} asked for, the columns have {rows}")]
    Rows {
        /// First row.
        start: usize,
        /// Row after the last.
        end: usize,
        /// Rows there are.
        rows: usize,
    },
    /// A bytes buffer whose ends do not lie in order within its data.
    #[error("column {column}: the ends of its values do not fit its data")]
    Malformed {
        /// Name of the column.
        column: &'static str,
    },
}

struct ColumnEncoder {
    name: &'static str,
    column_type: ColumnType,
    /// Name and type, each with its length, as they open the column in every block.
    header: Vec<u8>,
    dictionary: Option<Dictionary>,
}

/// Encodes blocks of one table. Keep it between blocks: its dictionaries' tables are reused.
pub struct Encoder {
    columns: Vec<ColumnEncoder>,
    /// Which of them the block has.
    sent: Vec<bool>,
}

impl Encoder {
    /// An encoder for the stream's inserted columns.
    pub fn new(stream: &Stream) -> Self {
        Self::of_columns(stream.inserted_columns().map(|declared| (declared.name, declared.column_type)))
    }

    /// An encoder for columns of these names and types.
    pub fn of_columns(columns: impl IntoIterator<Item = (&'static str, ColumnType)>) -> Self {
        let encoder = |(name, column_type): (&'static str, ColumnType)| {
            let mut header = Vec::new();
            push_bytes(&mut header, name.as_bytes());
            push_bytes(&mut header, column_type.sql().as_bytes());
            let dictionary = match column_type {
                ColumnType::LowCardinalityText => Some(Dictionary::new()),
                _ => None,
            };
            ColumnEncoder { name, column_type, header, dictionary }
        };
        Self { columns: columns.into_iter().map(encoder).collect(), sent: Vec::new() }
    }

    /// Appends one block with all rows of `columns`, which come in the order of
    /// [`Stream::wanted`](crate::Stream::wanted). Without rows nothing is appended.
    ///
    /// # Errors
    /// Buffers that do not fit the stream or each other; `out` is then as it was.
    pub fn encode_block(&mut self, columns: &[Column], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let rows = columns.first().map_or(0, Column::len);
        self.encode_rows(columns, 0..rows, out)
    }

    /// Appends one block with some rows of `columns`: to halve a block until only its guilty rows are left.
    ///
    /// # Errors
    /// As [`Self::encode_block`], and rows that are not there.
    pub fn encode_rows(
        &mut self,
        columns: &[Column],
        rows: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.check(columns, &rows)?;
        if rows.is_empty() {
            return Ok(());
        }
        let start_of_block = out.len();
        // One column at least says how many rows there are.
        let is_sent = |index: usize, column: &Column| index == 0 || !is_default(column, &rows);
        self.sent.clear();
        self.sent.extend(columns.iter().enumerate().map(|(index, column)| is_sent(index, column)));
        push_varint(out, self.sent.iter().filter(|is_sent| **is_sent).count() as u64);
        push_varint(out, rows.len() as u64);
        let all = self.columns.iter_mut().zip(columns).zip(&self.sent);
        for ((encoder, column), _) in all.filter(|(_, is_sent)| **is_sent) {
            out.extend_from_slice(&encoder.header);
            if encode_column(encoder, column, rows.clone(), out).is_none() {
                out.truncate(start_of_block);
                return Err(EncodeError::Malformed { column: encoder.name });
            }
        }
        Ok(())
    }

    fn check(&self, columns: &[Column], rows: &Range<usize>) -> Result<(), EncodeError> {
        if columns.len() != self.columns.len() {
            return Err(EncodeError::ColumnCount { expected: self.columns.len(), found: columns.len() });
        }
        let expected = columns.first().map_or(0, Column::len);
        for (encoder, column) in self.columns.iter().zip(columns) {
            if column.kind() != encoder.column_type.kind() {
                return Err(EncodeError::Kind { column: encoder.name });
            }
            let found = column.len();
            if found != expected {
                return Err(EncodeError::UnequalLength { column: encoder.name, expected, found });
            }
        }
        if rows.start > rows.end || rows.end > expected {
            return Err(EncodeError::Rows { start: rows.start, end: rows.end, rows: expected });
        }
        Ok(())
    }
}

/// Whether a column has nothing but its type's default in these rows, which is what the server puts into a column that a
/// block lacks.
fn is_default(column: &Column, rows: &Range<usize>) -> bool {
    fn zeros<T: bytemuck::NoUninit>(values: &[T], rows: &Range<usize>) -> bool {
        let bytes: &[u8] = bytemuck::cast_slice(values.get(rows.clone()).unwrap_or_default());
        bytes.chunks(256).all(|chunk| chunk.iter().fold(0, |any, byte| any | byte) == 0)
    }
    match column {
        Column::U8(values) => zeros(values, rows),
        Column::U16(values) => zeros(values, rows),
        Column::U32(values) => zeros(values, rows),
        Column::U64(values) => zeros(values, rows),
        Column::Bytes16(values) => zeros(values, rows),
        Column::Bytes(values) => values.data.is_empty() && values.ends.iter().all(|end| *end == 0),
    }
}

/// The values of one column; `None` if a range does not lie within the buffer.
fn encode_column(
    encoder: &mut ColumnEncoder,
    column: &Column,
    rows: Range<usize>,
    out: &mut Vec<u8>,
) -> Option<()> {
    match column {
        Column::U64(values) if encoder.column_type == ColumnType::NullableUInt64 => {
            let values = values.get(rows)?;
            out.extend(values.iter().map(|value| u8::from(*value == 0)));
            out.extend_from_slice(bytemuck::cast_slice(values));
        }
        Column::Bytes(values) if encoder.column_type == ColumnType::Histogram => {
            encode_histograms(values, rows, out)?;
        }
        Column::U8(values) => out.extend_from_slice(values.get(rows)?),
        Column::U16(values) => out.extend_from_slice(bytemuck::cast_slice(values.get(rows)?)),
        Column::U32(values) => out.extend_from_slice(bytemuck::cast_slice(values.get(rows)?)),
        Column::U64(values) => out.extend_from_slice(bytemuck::cast_slice(values.get(rows)?)),
        Column::Bytes16(values) => out.extend_from_slice(values.get(rows)?.as_flattened()),
        Column::Bytes(values) => match &mut encoder.dictionary {
            Some(dictionary) => dictionary.encode(values, rows, out)?,
            None => encode_strings(values, rows, out)?,
        },
    }
    Some(())
}

fn encode_strings(values: &BytesColumn, rows: Range<usize>, out: &mut Vec<u8>) -> Option<()> {
    let mut start = first_start(values, rows.start)?;
    for &end in values.ends.get(rows)? {
        push_bytes(out, values.data.get(start..end as usize)?);
        start = end as usize;
    }
    Some(())
}

/// Bytes of a bucket and its count in a value of [`ColumnType::Histogram`].
pub const HISTOGRAM_ENTRY: usize = 9;

/// A map: where the entries of each row end, all keys, all values.
fn encode_histograms(values: &BytesColumn, rows: Range<usize>, out: &mut Vec<u8>) -> Option<()> {
    let first = first_start(values, rows.start)?;
    let ends = values.ends.get(rows)?;
    for &end in ends {
        out.extend_from_slice(&((end as usize).checked_sub(first)? / HISTOGRAM_ENTRY).to_le_bytes());
    }
    let last = ends.last().map_or(first, |&end| end as usize);
    let entries = values.data.get(first..last)?.chunks_exact(HISTOGRAM_ENTRY);
    out.extend(entries.clone().filter_map(|entry| entry.first()));
    for entry in entries {
        out.extend_from_slice(entry.get(1..)?);
    }
    Some(())
}

/// Where the value of `row` begins.
fn first_start(values: &BytesColumn, row: usize) -> Option<usize> {
    match row.checked_sub(1) {
        None => Some(0),
        Some(previous) => values.ends.get(previous).map(|&end| end as usize),
    }
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests;
