use super::*;
use crate::aggregates;

#[test]
fn a_time_lies_in_its_bucket() {
    let around_doublings = (0..32).flat_map(|bits| [0, 1, 2].map(|more| (1_u64 << bits) - 1 + more));
    for time in (1..100_000).chain(around_doublings.filter(|time| *time > 0)) {
        let time = time.min(u64::from(u32::MAX));
        let found = bucket(time);
        assert!(bucket_start(found) <= time as f64, "{time}");
        assert!(found == u8::MAX || (time as f64) < bucket_start(found + 1), "{time}");
    }
}

#[test]
fn buckets_reach_from_a_microsecond_to_an_hour() {
    assert_eq!((bucket(0), bucket(1), bucket(2), bucket(3)), (0, 0, 8, 12));
    assert_eq!((bucket(u64::from(u32::MAX)), bucket(u64::MAX)), (255, 255));
    assert!(bucket_start(255) > 3600e6);
}

#[test]
fn a_declaration_refers_to_what_there_is() {
    for family in aggregates::all() {
        let columns: Vec<&str> = family.stream.columns.iter().map(|column| column.name).collect();
        let named = |name: &str| assert!(columns.contains(&name), "{}: no column {name}", family.stream.name);
        named(family.time);
        for key in &family.keys {
            match key.of {
                KeyOf::Column(name)
                | KeyOf::Network(name)
                | KeyOf::Name(name)
                | KeyOf::ClassSelector(name) => named(name),
                KeyOf::Subscriber(source, destination)
                | KeyOf::SubscriberNetwork(source, destination)
                | KeyOf::Host(source, destination) => {
                    named(source);
                    named(destination);
                }
            }
        }
        for measure in &family.measures {
            match measure.of {
                MeasureOf::CountNonZero(name) | MeasureOf::Sum(name) => named(name),
                MeasureOf::Count => {}
                _ => named("packet_deliver_time"),
            }
        }
        for table in &family.tables {
            assert!(table.keys.iter().all(|name| family.key(name).is_some()), "{}", table.name);
        }
        let wide = family.tables.first().expect("a wide table");
        assert_eq!(wide.keys.len(), family.keys.len());
        assert_eq!(wide.minutes, None);
    }
}

#[test]
fn every_measure_is_named_by_every_rollup() {
    for family in aggregates::all() {
        for table in &family.tables {
            let made =
                family.table(table, &AggregateOptions { minutes: 1, ..AggregateOptions::new("q", table) });
            let rollups: Vec<&str> = made.ttl.split(" GROUP BY ").skip(1).collect();
            assert_eq!(rollups.len(), 2, "{}", made.ttl);
            for (rollup, key) in
                rollups.iter().flat_map(|rollup| table.keys.iter().map(move |key| (rollup, key)))
            {
                let keys = rollup.split_once(" SET ").map_or("", |(keys, _)| keys);
                assert!(keys.split(", ").any(|each| each == *key), "{key}: {rollup}");
            }
            for measure in &family.measures {
                let set = format!("{0} = {1}({0})", measure.name, measure.of.function());
                assert!(rollups.iter().all(|rollup| rollup.contains(&set)), "{set}: {}", made.ttl);
            }
        }
    }
}

#[test]
fn the_narrowest_table_answers() {
    let family = aggregates::fullflow();
    let asked = |keys: &[&str], minutes| family.narrowest(keys, minutes, 15).map(|table| table.name);
    assert_eq!(asked(&[], 1), Some("fullflow_totals"));
    assert_eq!(asked(&["dpi_id"], 60), Some("fullflow_totals"));
    assert_eq!(asked(&["protocol_code"], 15), Some("fullflow_by_protocol"));
    assert_eq!(asked(&["login"], 60), Some("fullflow_by_subscriber"));
    assert_eq!(asked(&["login"], 15), Some("fullflow_agg"));
    assert_eq!(asked(&["login", "host"], 60), Some("fullflow_agg"));
    assert_eq!(asked(&["login"], 5), None);
    assert_eq!(asked(&["session_id"], 60), None);
}
