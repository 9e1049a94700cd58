//! One receiver and several servers: each record is on one of them, a server that is away holds up only what is
//! bound to it, and servers come and go while records flow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::print_stdout)]

use std::time::Duration;

use crds::receiver::{ShardStatus, hash_of};
use e2e::{Sending, Sent, Simulator, System, SystemOptions, assert_balanced, wait_for};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const LONG: Duration = Duration::from_secs(600);

/// A system with so many shards; the receiver runs.
fn start(shards: usize, max_delay_ms: u64, tables: Option<&'static str>) -> System {
    let configure = move |config: &mut crds::receiver::ReceiverConfig| {
        config.dpis[0].max_delay_ms = max_delay_ms;
        // Shards take turns with what is gathered: several times while a test sends.
        config.dpis[0].flush_interval_ms = Some(200);
    };
    let mut system = System::prepare(&SystemOptions { configure: Some(Box::new(configure)), tables });
    for _ in 1..shards {
        system.add_shard();
    }
    system.start_receiver();
    system
}

fn send(system: &System, records: u64, rate: u64, seed: u64) -> Simulator {
    let (to, records) = (system.address(0), records.to_string());
    let (rate, seed) = (rate.to_string(), seed.to_string());
    Simulator::start(&["--to", &to, "--records", &records, "--rate", &rate, "--seed", &seed])
}

/// The table of a shard that holds the rows of another, as it is called there.
fn held_by(system: &System, shard: usize, table: &str) -> String {
    let sql = format!(
        "SELECT name FROM system.tables WHERE database = 'qoestor' AND name IN ('{table}', '{table}_local') \
         ORDER BY name DESC LIMIT 1"
    );
    format!("qoestor.{}", system.query_shard(shard, &sql))
}

/// Rows, octets, packets and the sum of session ids of DPI 0 on one shard; no session is there twice.
fn stored(system: &System, shard: usize) -> [u64; 4] {
    let answer = system.query_shard(
        shard,
        &format!(
            "SELECT count(), sum(octet_delta_count), sum(packet_delta_count), sum(session_id), \
             uniqExact(session_id, flow_start_millisecond) FROM {} WHERE dpi_id = 0",
            held_by(system, shard, "fullflow")
        ),
    );
    let figures: Vec<u64> = answer.split('\t').map(|figure| figure.parse().unwrap()).collect();
    assert_eq!(figures[0], figures[4], "doubled on shard {shard}");
    [figures[0], figures[1], figures[2], figures[3]]
}

fn rows(system: &System, shard: usize) -> u64 {
    stored(system, shard)[0]
}

/// The shards together hold exactly what was sent; returns the rows of each.
fn assert_exact(system: &System, shards: usize, runs: &[Sent]) -> Vec<u64> {
    let status = system.wait_until_stored(0);
    assert_balanced(&status);
    let sent = Sent::sum(runs);
    let each: Vec<[u64; 4]> = (0..shards).map(|shard| stored(system, shard)).collect();
    let sum = each
        .iter()
        .fold([0u64; 4], |sum, one| std::array::from_fn(|figure| sum[figure].wrapping_add(one[figure])));
    assert_eq!(sum, [sent.records, sent.octets, sent.packets, sent.session_sum], "{each:?} {status:?}");
    assert_eq!((status.destination.stored, status.destination.set_aside), (sent.records, 0), "{status:?}");
    let rows = each.iter().map(|one| one[0]).collect();
    println!("{} records on the shards: {rows:?}", sent.records);
    rows
}

fn shard(system: &System, number: u32) -> ShardStatus {
    system.status().shards.into_iter().find(|status| status.shard == number).unwrap()
}

fn write_and_wait_in_force(system: &System) {
    system.write_config();
    let hash = hash_of(&std::fs::read(system.config_file()).unwrap());
    wait_for("the configuration", LONG, || {
        let status = system.status();
        (status.config_hash == hash && status.config_error.is_none()).then_some(())
    });
}

#[test]
fn a_shard_that_is_away_holds_up_only_what_is_bound_to_it() {
    let mut system = start(3, 200, None);
    let sending = Sending::start(&system.address(0), 40_000, 1);
    for shard in 0..3 {
        wait_for("rows on each shard", LONG, || (rows(&system, shard) > 10_000).then_some(()));
    }
    for away in [1, 0] {
        system.kill_shard(away);
        let error = wait_for("the trouble", LONG, || {
            let status = shard(&system, away as u32);
            (status.unsettled > 0).then_some(status.last_error).flatten()
        });
        println!("shard {away}: {error}");
        // Again and again, not only what was on its way.
        for other in (0..3).filter(|other| *other != away) {
            for _ in 0..2 {
                let before = rows(&system, other);
                wait_for("the others to go on", LONG, || (rows(&system, other) > before).then_some(()));
            }
        }
        assert_eq!(system.get("/readyz"), "ok\n");
        system.start_shard(away);
        wait_for("the shard to be told well", LONG, || {
            shard(&system, away as u32).last_error.is_none().then_some(())
        });
    }
    assert_exact(&system, 3, &sending.finish());
    assert!(system.stream(0).destination.retries > 0);
    assert!(system.status().shards.iter().all(|shard| shard.unsettled == 0));
    let metrics = system.get("/metrics");
    for shard in 0..3 {
        let name = format!("qoe_receiver_insert_unsettled{{shard=\"{shard}\"}} 0\n");
        assert!(metrics.contains(&name), "{metrics}");
    }
}

