//! What a collector wants of its database: the tables of all streams, how long they keep their rows, and where
//! these move. Pure; `qoe up` and the operator both plan from this, so the same file gives the same tables.

use std::collections::BTreeMap;

use schema::{AggregateOptions, Desired, ElementError, Family, TableOptions};

use crate::clickhouse::{ClickHouseKind, StoragePolicy};
use crate::collector::QoeCollectorSpec;
use crate::duration::Duration;
use crate::stream::StreamType;
use crate::validate::{FieldPath, Problem};

/// The volumes of a server that we run ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageVolumes {
    /// Name of the storage policy.
    pub policy: String,
    /// Name of its volume for old rows; `None` if it has none.
    pub cold_volume: Option<String>,
}

/// The database that `spec` asks for. All streams have their tables, whether or not a DPI sends them: queries
/// may name them. An external server has the volumes that the spec names; any other has `storage`. The caller
/// adds whose it is, [`Desired::with_owner`].
///
/// # Errors
/// By field: an element that its column cannot take, `moveToColdAfter` where there is no cold volume.
pub fn desired(spec: &QoeCollectorSpec, storage: Option<&StorageVolumes>) -> Result<Desired, Vec<Problem>> {
    let root = FieldPath::root().field("spec");
    let storage = match spec.clickhouse.kind() {
        Some(ClickHouseKind::External(external)) => external.storage_policy.as_ref().map(volumes),
        _ => storage.cloned(),
    };
    let database = &spec.clickhouse.database;
    let mut desired = Desired::new(database);
    let mut problems = Vec::new();
    let mut options_of = |table: &str, keep_for: Option<Duration>, cold_after: Option<Duration>| {
        let mut options = TableOptions::new(database, table);
        options.keep_for = keep_for.map(|keep| keep.as_millis() / 1000);
        if let Some(storage) = &storage {
            options.storage_policy = Some(storage.policy.clone());
        }
        if let Some(after) = cold_after {
            match storage.as_ref().and_then(|storage| storage.cold_volume.clone()) {
                Some(cold) => {
                    options.cold_volume = cold;
                    options.move_to_cold_after = Some(after.as_millis() / 1000);
                }
                None => problems.push(Problem {
                    path: root.field("tables").field(table).field("moveToColdAfter"),
                    message: no_cold_volume(spec).to_owned(),
                }),
            }
        }
        options
    };
    let mut raw = Vec::new();
    for stream_type in StreamType::ALL {
        let kept = spec.tables.raw(stream_type);
        raw.push(options_of(stream_type.table(), Some(kept.keep_for()), kept.move_to_cold_after));
        let Some(aggregate) = spec.tables.aggregate(stream_type) else { continue };
        let family = family(stream_type);
        let Some(wide) = family.tables.first() else { continue };
        if stream_type == StreamType::Fullflow {
            desired = desired.with_function(schema::RTT_QUANTILE);
        }
        let options = options_of(wide.name, aggregate.keep_for, aggregate.move_to_cold_after);
        for table in &family.tables {
            let options = AggregateOptions {
                table: TableOptions { table: table.name.to_owned(), ..options.clone() },
                minutes: table.minutes_with(aggregate.interval.minutes()),
                rollups: aggregate.rollups(),
            };
            desired = desired.with_table(family.table(table, &options));
        }
    }
    for (stream_type, options) in StreamType::ALL.into_iter().zip(raw) {
        match crate::declare::stream(stream_type, &spec.elements) {
            Ok(stream) => desired = desired.with_table(stream.table(&options)),
            Err(error) => problems.push(element_problem(&root, spec, stream_type, &error)),
        }
    }
    if problems.is_empty() { Ok(desired) } else { Err(problems) }
}

/// The aggregates of a stream.
pub fn family(stream_type: StreamType) -> &'static Family {
    match stream_type {
        StreamType::Fullflow => schema::aggregates::fullflow(),
        StreamType::Clickstream => schema::aggregates::clickstream(),
        StreamType::GtpFlow => schema::aggregates::gtpflow(),
        StreamType::NatFlow => schema::aggregates::natflow(),
        StreamType::DnsFlow => schema::aggregates::dnsflow(),
    }
}

fn volumes(policy: &StoragePolicy) -> StorageVolumes {
    StorageVolumes { policy: policy.name.clone(), cold_volume: Some(policy.cold_volume.clone()) }
}

fn no_cold_volume(spec: &QoeCollectorSpec) -> &'static str {
    match spec.clickhouse.kind() {
        Some(ClickHouseKind::External(_)) => {
            "there is no cold volume: name one in spec.clickhouse.external.storagePolicy, or leave this out"
        }
        _ => "there is no cold volume: give one in spec.clickhouse.managed.storage.cold, or leave this out",
    }
}

fn element_problem(
    root: &FieldPath,
    spec: &QoeCollectorSpec,
    stream_type: StreamType,
    error: &ElementError,
) -> Problem {
    let (ElementError::Type { column, element, .. } | ElementError::NotFilled { column, element, .. }) =
        error;
    let index = spec.elements.iter().position(|custom| {
        custom.stream == stream_type
            && custom.column == *column
            && (custom.pen, custom.id) == (element.pen, element.id)
    });
    let path = root.field("elements");
    Problem {
        path: index.map_or(path.clone(), |index| path.index(index).field("column")),
        message: error.to_string(),
    }
}

/// Compares the volumes that `spec` names with those that an external server has, see
/// [`schema::Observed::storage`]: a CREATE TABLE would fail without saying which field is wrong.
pub fn storage_problems(spec: &QoeCollectorSpec, found: &BTreeMap<String, Vec<String>>) -> Vec<Problem> {
    let Some(ClickHouseKind::External(external)) = spec.clickhouse.kind() else { return Vec::new() };
    let Some(StoragePolicy { name, hot_volume, cold_volume }) = &external.storage_policy else {
        return Vec::new();
    };
    let path = FieldPath::root().field("spec").field("clickhouse").field("external").field("storagePolicy");
    let Some(volumes) = found.get(name) else {
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        let message = format!("the server has no storage policy {name:?}, it has {}", names.join(", "));
        return vec![Problem { path: path.field("name"), message }];
    };
    let mut problems = Vec::new();
    for (field, volume) in [("hotVolume", hot_volume), ("coldVolume", cold_volume)] {
        if !volumes.contains(volume) {
            let message =
                format!("storage policy {name} has no volume {volume:?}, it has {}", volumes.join(", "));
            problems.push(Problem { path: path.field(field), message });
        }
    }
    if problems.is_empty()
        && let Some(first) = volumes.first()
        && first != hot_volume
    {
        let message = format!("records arrive at the policy's first volume, {first}, not at {hot_volume}");
        problems.push(Problem { path: path.field("hotVolume"), message });
    }
    problems
}

#[cfg(test)]
mod tests;
