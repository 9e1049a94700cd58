//! Prometheus metrics: the status in another format, read at each scrape, so the two never disagree.
//! Counters count from the beginning of a journal and survive restarts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use crds::receiver::{AggregateStatus, DestinationStatus, StreamStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::dictionaries::DictionariesState;
use crate::insert::Shards;
use crate::journal::lock;
use crate::listen::Refusal;
use crate::reload::ConfigState;
use crate::status;
use crate::stream::StreamHandle;

type Labels = Vec<(&'static str, String)>;

/// Reads the streams when it is asked.
struct Streams(Vec<Arc<StreamHandle>>);

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Streams({})", self.0.len())
    }
}

/// Reads how the configuration stands when it is asked.
#[derive(Debug)]
struct Configuration(Arc<Mutex<ConfigState>>);

impl Collector for Configuration {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = lock(&self.0).clone();
        let help = "Changes of the configuration files since the process began";
        let mut reloads = encoder.encode_descriptor("config_reloads", help, None, MetricType::Counter)?;
        for (result, count) in
            [("applied", state.applied), ("invalid", state.invalid), ("restart", state.restart)]
        {
            let labels: Labels = vec![("result", result.to_string())];
            reloads.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
        }
        let help = "1 if everything in the configuration files is in force";
        let mut in_force = encoder.encode_descriptor("config_in_force", help, None, MetricType::Gauge)?;
        in_force.encode_gauge(&i64::from(state.error.is_none()))
    }
}

/// Reads how the dictionaries stand when it is asked.
#[derive(Debug)]
struct Dictionaries(Arc<Mutex<DictionariesState>>);

impl Collector for Dictionaries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = lock(&self.0).clone();
        let help = "The newest version of a dictionary that records are enriched by";
        let mut version = encoder.encode_descriptor("dictionary_version", help, None, MetricType::Gauge)?;
        version.encode_gauge(&i64::from(state.version))?;
        let help = "Rows of dictionaries that records are enriched by";
        let mut rows = encoder.encode_descriptor("dictionary_rows", help, None, MetricType::Gauge)?;
        for (name, count) in state.rows {
            let labels: Labels = vec![("dictionary", name.to_string())];
            rows.encode_family(&labels)?.encode_gauge(&i64::try_from(count).unwrap_or(i64::MAX))?;
        }
        let help = "Sets of dictionaries and settings put in force since the process began";
        let mut swaps = encoder.encode_descriptor("dictionary_swaps", help, None, MetricType::Counter)?;
        swaps.encode_counter::<NoLabelSet, u64, u64>(&state.swaps, None)?;
        let help = "1 if the newest versions of all dictionaries are in force";
        let mut in_force =
            encoder.encode_descriptor("dictionaries_in_force", help, None, MetricType::Gauge)?;
        in_force.encode_gauge(&i64::from(state.error.is_none()))
    }
}

/// Reads what is bound to each server when it is asked.
struct Servers(Shards);

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Servers({})", self.0.count())
    }
}

impl Collector for Servers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let of = |number: usize| -> Labels { vec![("shard", number.to_string())] };
        let help = "Inserts bound to a shard and not known to be stored";
        let mut unsettled = encoder.encode_descriptor("insert_unsettled", help, None, MetricType::Gauge)?;
        for state in self.0.states() {
            let count = i64::try_from(state.unsettled).unwrap_or(i64::MAX);
            unsettled.encode_family(&of(state.shard as usize))?.encode_gauge(&count)?;
        }
        let help = "Raw rows that a shard has taken since the process began";
        let mut rows = encoder.encode_descriptor("insert_rows", help, None, MetricType::Counter)?;
        for (number, (target, _)) in self.0.all().iter().enumerate() {
            let labels = of(number);
            rows.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&target.rows(), None)?;
        }
        Ok(())
    }
}

/// A registry of all metrics of a receiver.
pub fn registry(
    streams: Vec<Arc<StreamHandle>>,
    shards: Shards,
    config: Arc<Mutex<ConfigState>>,
    dictionaries: Arc<Mutex<DictionariesState>>,
) -> Registry {
    let mut registry = Registry::with_prefix("qoe_receiver");
    registry.register_collector(Box::new(Streams(streams)));
    registry.register_collector(Box::new(Servers(shards)));
    registry.register_collector(Box::new(Configuration(config)));
    registry.register_collector(Box::new(Dictionaries(dictionaries)));
    registry
}

/// The text that a scrape gets.
pub fn text(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}

/// One counter of a stream.
struct Figure {
    name: &'static str,
    help: &'static str,
    value: fn(&StreamStatus) -> u64,
}

