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
pub use natflow::{nat_from_fullflow, natflow};

use ipfix::{Convert, Element};

use crate::stream::{
    ColumnDecl, ColumnType, DPI_ID, Enriched, Filled, FilledBy, JOURNAL_ID, RECEIVED_AT, Stream,
};

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

const DIRECTION: ColumnType = ColumnType::Enum8("Enum8('unknown' = 0, 'from' = 1, 'to' = 2, 'local' = 3)");
const LOGIN_FROM: ColumnType = ColumnType::Enum8("Enum8('record' = 0, 'channel' = 1, 'subscribers' = 2)");

/// Which end of a record is the subscriber, and what it is.
#[rustfmt::skip]
fn sides() -> Vec<ColumnDecl> {
    vec![
        column("direction", DIRECTION, Filled::Enriched(Enriched::Direction), ZSTD, "", "from the subscriber, to it, local (both ends are ours) or unknown; only with 'to' the subscriber is the destination"),
        column("subscriber_flags", ColumnType::UInt8, Filled::Enriched(Enriched::SubscriberFlags), ZSTD, "bits", "the subscriber's end: 1 its AS is in asnum_local, 2 its address in subnets_local, 4 its AS in asnum_exclude, 8 its address in subnets_exclude"),
        column("subscriber_ipv4", ColumnType::IPv4, Filled::Computed("if(direction = 'to', destination_ipv4, source_ipv4)"), NONE, "", "the subscriber's address; 0.0.0.0 in an IPv6 record"),
        column("subscriber_ipv6", ColumnType::IPv6, Filled::Computed("if(direction = 'to', destination_ipv6, source_ipv6)"), NONE, "", "the subscriber's address; :: in an IPv4 record"),
        column("subscriber_port", ColumnType::UInt16, Filled::Computed("if(direction = 'to', destination_port, source_port)"), NONE, "", "the subscriber's port"),
        column("host_ipv4", ColumnType::IPv4, Filled::Computed("if(direction = 'to', source_ipv4, destination_ipv4)"), NONE, "", "the other end's address; 0.0.0.0 in an IPv6 record"),
        column("host_ipv6", ColumnType::IPv6, Filled::Computed("if(direction = 'to', source_ipv6, destination_ipv6)"), NONE, "", "the other end's address; :: in an IPv4 record"),
        column("host_port", ColumnType::UInt16, Filled::Computed("if(direction = 'to', source_port, destination_port)"), NONE, "", "the other end's port"),
    ]
}

#[rustfmt::skip]
fn host_category() -> ColumnDecl {
    column("host_category", ColumnType::UInt16, Filled::Enriched(Enriched::HostCategory), ZSTD, "", "category of the host by urlcats_host, named in urlcats_dic; 0: none")
}

/// What the login and everything else that is enriched was made from.
#[rustfmt::skip]
fn made_from() -> Vec<ColumnDecl> {
    vec![
        column("login_from", LOGIN_FROM, Filled::Enriched(Enriched::LoginFrom), ZSTD, "", "where the login comes from: the record, its channel, or the dictionary of subscribers"),
        column("dictionary_version", ColumnType::UInt32, Filled::Enriched(Enriched::DictionaryVersion), ZSTD, "", "the newest version of a dictionary that was in force, see dictionary_versions; 0: none"),
    ]
}

/// The origin and what the record says.
fn with_origin(record: impl IntoIterator<Item = ColumnDecl>) -> Vec<ColumnDecl> {
    let mut columns = origin();
    columns.extend(record);
    columns
}

/// The same with what is made of the record while it is stored.
fn enriched(
    mut columns: Vec<ColumnDecl>,
    made: impl IntoIterator<Item = Vec<ColumnDecl>>,
) -> Vec<ColumnDecl> {
    columns.extend(made.into_iter().flatten());
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
