//! The status document: the three balances of each stream, and what stands in the way. Only reads
//! what others count.

use crds::receiver::{
    AggregateStatus, DestinationStatus, DictionariesStatus, DpiStatus, GapStatus, JournalStatus,
    SequenceStatus, Status, StreamStatus, WireStatus,
};

use crate::aggregate::Aggregator;
use crate::http::Shared;
use crate::insert::Pipeline;
use crate::journal::lock;
use crate::stream::StreamHandle;

/// The status of one stream.
pub fn of_stream(stream: &StreamHandle) -> StreamStatus {
    // Read against the flow of records: what is counted later is read first, so that a record on its
    // way shows as waiting and never as stored twice.
    let destination = destination(&stream.pipeline);
    let low_water = lock(stream.pipeline.book()).committed().low_water;
    let state = stream.pipeline.live_state();
    let counters = &state.counters;
    let figures = state.sequence_figures();
    let wire = stream.wire.balance();
    let published = stream.journal.published();
    StreamStatus {
        name: stream.config.name.clone(),
        address: stream.address.to_string(),
        ready: stream.accepts(),
        journal: JournalStatus {
            bytes: stream.journal.bytes_on_disk(),
            oldest_frame: stream.journal.segment_starts().first().copied().unwrap_or(0),
            newest_frame: published.number,
            waiting_frames: published.number.saturating_sub(low_water),
            lost_frames: counters.lost_frames,
            hours_left: hours_left(stream),
        },
        wire: WireStatus {
            arrived: wire.arrived,
            journaled: wire.journaled,
            refused: wire.refused,
            kernel_drops: stream.wire.kernel_drops(),
            connections: stream.wire.connections(),
            templates_refused: stream
                .wire
                .refused_templates()
                .into_iter()
                .map(|(reason, count)| (reason.to_string(), count))
                .collect(),
        },
        sequence: SequenceStatus {
            announced: figures.records.announced,
            decoded: counters.decoded,
            options: counters.options,
            missing: figures.records.missing,
            missing_packets: figures.packets.missing,
            undecodable: counters.undecodable_records.clone(),
            undecodable_sets: counters.undecodable_sets.clone(),
            waiting_sets: state.waiting_sets() as u64,
            duplicates: figures.records.duplicates + figures.packets.duplicates,
            restarts: figures.records.restarts + figures.packets.restarts,
            gaps: state
                .gaps()
                .map(|gap| GapStatus {
                    arrived_at: gap.arrival_us / 1000,
                    exporter: gap.exporter.to_string(),
                    domain: gap.domain,
                    first: gap.first,
                    missing: gap.missing,
                })
                .collect(),
        },
        destination,
        nat: stream.nat.as_ref().map(|nat| self::destination(nat)),
        aggregates: stream.aggregators.iter().map(|aggregator| aggregate(aggregator)).collect(),
        last_error: stream.pipeline.last_error(),
        last_record_at: (published.arrival_us > 0).then_some(published.arrival_us / 1000),
    }
}

/// The destination's balance of one reader of a journal. What is counted later is read first.
fn destination(pipeline: &Pipeline) -> DestinationStatus {
    let totals = lock(pipeline.book()).totals();
    let decoded = pipeline.live_state().counters.decoded;
    let filtered = [("no_translation".to_string(), totals.filtered)];
    DestinationStatus {
        table: pipeline.table().to_string(),
        decoded,
        stored: totals.stored,
        waiting: decoded.saturating_sub(totals.settled()),
        set_aside: totals.set_aside,
        skipped: 0,
        filtered: filtered.into_iter().filter(|(_, count)| *count > 0).collect(),
        retries: pipeline.retries(),
    }
}

fn aggregate(aggregator: &Aggregator) -> AggregateStatus {
    let status = aggregator.status();
    let filtered = &status.filtered;
    let filtered = [
        ("not_local", filtered.not_local),
        ("excluded", filtered.excluded),
        ("no_translation", filtered.no_translation),
    ];
    AggregateStatus {
        destination: DestinationStatus {
            table: status.table.to_string(),
            decoded: status.decoded,
            stored: status.stored,
            waiting: status.waiting(),
            set_aside: 0,
            skipped: 0,
            filtered: filtered
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(rule, count)| (rule.to_string(), count))
                .collect(),
            retries: status.retries,
        },
        clock_skew: status.clock_skew,
        groups: status.groups,
        last_error: aggregator.last_error(),
    }
}

/// The status of a whole receiver.
pub fn of_receiver(shared: &Shared) -> Status {
    let mut dpis: Vec<DpiStatus> = Vec::new();
    for stream in &shared.streams {
        let status = of_stream(stream);
        match dpis.iter_mut().find(|dpi| dpi.id == stream.dpi) {
            Some(dpi) => dpi.streams.push(status),
            None => dpis.push(DpiStatus {
                id: stream.dpi,
                streams: vec![status],
                journal_quota_bytes: stream.journal.quota().bytes(),
            }),
        }
    }
    let config = lock(&shared.config).clone();
    // After the hash: what a configuration closes was closed before its hash is told, and nothing is bound since.
    let shards = shared.shards.states();
    let dictionaries = lock(&shared.dictionaries).clone();
    Status {
        collector: shared.collector.clone(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        started_at: shared.started_at,
        dpis,
        config_hash: config.hash,
        shards,
        config_error: config.error,
        cpu_missing: config.cpu_missing,
        dictionaries: DictionariesStatus {
            version: dictionaries.version,
            rows: dictionaries.rows.into_iter().map(|(name, rows)| (name.to_string(), rows)).collect(),
            error: dictionaries.error,
        },
    }
}

fn hours_left(stream: &StreamHandle) -> Option<f64> {
    let rate = stream.bytes_per_second.load(std::sync::atomic::Ordering::Relaxed);
    (rate > 0).then(|| stream.journal.quota().left() as f64 / rate as f64 / 3600.0)
}
