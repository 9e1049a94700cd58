//! Rollups of aggregates against a real server: sums, minima, maxima and histograms of a million rows are the same
//! before and after each level, also while old rows move to the cold volume and the oldest go.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::{Server, start};
use schema::aggregate::{AggregateOptions, AggregateTable, Family, MeasureOf};
use schema::{Action, Desired, Plan, Risk, aggregates, execute, observe, plan};

#[test]
fn clickhouse_server() {
    embedded::testing::serve_if_asked();
}

const DAY: u64 = 86_400;
const ROWS: u64 = 1_000_000;

/// The wide table of a family, of one minute, with rollups to a quarter of an hour, half an hour and an hour.
fn desired(family: &'static Family, ages: [u64; 3]) -> Desired {
    let table = &family.tables[0];
    let options = AggregateOptions {
        minutes: 1,
        rollups: [15, 30, 60].into_iter().zip(ages).collect(),
        ..AggregateOptions::new("qoestor", table)
    };
    Desired::new("qoestor").with_table(family.table(table, &options))
}

/// A table of one minute, or as much more as it has at least, with the usual rollups; ages in days.
fn kept(family: &Family, table: &AggregateTable, cold: Option<u64>, keep: Option<u64>) -> Desired {
    let mut options =
        AggregateOptions { minutes: table.minutes_with(1), ..AggregateOptions::new("qoestor", table) };
    options.table.storage_policy = Some("tiered".to_owned());
    options.table.move_to_cold_after = cold.map(|days| days * DAY);
    options.table.keep_for = keep.map(|days| days * DAY);
    Desired::new("qoestor").with_table(family.table(table, &options))
}

async fn planned(server: &Server, desired: &Desired) -> Plan {
    plan(desired, &observe(&server.client, "qoestor").await.unwrap()).unwrap()
}

async fn apply(server: &Server, desired: &Desired) {
    execute(&server.client, &planned(server, desired).await).await.unwrap();
    assert_eq!(planned(server, desired).await.steps, []);
}

/// All measures by what tells rows apart at a level.
fn measured(server: &Server, family: &Family, minutes: u32) -> String {
    measured_in(server, family, &family.tables[0], minutes, "1")
}

/// The same of one table, and of the rows for which `condition` holds.
fn measured_in(
    server: &Server,
    family: &Family,
    table: &AggregateTable,
    minutes: u32,
    condition: &str,
) -> String {
    let measures: Vec<String> = family
        .measures
        .iter()
        .map(|measure| format!("{}({})", measure.of.function(), measure.name))
        .collect();
    server.text(&format!(
        "SELECT sum(cityHash64(*)), count() FROM (SELECT toStartOfInterval(time, INTERVAL {minutes} MINUTE), dpi_id, \
         {}, {} FROM qoestor.{} WHERE {condition} GROUP BY ALL)",
        table.keys.join(", "),
        measures.join(", "),
        table.name
    ))
}

/// Random rows, of which the oldest happened `days` ago.
fn insert_sql(family: &Family, table: &AggregateTable, days: u64, rows: u64) -> String {
    let mut values = vec![format!("now() - {} + number % {}", days * DAY, 3 * 3600), "number % 2".to_owned()];
    for name in &table.keys {
        let key = family.key(name).unwrap();
        values.push(match key.column_type.sql() {
            "LowCardinality(String)" => "toString(rand(1) % 50)".to_owned(),
            "IPv6" => "toIPv6('2001:db8::1')".to_owned(),
            "IPv4" => "toIPv4(toUInt32(rand(2) % 3))".to_owned(),
            _ => "rand(3) % 2".to_owned(),
        });
    }
    for (index, measure) in family.measures.iter().enumerate() {
        values.push(match measure.of {
            MeasureOf::RttHistogram => {
                format!("map(toUInt8(rand({index}) % 256), toUInt64(1 + rand(99) % 9))")
            }
            MeasureOf::RttMin | MeasureOf::RttMax => {
                format!("if(rand({index}) % 3 = 0, NULL, toUInt64(rand({index})))")
            }
            _ => format!("toUInt64(rand({index})) * 1000"),
        });
    }
    format!("INSERT INTO qoestor.{} SELECT {} FROM numbers({rows})", table.name, values.join(", "))
}

fn rows(server: &Server, table: &str) -> u64 {
    server.text(&format!("SELECT count() FROM qoestor.{table}")).trim().parse().unwrap()
}

#[tokio::test]
async fn quantiles_of_a_histogram_are_near_the_exact_ones() {
    let server = start();
    let desired = Desired::new("qoestor").with_function(schema::RTT_QUANTILE);
    apply(&server, &desired).await;
    // Times between 1 and 100 ms, more short ones than long ones.
    let times = "SELECT toUInt64(1000 * exp(rand(1) / 4294967295 * log(100))) AS t FROM numbers(200000)";
    server.run(&format!("CREATE TABLE times ENGINE = MergeTree ORDER BY t AS {times}")).await;
    let bucket = "toUInt8(floor(log2(t)) * 8 + intDiv(t * 8, exp2(floor(log2(t)))) - 8)";
    for level in ["0", "0.05", "0.5", "0.95", "0.99", "1"] {
        let off = server.text(&format!(
            "SELECT abs(qoe_rtt_quantile(sumMap(map({bucket}, toUInt64(1))), {level}) / quantileExact({level})(t) - 1) < 0.07 \
             FROM times"
        ));
        assert_eq!(off, "1\n", "{level}");
    }
    let empty = server.text("SELECT qoe_rtt_quantile(CAST(map(), 'Map(UInt8, UInt64)'), 0.5)");
    assert_eq!(empty, "\\N\n");
    // Whatever order a map is written in.
    let mixed = server.text("SELECT qoe_rtt_quantile(map(80::UInt8, 1::UInt64, 8, 9), 0.5)");
    assert_eq!(mixed, server.text("SELECT qoe_rtt_quantile(map(8::UInt8, 9::UInt64, 80, 1), 0.5)"));
    assert!(mixed.starts_with("2.1"), "{mixed}");
}