const COUNTERS: [Figure; 13] = [
    Figure { name: "messages_arrived", help: "Messages read from sockets", value: |s| s.wire.arrived },
    Figure {
        name: "messages_journaled",
        help: "Messages appended to the journal",
        value: |s| s.wire.journaled,
    },
    Figure {
        name: "kernel_drops",
        help: "Datagrams dropped by the kernel since the socket was opened",
        value: |s| s.wire.kernel_drops,
    },
    Figure {
        name: "records_announced",
        help: "Records that sequence numbers announced",
        value: |s| s.sequence.announced,
    },
    Figure { name: "records_decoded", help: "Records that became rows", value: |s| s.sequence.decoded },
    Figure {
        name: "records_options",
        help: "Options records, counted and not stored",
        value: |s| s.sequence.options,
    },
    Figure {
        name: "duplicates",
        help: "Datagrams that came twice and were stored once",
        value: |s| s.sequence.duplicates,
    },
    Figure {
        name: "exporter_restarts",
        help: "Exporters that began to count anew",
        value: |s| s.sequence.restarts,
    },
    Figure {
        name: "rows_stored",
        help: "Rows that ClickHouse acknowledged",
        value: |s| s.destination.stored,
    },
    Figure {
        name: "rows_set_aside",
        help: "Rows that ClickHouse refused and a file keeps",
        value: |s| s.destination.set_aside,
    },
    Figure {
        name: "insert_retries",
        help: "Inserts tried again since the process began",
        value: |s| s.destination.retries,
    },
    Figure {
        name: "journal_frames_lost",
        help: "Journal frames that could not be read back",
        value: |s| s.journal.lost_frames,
    },
    Figure {
        name: "journal_frames",
        help: "Frames ever appended to the journal",
        value: |s| s.journal.newest_frame,
    },
];

const GAUGES: [Figure; 7] = [
    Figure {
        name: "ready",
        help: "1 if the stream listens and its journal accepts",
        value: |s| u64::from(s.ready),
    },
    Figure { name: "connections", help: "Open TCP connections", value: |s| s.wire.connections },
    Figure {
        name: "records_missing",
        help: "Records announced and not received; late ones are taken back",
        value: |s| s.sequence.missing,
    },
    Figure {
        name: "packets_missing",
        help: "NetFlow v9 packets announced and not received",
        value: |s| s.sequence.missing_packets,
    },
    Figure {
        name: "sets_waiting",
        help: "Data sets that wait for their template",
        value: |s| s.sequence.waiting_sets,
    },
    Figure {
        name: "rows_waiting",
        help: "Rows decoded and not acknowledged yet",
        value: |s| s.destination.waiting,
    },
    Figure { name: "journal_bytes", help: "Bytes of the journal on disk", value: |s| s.journal.bytes },
];

/// Of streams whose records become rows of natflow too.
const NAT_COUNTERS: [NatFigure; 4] = [
    NatFigure {
        name: "nat_records_decoded",
        help: "Fullflow records read for natflow",
        value: |nat| nat.decoded,
    },
    NatFigure {
        name: "nat_rows_stored",
        help: "Rows of natflow made of fullflow records that ClickHouse acknowledged",
        value: |nat| nat.stored,
    },
    NatFigure {
        name: "nat_rows_set_aside",
        help: "Rows of natflow made of fullflow records that ClickHouse refused and a file keeps",
        value: |nat| nat.set_aside,
    },
    NatFigure {
        name: "nat_records_filtered",
        help: "Fullflow records without an address after translation",
        value: |nat| nat.filtered.values().sum(),
    },
];

struct NatFigure {
    name: &'static str,
    help: &'static str,
    value: fn(&DestinationStatus) -> u64,
}

/// Of the aggregates of a stream, told apart by table.
struct AggregateFigure {
    name: &'static str,
    help: &'static str,
    value: fn(&AggregateStatus) -> u64,
}

const AGGREGATE_COUNTERS: [AggregateFigure; 4] = [
    AggregateFigure {
        name: "aggregate_records_decoded",
        help: "Records read for aggregates",
        value: |a| a.destination.decoded,
    },
    AggregateFigure {
        name: "aggregate_records_stored",
        help: "Records in aggregates that ClickHouse acknowledged",
        value: |a| a.destination.stored,
    },
    AggregateFigure {
        name: "aggregate_insert_retries",
        help: "Inserts of aggregates tried again since the process began",
        value: |a| a.destination.retries,
    },
    AggregateFigure {
        name: "aggregate_clock_skew",
        help: "Records counted at their arrival, being more than a day off",
        value: |a| a.clock_skew,
    },
];

const AGGREGATE_GAUGES: [AggregateFigure; 2] = [
    AggregateFigure {
        name: "aggregate_records_waiting",
        help: "Records in aggregates that are not acknowledged yet",
        value: |a| a.destination.waiting,
    },
    AggregateFigure {
        name: "aggregate_groups",
        help: "Groups gathered and not sent yet",
        value: |a| a.groups,
    },
];

