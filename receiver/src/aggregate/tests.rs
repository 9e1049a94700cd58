use crds::enrichment::{HostName, SubscriberFilter};
use crds::receiver::EnrichmentConfig;
use ipfix::Column;
use proptest::prelude::*;
use schema::{Stream, aggregates};

use super::blocks::blocks;
use super::gather::Gatherer;
use super::layout::only_what_is_needed;

fn stream() -> Stream {
    only_what_is_needed(schema::fullflow(), aggregates::fullflow())
}

/// Columns of a block, filled from a few numbers a row.
fn columns(stream: &Stream, rows: &[[u8; 4]]) -> Vec<Column> {
    let mut columns = stream.new_columns();
    for (declared, column) in stream.inserted_columns().zip(&mut columns) {
        for [one, two, three, four] in rows {
            match column {
                Column::U8(values) if declared.name == "direction" => values.push(one % 4),
                Column::U8(values) => values.push(two % 4),
                Column::U16(values) => values.push(u16::from(three % 2)),
                Column::U32(values) => values.push(u32::from(four % 3)),
                Column::U64(values) if declared.name == "received_at" => values.push(1_800_000_000_000_000),
                Column::U64(values) if declared.name == "flow_start_millisecond" => {
                    values.push(1_800_000_000_000 + u64::from(*two) * 60_000);
                }
                Column::U64(values) => values.push(u64::from(*four) << 20),
                Column::Bytes16(values) => values.push([one % 2; 16]),
                Column::Bytes(values) => values.push(format!("{}.example.com", three % 3).as_bytes()),
            }
        }
    }
    columns
}

/// Every block that a flush would send.
fn flushed(gatherer: &mut Gatherer) -> Vec<(&'static str, u32, u64, Vec<u8>)> {
    let mut all = Vec::new();
    blocks(gatherer, aggregates::fullflow(), 15, |block| {
        all.push((block.table.name, block.week, block.rows, block.bytes.to_vec()));
        Ok(())
    })
    .unwrap();
    all
}

proptest! {
    #[test]
    fn blocks_do_not_matter(rows in prop::collection::vec(any::<[u8; 4]>(), 1..300), split in 1usize..40) {
        let stream = stream();
        let settings = EnrichmentConfig { subscriber_filter: SubscriberFilter::CIDR, ..EnrichmentConfig::default() };
        let gatherer = || Gatherer::new(aggregates::fullflow(), &stream, None, 15);
        let mut whole = gatherer();
        whole.add(&columns(&stream, &rows), &settings);
        let mut parts = gatherer();
        for part in rows.chunks(split) {
            parts.add(&columns(&stream, part), &settings);
        }
        prop_assert_eq!(whole.records + whole.filtered.total(), rows.len() as u64);
        prop_assert_eq!((whole.records, whole.filtered), (parts.records, parts.filtered));
        let flushed_whole = flushed(&mut whole);
        prop_assert_eq!(&flushed_whole, &flushed(&mut parts));
        // What is cleared is forgotten.
        whole.clear();
        prop_assert!(flushed(&mut whole).is_empty());
        whole.add(&columns(&stream, &rows), &settings);
        prop_assert_eq!(flushed_whole, flushed(&mut whole));
    }
}

#[test]
fn a_key_that_is_switched_off_is_empty() {
    let stream = stream();
    let rows: Vec<[u8; 4]> = (0..200).map(|row| [row, row / 3, row / 7, row / 11]).collect();
    let groups = |switches: Option<&[&str]>| {
        let switches = switches.map(|on| on.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let mut gatherer = Gatherer::new(aggregates::fullflow(), &stream, switches.as_deref(), 60);
        gatherer.add(&columns(&stream, &rows), &EnrichmentConfig::default());
        gatherer.groups()
    };
    assert!(groups(None) > groups(Some(&["Login", "Host"])));
    // Two hours, one DPI, three logins.
    assert!(groups(Some(&["Login"])) <= 3 * 2 * 2);
}

#[test]
fn a_record_that_is_days_off_is_counted_where_it_arrived() {
    let stream = stream();
    let mut columns = columns(&stream, &[[0; 4], [0; 4]]);
    let place = stream.inserted_columns().position(|column| column.name == "flow_start_millisecond").unwrap();
    columns[place] = Column::U64(vec![0, 1_800_000_000_000 + 86_401_000]);
    let mut gatherer = Gatherer::new(aggregates::fullflow(), &stream, None, 15);
    gatherer.add(&columns, &EnrichmentConfig { host: HostName::FullName, ..EnrichmentConfig::default() });
    assert_eq!((gatherer.records, gatherer.clock_skew, gatherer.groups()), (2, 2, 1));
}