#[test]
fn killed_receivers_and_killed_shards() {
    let mut system = start(2, 400, Some(r#"{"fullflow_agg": {}}"#));
    let mut dice = StdRng::seed_from_u64(11);
    let mut runs = Vec::new();
    for round in 0..8u64 {
        // It returns when the receiver has read everything. Some of it is stored by now, some is on its way.
        runs.push(send(&system, 60_000, 60_000, 20 + round).finish(LONG));
        std::thread::sleep(Duration::from_millis(dice.random_range(0..900)));
        let away = usize::from(round % 4 == 1);
        if round % 2 == 0 {
            system.kill_receiver();
            system.start_receiver();
        } else {
            system.kill_shard(away);
            runs.push(send(&system, 30_000, 60_000, 40 + round).finish(LONG));
            system.kill_receiver();
            system.start_receiver();
            // It starts without one of its shards, and receives.
            runs.push(send(&system, 30_000, 60_000, 60 + round).finish(LONG));
            system.start_shard(away);
        }
    }
    assert_exact(&system, 2, &runs);
    assert_eq!(aggregated(&system, 2).iter().sum::<u64>(), Sent::sum(&runs).records);
}

#[test]
fn a_shard_comes_and_is_closed_and_goes() {
    let mut system = start(1, 200, None);
    let sending = Sending::start(&system.address(0), 30_000, 1);
    wait_for("rows", LONG, || (rows(&system, 0) > 0).then_some(()));

    assert_eq!(system.add_shard(), 1);
    write_and_wait_in_force(&system);
    wait_for("rows on the new shard", LONG, || (rows(&system, 1) > 20_000).then_some(()));

    system.config.clickhouse.closed_shards = vec![1];
    write_and_wait_in_force(&system);
    wait_for("what is bound to it", LONG, || {
        let status = shard(&system, 1);
        assert!(status.closed, "{status:?}");
        (status.unsettled == 0).then_some(())
    });
    let there = rows(&system, 1);
    // It may be stopped now, and nobody notices.
    system.kill_shard(1);
    for _ in 0..3 {
        let before = rows(&system, 0);
        wait_for("the other to go on", LONG, || (rows(&system, 0) > before).then_some(()));
    }
    assert_eq!(shard(&system, 1).unsettled, 0);
    assert_eq!(system.stream(0).destination.retries, 0);
    system.start_shard(1);
    assert_eq!(rows(&system, 1), there, "something came to a closed shard");

    system.config.clickhouse.closed_shards.clear();
    write_and_wait_in_force(&system);
    wait_for("rows on the shard that is open again", LONG, || (rows(&system, 1) > there).then_some(()));

    system.config.clickhouse.closed_shards = vec![1];
    write_and_wait_in_force(&system);
    wait_for("what is bound to it", LONG, || (shard(&system, 1).unsettled == 0).then_some(()));
    let last = system.config.clickhouse.further_shards.pop();
    system.config.clickhouse.closed_shards.clear();
    assert!(last.is_some());
    write_and_wait_in_force(&system);
    assert_exact(&system, 2, &sending.finish());
    assert_eq!(system.status().shards.len(), 1);
}

#[test]
fn tables_are_renamed_while_records_flow() {
    let mut system = start(2, 200, Some(r#"{"fullflow_agg": {}}"#));
    let mut runs = vec![send(&system, 50_000, 50_000, 5).finish(LONG)];
    for (seed, shard) in [(1_000, 1), (2_000, 0)] {
        let before = rows(&system, shard);
        let sending = Sending::start(&system.address(0), 30_000, seed);
        wait_for("rows", LONG, || (rows(&system, shard) > before + 10_000).then_some(()));
        let tables = system.query_shard(
            shard,
            "SELECT name FROM system.tables WHERE database = 'qoestor' \
             AND (name LIKE 'fullflow%' OR name = 'ledger') AND engine LIKE '%MergeTree'",
        );
        assert!(tables.lines().count() >= 3, "{tables}");
        for table in tables.lines() {
            system.query_shard(shard, &format!("RENAME TABLE qoestor.{table} TO qoestor.{table}_local"));
        }
        let before = rows(&system, shard);
        wait_for("rows in the renamed table", LONG, || (rows(&system, shard) > before).then_some(()));
        runs.extend(sending.finish());
        // What one life has begun under the one name, the next settles under the other.
        system.kill_receiver();
        system.start_receiver();
    }
    assert_exact(&system, 2, &runs);
    let aggregated = aggregated(&system, 2);
    assert!(aggregated.iter().all(|records| *records > 0), "{aggregated:?}");
    let aggregated: u64 = aggregated.iter().sum();
    assert_eq!(aggregated, Sent::sum(&runs).records);
    let rows_of_ledger: u64 = (0..2)
        .map(|shard| {
            let table = held_by(&system, shard, "ledger");
            let sql =
                format!("SELECT sum(records_stored) FROM {table} WHERE stream = 'fullflow to fullflow_agg'");
            system.query_shard(shard, &sql).parse::<u64>().unwrap()
        })
        .sum();
    assert_eq!(rows_of_ledger, aggregated);
}

/// Records in the wide table of all shards, once everything is there.
fn aggregated(system: &System, shards: usize) -> Vec<u64> {
    system.wait_until_aggregated(0, "fullflow");
    let each: Vec<u64> = (0..shards)
        .map(|shard| {
            let table = held_by(system, shard, "fullflow_agg");
            let sql = format!("SELECT sum(records) FROM {table} WHERE dpi_id = 0");
            system.query_shard(shard, &sql).parse().unwrap()
        })
        .collect();
    println!("records in the aggregates of the shards: {each:?}");
    each
}