/// Rules by which aggregates leave records out.
const FILTERS: [&str; 3] = ["excluded", "no_translation", "not_local"];

/// One family of counters that are told apart by reason.
struct ByReason {
    name: &'static str,
    help: &'static str,
    values: fn(&StreamStatus) -> &BTreeMap<String, u64>,
    /// Reasons that are shown from the beginning, as 0: an alert on an increase sees the first one.
    known: &'static [&'static str],
}

const BY_REASON: [ByReason; 4] = [
    ByReason {
        name: "messages_refused",
        help: "Messages not journaled",
        values: |s| &s.wire.refused,
        known: &Refusal::NAMES,
    },
    ByReason {
        name: "templates_refused",
        help: "Templates not learned",
        values: |s| &s.wire.templates_refused,
        known: &[],
    },
    ByReason {
        name: "records_undecodable",
        help: "Records that could not be decoded",
        values: |s| &s.sequence.undecodable,
        known: &["foreign_template"],
    },
    ByReason {
        name: "sets_undecodable",
        help: "Sets that could not be used",
        values: |s| &s.sequence.undecodable_sets,
        known: &[],
    },
];

impl Collector for Streams {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let read: Vec<(Labels, StreamStatus)> = self
            .0
            .iter()
            .map(|stream| {
                let labels = vec![("dpi", stream.dpi.to_string()), ("stream", stream.config.name.clone())];
                (labels, status::of_stream(stream))
            })
            .collect();
        for figure in &COUNTERS {
            let mut family =
                encoder.encode_descriptor(figure.name, figure.help, None, MetricType::Counter)?;
            for (labels, status) in &read {
                let value = (figure.value)(status);
                family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
            }
        }
        for figure in &NAT_COUNTERS {
            let mut family =
                encoder.encode_descriptor(figure.name, figure.help, None, MetricType::Counter)?;
            for (labels, status) in &read {
                let Some(nat) = &status.nat else { continue };
                let value = (figure.value)(nat);
                family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
            }
        }
        for figure in &GAUGES {
            let mut family = encoder.encode_descriptor(figure.name, figure.help, None, MetricType::Gauge)?;
            for (labels, status) in &read {
                let value = i64::try_from((figure.value)(status)).unwrap_or(i64::MAX);
                family.encode_family(labels)?.encode_gauge(&value)?;
            }
        }
        let help = "Rows of natflow made of fullflow records and not acknowledged yet";
        let mut family = encoder.encode_descriptor("nat_rows_waiting", help, None, MetricType::Gauge)?;
        for (labels, status) in &read {
            let Some(nat) = &status.nat else { continue };
            family.encode_family(labels)?.encode_gauge(&i64::try_from(nat.waiting).unwrap_or(i64::MAX))?;
        }
        encode_aggregates(&mut encoder, &read)?;
        for by_reason in &BY_REASON {
            let mut family =
                encoder.encode_descriptor(by_reason.name, by_reason.help, None, MetricType::Counter)?;
            for (labels, status) in &read {
                let mut counts: BTreeMap<&str, u64> =
                    by_reason.known.iter().map(|reason| (*reason, 0)).collect();
                counts.extend(
                    (by_reason.values)(status).iter().map(|(reason, count)| (reason.as_str(), *count)),
                );
                for (reason, count) in &counts {
                    let mut labels = labels.clone();
                    labels.push(("reason", (*reason).to_string()));
                    family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(count, None)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_aggregates(
    encoder: &mut DescriptorEncoder<'_>,
    read: &[(Labels, StreamStatus)],
) -> Result<(), fmt::Error> {
    let all = || {
        read.iter().flat_map(|(labels, status)| {
            status.aggregates.iter().map(move |aggregate| {
                let mut labels = labels.clone();
                labels.push(("table", aggregate.destination.table.clone()));
                (labels, aggregate)
            })
        })
    };
    for figure in &AGGREGATE_COUNTERS {
        let mut family = encoder.encode_descriptor(figure.name, figure.help, None, MetricType::Counter)?;
        for (labels, aggregate) in all() {
            let value = (figure.value)(aggregate);
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
        }
    }
    let help = "Records that aggregates leave out, by rule";
    let mut family =
        encoder.encode_descriptor("aggregate_records_filtered", help, None, MetricType::Counter)?;
    for (labels, aggregate) in all() {
        for rule in FILTERS {
            let mut labels = labels.clone();
            labels.push(("rule", rule.to_string()));
            let count = aggregate.destination.filtered.get(rule).copied().unwrap_or(0);
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
        }
    }
    for figure in &AGGREGATE_GAUGES {
        let mut family = encoder.encode_descriptor(figure.name, figure.help, None, MetricType::Gauge)?;
        for (labels, aggregate) in all() {
            let value = i64::try_from((figure.value)(aggregate)).unwrap_or(i64::MAX);
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
    }
    Ok(())
}
