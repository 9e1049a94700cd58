//! The streams, one file each. A file holds the table of columns and nothing clever: adding a column is
//! adding a line.

mod clickstream;
mod dnsflow;
mod fullflow;
mod gtpflow;
mod natflow;

pub use clickstream::clickstream;
pub use dnsflow::dnsflow;
pub use fullflow::fullflow;
pub use gtpflow::gtpflow;
pub use natflow::natflow;

use ipfix::{Convert, Element};

use crate::stream::{ColumnDecl, ColumnType, DPI_ID, Filled, FilledBy, JOURNAL_ID, RECEIVED_AT, Stream};

const ZSTD: &str = "ZSTD(1)";
const PACKED: &str = "T64, ZSTD(1)";
const TIME_MS: &str = "Delta(8), ZSTD(1)";
/// Not stored, so nothing to compress.
const NONE: &str = "";

/// Every stream, in the order of the documentation.
pub fn all() -> [&'static Stream; 5] {
    [fullflow(), clickstream(), gtpflow(), natflow(), dnsflow()]
}

/// What every row says besides the record: the first columns of each stream.
#[rustfmt::skip]
fn origin() -> Vec<ColumnDecl> {
    vec![
        column("dpi_id", ColumnType::UInt16, Filled::Constant(DPI_ID), ZSTD, "", "the DPI, by its number in the configuration"),
        column("journal_id", ColumnType::UInt32, Filled::Constant(JOURNAL_ID), ZSTD, "", "the journal that took the record in: first 4 bytes of its identity"),
        column("received_at", ColumnType::DateTimeMicros, Filled::Constant(RECEIVED_AT), ZSTD, "UTC", "arrival of the message at the receiver; rows expire by it"),
    ]
}

/// The origin and what the record says.
fn with_origin(record: impl IntoIterator<Item = ColumnDecl>) -> Vec<ColumnDecl> {
    let mut columns = origin();
    columns.extend(record);
    columns
}

const fn iana(id: u16) -> FilledBy {
    FilledBy { element: Element::iana(id), convert: Convert::Plain }
}

const fn iana_as(id: u16, convert: Convert) -> FilledBy {
    FilledBy { element: Element::iana(id), convert }
}

const fn vendor(id: u16) -> FilledBy {
    FilledBy { element: Element::vas_experts(id), convert: Convert::Plain }
}

fn from<const N: usize>(elements: [FilledBy; N]) -> Filled {
    Filled::Elements(elements.to_vec())
}

const fn column(
    name: &'static str,
    column_type: ColumnType,
    filled: Filled,
    codec: &'static str,
    unit: &'static str,
    comment: &'static str,
) -> ColumnDecl {
    ColumnDecl { name, column_type, filled, codec, unit, comment }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ipfix::ColumnKind;

    use super::*;
    use crate::table::TableOptions;

    #[test]
    fn a_declaration_refers_to_columns_that_it_has() {
        for stream in all() {
            let names: HashSet<&str> = stream.columns.iter().map(|column| column.name).collect();
            assert_eq!(names.len(), stream.columns.len(), "{}: a name is declared twice", stream.name);
            for name in stream.identifying.iter().chain(stream.order_by) {
                assert!(names.contains(name), "{}.{name} is not declared", stream.name);
            }
            for column in &stream.columns {
                assert!(
                    column.is_inserted()
                        || column.codec.is_empty()
                        || matches!(column.filled, Filled::Unpublished)
                );
                assert!(!column.comment.is_empty(), "{}.{} has no comment", stream.name, column.name);
            }
        }
    }

    #[test]
    fn wishes_buffers_and_names_are_the_same_list() {
        for stream in all() {
            let wanted = stream.wanted();
            let columns = stream.new_columns();
            assert_eq!(wanted.len(), columns.len());
            assert_eq!(wanted.len(), stream.column_list().split(", ").count());
            for (wish, column) in wanted.iter().zip(&columns) {
                assert_eq!(wish.kind, column.kind());
            }
            let constants: Vec<usize> = wanted.iter().filter_map(|wish| wish.constant).collect();
            assert_eq!(constants, [DPI_ID, JOURNAL_ID, RECEIVED_AT]);
        }
    }

    #[test]
    fn an_address_is_told_by_its_length_and_a_number_takes_any() {
        let wanted = fullflow().wanted();
        for wish in wanted.iter().filter(|wish| wish.kind == ColumnKind::Bytes16) {
            assert!(wish.sources.iter().all(|source| source.min_len == 16 && source.max_len == 16));
        }
        let octets =
            wanted.iter().find(|wish| wish.sources.iter().any(|source| source.element.id == 1)).unwrap();
        assert_eq!((octets.sources[0].min_len, octets.sources[0].max_len), (1, 8));
    }

    #[test]
    fn only_what_has_a_source_is_sent() {
        let stream = fullflow();
        let list = stream.column_list();
        for name in ["flow_start_time", "flow_start_date", "original_tos"] {
            assert!(!list.split(", ").any(|each| each == name), "{name}");
            assert!(stream.create_table_sql(&TableOptions::new("db", "t")).contains(name));
        }
    }
}