#[tokio::test]
async fn every_level_keeps_every_sum() {
    let server = start();
    for family in [aggregates::fullflow(), aggregates::clickstream()] {
        let table = family.tables[0].name;
        apply(&server, &desired(family, [365 * DAY, 366 * DAY, 367 * DAY])).await;
        // Parts of a day before and after every border, so that a rollup meets rows of both sides.
        server.run(&insert_sql(family, &family.tables[0], 20, ROWS)).await;
        server.run(&insert_sql(family, &family.tables[0], 5, ROWS)).await;
        let inserted = rows(&server, table);
        let mut before = inserted;
        for (level, minutes) in [15, 30, 60].into_iter().enumerate() {
            let expected = measured(&server, family, minutes);
            let younger = measured(&server, family, 60);
            let mut ages = [365 * DAY, 366 * DAY, 367 * DAY];
            // From the finest to this level: everything older than ten days.
            for (offset, age) in ages.iter_mut().enumerate().take(level + 1) {
                *age = 10 * DAY + offset as u64;
            }
            apply(&server, &desired(family, ages)).await;
            server.run(&format!("OPTIMIZE TABLE qoestor.{table} FINAL")).await;
            assert_eq!(measured(&server, family, minutes), expected, "{table}, {minutes} minutes");
            assert_eq!(measured(&server, family, 60), younger, "{table}, by the hour");
            let left = rows(&server, table);
            assert!(left < before, "{table}: {before} rows, {left} after the rollup to {minutes} minutes");
            before = left;
            let old = "now() - INTERVAL 12 DAY";
            let finer = server.text(&format!(
                "SELECT countIf(time < {old} AND time != toStartOfInterval(time, INTERVAL {minutes} MINUTE)), \
                 countIf(time > {old} AND time != toStartOfInterval(time, INTERVAL {minutes} MINUTE)) > 0 \
                 FROM qoestor.{table}"
            ));
            assert_eq!(finer, "0\t1\n", "{table}, {minutes} minutes");
        }
    }
}

/// Where the parts of a table lie that are all older, or all younger, than so many days: names of disks.
fn disks(server: &Server, table: &str, older: bool, days: u64) -> String {
    let condition = match older {
        true => format!("max_time < now() - INTERVAL {days} DAY"),
        false => format!("min_time > now() - INTERVAL {days} DAY"),
    };
    server.text(&format!(
        "SELECT arrayStringConcat(arraySort(groupUniqArray(disk_name)), ' ') FROM system.parts \
         WHERE database = 'qoestor' AND table = '{table}' AND active AND rows > 0 AND {condition}"
    ))
}

#[tokio::test]
async fn old_rows_move_to_the_cold_volume_and_the_oldest_go() {
    let server = start();
    let family = aggregates::fullflow();
    for name in ["fullflow_agg", "fullflow_by_subscriber"] {
        let table = family.tables.iter().find(|table| table.name == name).unwrap();
        apply(&server, &kept(family, table, None, None)).await;
        let uuid = || server.text(&format!("SELECT uuid FROM system.tables WHERE name = '{name}'"));
        let made = uuid();
        for days in [1, 15, 40] {
            server.run(&insert_sql(family, table, days, ROWS / 10)).await;
        }
        assert_eq!(disks(&server, name, true, 14), "default\n");
        let staying = || measured_in(&server, family, table, 60, "time > now() - INTERVAL 35 DAY");
        let before = staying();

        // In place, and not without an approval.
        let wanted = kept(family, table, Some(14), Some(35));
        let plan = planned(&server, &wanted).await;
        let steps: Vec<_> =
            plan.steps.iter().map(|step| (step.action, step.object.as_str(), step.risk)).collect();
        assert_eq!(steps, [(Action::ModifyTtl, name, Risk::Destructive)]);
        assert!(
            plan.steps[0].effect.contains("rows are deleted after 35d, until now never"),
            "{}",
            plan.steps[0].effect
        );
        assert_eq!(plan.approved(&[]).0.steps, []);
        apply(&server, &wanted).await;

        let deadline = Instant::now() + Duration::from_secs(180);
        loop {
            server.run(&format!("OPTIMIZE TABLE qoestor.{name} FINAL")).await;
            let oldest =
                server.text(&format!("SELECT min(time) > now() - INTERVAL 35 DAY FROM qoestor.{name}"));
            if oldest == "1\n" && disks(&server, name, true, 14) == "cold\n" {
                break;
            }
            assert!(Instant::now() < deadline, "{name}: {oldest}{}", disks(&server, name, true, 14));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(disks(&server, name, false, 14), "default\n", "{name}");
        assert_eq!(staying(), before, "{name}");

        // Later again: nothing is lost by it.
        let later = kept(family, table, Some(21), Some(60));
        let plan = planned(&server, &later).await;
        let steps: Vec<_> = plan.steps.iter().map(|step| (step.action, step.risk)).collect();
        assert_eq!(steps, [(Action::ModifyTtl, Risk::Retention)]);
        apply(&server, &later).await;
        server.run(&format!("OPTIMIZE TABLE qoestor.{name} FINAL")).await;
        assert_eq!(staying(), before, "{name}");
        assert_eq!(uuid(), made, "{name} is another table");
    }
}
