//! Rules for retention and rollups.

use super::{FieldPath, Problems, words};
use crate::duration::Duration;
use crate::tables::{AggregateTable, Interval, Rollup, Tables};

pub(super) fn check(path: &FieldPath, tables: &Tables, problems: &mut Problems) {
    let Tables {
        fullflow,
        clickstream,
        gtpflow,
        natflow,
        dnsflow,
        fullflow_agg,
        clickstream_agg,
        gtpflow_agg,
        natflow_agg,
        dnsflow_agg,
    } = tables;
    for (name, table) in [
        ("fullflow", fullflow),
        ("clickstream", clickstream),
        ("gtpflow", gtpflow),
        ("natflow", natflow),
        ("dnsflow", dnsflow),
    ] {
        if let Some(table) = table {
            retention(&path.field(name), Some(table.keep_for()), table.move_to_cold_after, problems);
        }
    }
    for (name, table) in [("fullflow_agg", fullflow_agg), ("clickstream_agg", clickstream_agg)] {
        if let Some(table) = table {
            aggregate(&path.field(name), &table.into(), problems);
            if let Some(keys) = &table.keys {
                distinct(&path.field(name).field("keys"), keys, problems);
            }
        }
    }
    for (name, table) in [("gtpflow_agg", gtpflow_agg), ("dnsflow_agg", dnsflow_agg)] {
        if let Some(table) = table {
            aggregate(&path.field(name), &table.into(), problems);
        }
    }
    if let Some(table) = natflow_agg {
        let path = path.field("natflow_agg");
        aggregate(&path, &table.into(), problems);
        if let Some(keys) = &table.keys {
            distinct(&path.field("keys"), keys, problems);
        }
    }
}

fn aggregate(path: &FieldPath, table: &AggregateTable, problems: &mut Problems) {
    retention(path, table.keep_for, table.move_to_cold_after, problems);
    rollups(path, table.interval, table.rollups.as_deref().unwrap_or_default(), table.keep_for, problems);
}

fn retention(path: &FieldPath, keep: Option<Duration>, cold: Option<Duration>, problems: &mut Problems) {
    if let (Some(keep), Some(cold)) = (keep, cold)
        && cold >= keep
    {
        let message = format!("{} ({keep}), got {cold}", words::LESS_THAN_KEEP_FOR);
        problems.add(path.field("moveToColdAfter"), message);
    }
}

fn rollups(
    path: &FieldPath,
    interval: Interval,
    rollups: &[Rollup],
    keep: Option<Duration>,
    problems: &mut Problems,
) {
    let mut finer = interval;
    let mut sooner: Option<Duration> = None;
    for (index, rollup) in rollups.iter().enumerate() {
        let path = path.field("rollups").index(index);
        if rollup.interval <= finer || !rollup.interval.minutes().is_multiple_of(finer.minutes()) {
            let message = format!(
                "{} ({}m), got {}m",
                words::MULTIPLE_OF_INTERVAL,
                finer.minutes(),
                rollup.interval.minutes()
            );
            problems.add(path.field("interval"), message);
        } else if rollup.interval == Interval::TenMinutes {
            problems.add(path.field("interval"), words::NO_ROLLUP_TO_10M);
        }
        if let Some(sooner) = sooner
            && rollup.after <= sooner
        {
            let message = format!("{} ({sooner}), got {}", words::MORE_THAN_BEFORE, rollup.after);
            problems.add(path.field("after"), message);
        }
        if let Some(keep) = keep
            && rollup.after >= keep
        {
            problems.add(
                path.field("after"),
                format!("{} ({keep}), got {}", words::LESS_THAN_KEEP_FOR, rollup.after),
            );
        }
        finer = rollup.interval;
        sooner = Some(rollup.after);
    }
}

fn distinct<K: PartialEq + std::fmt::Debug>(path: &FieldPath, keys: &[K], problems: &mut Problems) {
    if keys.is_empty() {
        problems.add(path.clone(), "expected at least one key; leave the field out for all of them");
    }
    for (index, key) in keys.iter().enumerate() {
        if keys.iter().take(index).any(|earlier| earlier == key) {
            problems.add(path.index(index), format!("{key:?} is listed twice"));
        }
    }
}
