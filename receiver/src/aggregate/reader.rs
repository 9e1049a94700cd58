//! The thread of one family: reads frames, gathers, flushes, sends. What it knows of the journal it writes down only
//! with the flush that says it, so that a kill at any step repeats or continues and never adds twice.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crc_fast::{CrcAlgorithm, Digest};
use ipfix::Column;
use schema::{LEDGER, LedgerRow, Stream};

use super::blocks::blocks;
use super::gather::{Filtered, Gatherer};
use super::layout::only_what_is_needed;
use super::options::{AggregatorOptions, AggregatorStatus, Opened};
use super::outbox::{Flush, Outbox, Standing};
use crate::decode::{Decoder, DecoderState, Origin};
use crate::enrich::{Enricher, Knowledge};
use crate::insert::{BLOCK_BYTES, Bound, Failure, MAX_BLOCK_ROWS, Shards};
use crate::journal::frame::crc32c;
use crate::journal::{Fsync, Journal, JournalReader, Position, lock};
use crate::ledger;

const IDLE: Duration = Duration::from_millis(20);
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(5);
/// Groups that a flush has at most: about 80 MB while they are gathered.
pub const MAX_GROUPS: u32 = 1 << 18;
/// Memory from which a flush does not wait: long names and many histograms.
pub const MAX_MEMORY: usize = 192 << 20;
/// With fewer records a flush waits longer, because rows of one interval that come in several flushes are several rows
/// until parts are merged.
const ENOUGH_RECORDS: u64 = 500_000;
/// So many times longer.
const PATIENCE: u32 = 5;

/// One family of one stream on its way from the journal to its tables.
pub struct Aggregator {
    options: AggregatorOptions,
    stream: &'static Stream,
    pub(super) journal: Arc<Journal>,
    pub(super) shards: Shards,
    /// The shard whose turn it is to get the next flush.
    pub(super) turn: AtomicU32,
    work: Mutex<Work>,
    status: Mutex<AggregatorStatus>,
    last_error: Mutex<Option<String>>,
    pub(super) retries: AtomicU64,
    flush_after_ms: AtomicU64,
    hurry: AtomicBool,
    give_up: AtomicBool,
}

/// What the thread works with.
pub(super) struct Work {
    pub(super) outbox: Outbox,
    /// The last flush that is acknowledged.
    pub(super) standing: Standing,
    /// A flush that is not, bound to its shard.
    pub(super) pending: Option<(Flush, Bound)>,
    /// What is gathered is to be flushed, and no shard takes it: nothing more is gathered.
    has_no_shard: bool,
    reader: JournalReader,
    decoder: Decoder,
    columns: Vec<Column>,
    enricher: Enricher,
    gatherer: Gatherer,
    /// Since when the present groups are gathered.
    since: Option<Instant>,
    last: u64,
    arrival_us: u64,
    /// Over the CRCs of the frames since the last flush.
    digest: Digest,
    /// An error has left reader, decoder and groups in between: nothing is gathered until they stand at the last
    /// flush again.
    is_broken: bool,
}

impl Aggregator {
    /// A reader that goes on where its outbox says.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn resume(
        options: AggregatorOptions,
        journal: &Arc<Journal>,
        shards: Shards,
        opened: Opened,
    ) -> io::Result<Aggregator> {
        let stream: &'static Stream =
            Box::leak(Box::new(only_what_is_needed(&options.stream, options.family)));
        let Opened { outbox, standing, flush } = opened;
        let standing = match standing {
            Some(standing) if standing.journal == journal.id() => standing,
            _ => beginning(journal),
        };
        // A flush of another journal is sent and says nothing about this one.
        let own = flush.as_ref().filter(|flush| flush.after.journal == journal.id());
        let place = own.map_or(&standing, |flush| &flush.after);
        let (reader, decoder) = at(&options, stream, journal, place)?;
        let (last, arrival_us) = (place.last, place.arrival_us);
        let gatherer = empty_gatherer(&options, stream);
        let work = Work {
            outbox,
            pending: flush.map(|flush| {
                let bound = shards.bind(flush.shard);
                (flush, bound)
            }),
            has_no_shard: false,
            reader,
            decoder,
            columns: stream.new_columns(),
            enricher: Enricher::new(stream),
            gatherer,
            since: None,
            last,
            arrival_us,
            digest: Digest::new(CrcAlgorithm::Crc32Iscsi),
            is_broken: false,
            standing,
        };
        let flush_after_ms =
            AtomicU64::new(u64::try_from(options.flush_after.as_millis()).unwrap_or(u64::MAX));
        let aggregator = Aggregator {
            stream,
            journal: journal.clone(),
            shards,
            // Readers begin at different shards, and not always at the same after a start.
            turn: AtomicU32::new(crc32c(format!("{}/{}/{last}", journal.id(), options.table()).as_bytes())),
            status: Mutex::default(),
            last_error: Mutex::default(),
            retries: AtomicU64::new(0),
            flush_after_ms,
            hurry: AtomicBool::new(false),
            give_up: AtomicBool::new(false),
            work: Mutex::new(work),
            options,
        };
        aggregator.show(&lock(&aggregator.work));
        Ok(aggregator)
    }

    /// Works until [`Aggregator::stop`]; for a thread of its own.
    pub fn work(&self, runtime: &tokio::runtime::Handle) {
        let mut work = lock(&self.work);
        while !self.given_up() {
            if let Err(error) = self.turn(&mut work, runtime) {
                self.report(&Failure::Wait(format!("the journal or the outbox: {error}")));
                work.is_broken = work.pending.is_none();
                self.pause(LAST_PAUSE);
            }
        }
    }

    /// Sends a flush, or gathers a block, or waits a little.
    fn turn(&self, work: &mut Work, runtime: &tokio::runtime::Handle) -> io::Result<()> {
        if work.pending.is_some() {
            return self.send(work, runtime);
        }
        if work.is_broken {
            return self.begin_again(work);
        }
        if work.has_no_shard {
            return self.flush(work, runtime);
        }
        let Some(knowledge) = self.options.known.get() else {
            std::thread::sleep(IDLE);
            return Ok(());
        };
        let has_read = self.gather(work, &knowledge)?;
        if has_read {
            self.show(work);
        }
        if self.is_due(work, has_read) {
            return self.flush(work, runtime);
        }
        if !has_read {
            std::thread::sleep(IDLE);
        }
        Ok(())
    }

    /// Gathers a block's worth of frames; whether there were any.
    fn gather(&self, work: &mut Work, knowledge: &Knowledge) -> io::Result<bool> {
        let published = self.journal.published().number;
        let (mut bytes, mut holes) = (0, Vec::new());
        let mut holes_before = 0;
        while bytes < BLOCK_BYTES && work.columns.first().map_or(0, Column::len) < MAX_BLOCK_ROWS {
            let Some(next) = work.reader.read(published, &mut holes)? else { break };
            if holes.len() > holes_before {
                work.decoder.cross_hole(&self.journal, next.position)?;
                holes_before = holes.len();
            }
            work.decoder.frame(&next, &work.reader, &self.journal, &mut work.columns)?;
            work.digest.update(&next.header.crc.to_le_bytes());
            work.last = next.header.number;
            work.arrival_us = next.header.arrival_us;
            bytes += next.header.length as usize + 1;
        }
        if holes.len() > holes_before {
            work.decoder.cross_hole(&self.journal, work.reader.position())?;
        }
        let unique: BTreeSet<(u64, u64)> = holes.iter().map(|hole| (hole.first, hole.last)).collect();
        work.decoder.state.counters.lost_frames +=
            unique.iter().map(|(first, last)| (last + 1).saturating_sub(*first)).sum::<u64>();
        if bytes == 0 {
            return Ok(false);
        }
        work.since.get_or_insert_with(Instant::now);
        work.enricher.enrich(&mut work.columns, knowledge);
        work.gatherer.add(&work.columns, &knowledge.settings);
        work.columns.iter_mut().for_each(Column::clear);
        Ok(true)
    }

    fn is_due(&self, work: &Work, has_read: bool) -> bool {
        let Some(since) = work.since else { return false };
        if work.gatherer.groups() >= MAX_GROUPS || work.gatherer.memory() >= MAX_MEMORY {
            return true;
        }
        if self.hurry.load(Ordering::Relaxed) {
            return !has_read;
        }
        let flush_after = Duration::from_millis(self.flush_after_ms.load(Ordering::Relaxed));
        let age = since.elapsed();
        let is_enough = work.gatherer.records >= ENOUGH_RECORDS;
        age >= flush_after && (is_enough || age >= flush_after * PATIENCE)
    }

    /// Puts what is gathered into the outbox.
    fn flush(&self, work: &mut Work, runtime: &tokio::runtime::Handle) -> io::Result<()> {
        let Some(bound) = self.next_shard(runtime) else {
            if !work.has_no_shard {
                self.report(&Failure::wait("no shard is open and answers: what is gathered waits for one"));
            }
            work.has_no_shard = true;
            self.pause(FIRST_PAUSE * 5);
            return Ok(());
        };
        work.has_no_shard = false;
        // A power cut must not take frames that are in the tables: their numbers would be used again.
        if self.journal.options().fsync != Fsync::Never {
            self.journal.sync()?;
        }
        let first = work.standing.last + 1;
        let crc =
            std::mem::replace(&mut work.digest, Digest::new(CrcAlgorithm::Crc32Iscsi)).finalize() as u32;
        let range = format!("{first}-{}/{crc:08x}", work.last);
        let identity = self.journal.identity();
        let mut writing = work.outbox.begin()?;
        blocks(&mut work.gatherer, self.options.family, self.options.minutes, |block| {
            let sql = self.options.family.insert_sql(&self.shards.database, block.table);
            let token =
                format!("{identity}/{}/{}/week-{}/{range}", block.table.name, bound.shard, block.week);
            writing.block(&sql, token, block.rows, block.bytes)
        })?;
        let after = self.after(work);
        let row = self.ledger_row(&after, &work.standing);
        let token = format!("{identity}/{LEDGER}/{}/{range}", self.options.table());
        let flush = work.outbox.complete(writing, after, (row, token), bound.shard)?;
        work.pending = Some((flush, bound));
        self.empty(&mut work.gatherer);
        work.since = None;
        Ok(())
    }

    /// Forgets the groups. Memory that is kept for the next ones counts as theirs: so much of it that they would soon be
    /// flushed again is given back.
    fn empty(&self, gatherer: &mut Gatherer) {
        gatherer.clear();
        if gatherer.memory() > MAX_MEMORY / 2 {
            *gatherer = empty_gatherer(&self.options, self.stream);
        }
    }

    /// Where the reader stands after the flush that is made now.
    fn after(&self, work: &Work) -> Standing {
        let before = &work.standing;
        let mut filtered = before.filtered;
        filtered.add(&work.gatherer.filtered);
        Standing {
            journal: self.journal.id(),
            last: work.last,
            arrival_us: work.arrival_us,
            position: work.reader.position(),
            decoder: work.decoder.state.clone(),
            stored: before.stored + work.gatherer.records,
            filtered,
            clock_skew: before.clock_skew + work.gatherer.clock_skew,
        }
    }

    fn ledger_row(&self, now: &Standing, before: &Standing) -> LedgerRow {
        let AggregatorOptions { collector, dpi, listener, .. } = &self.options;
        let stream = format!("{listener} to {}", self.options.table());
        let of = ledger::Of { collector, dpi: *dpi, stream: &stream, journal: self.journal.identity() };
        ledger::row(&of, &now.balance(), &before.balance())
    }

    /// After an error of the journal or the disk: what was gathered since the last flush is gathered anew.
    fn begin_again(&self, work: &mut Work) -> io::Result<()> {
        (work.reader, work.decoder) = at(&self.options, self.stream, &self.journal, &work.standing)?;
        self.empty(&mut work.gatherer);
        work.columns.iter_mut().for_each(Column::clear);
        work.digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        work.since = None;
        work.has_no_shard = false;
        (work.last, work.arrival_us) = (work.standing.last, work.standing.arrival_us);
        work.is_broken = false;
        self.show(work);
        Ok(())
    }

    pub(super) fn show(&self, work: &Work) {
        let standing = &work.standing;
        let mut filtered = standing.filtered;
        filtered.add(&work.gatherer.filtered);
        *lock(&self.status) = AggregatorStatus {
            table: self.options.table(),
            decoded: work.decoder.state.counters.decoded,
            stored: standing.stored,
            filtered,
            clock_skew: standing.clock_skew + work.gatherer.clock_skew,
            groups: work.gatherer.groups().into(),
            retries: 0,
            releasable: (standing.last + 1, standing.decoder.pinned_segments()),
        };
    }

    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.given_up() {
            std::thread::sleep(IDLE.min(pause));
        }
    }

    pub(super) fn report(&self, failure: &Failure) {
        *lock(&self.last_error) = Some(failure.to_string());
        if crate::log_limit::allow("aggregate") {
            tracing::warn!(
                dpi = self.options.dpi,
                stream = self.options.listener,
                table = self.options.table(),
                error = %failure,
                "aggregates are not written; it is tried again with the same bytes"
            );
        }
    }

    pub(super) fn given_up(&self) -> bool {
        self.give_up.load(Ordering::Relaxed)
    }

    /// What is counted.
    pub fn status(&self) -> AggregatorStatus {
        AggregatorStatus { retries: self.retries.load(Ordering::Relaxed), ..lock(&self.status).clone() }
    }

    /// The last thing that went wrong.
    pub fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }

    /// What the journal may forget: frames below the number, except in these segments.
    pub fn releasable(&self) -> (u64, Vec<u64>) {
        lock(&self.status).releasable.clone()
    }

    /// Whether every frame is in the tables.
    pub fn is_drained(&self) -> bool {
        lock(&self.status).releasable.0 > self.journal.published().number
    }

    /// From now on nothing waits to become a larger flush.
    pub fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// Ends the thread. What is not stored is in the journal or in the outbox.
    pub fn stop(&self) {
        self.give_up.store(true, Ordering::Relaxed);
    }

    /// Changes how long records are gathered.
    pub fn set_flush_after(&self, flush_after: Duration) {
        let milliseconds = u64::try_from(flush_after.as_millis()).unwrap_or(u64::MAX);
        self.flush_after_ms.store(milliseconds, Ordering::Relaxed);
    }
}

fn empty_gatherer(options: &AggregatorOptions, stream: &Stream) -> Gatherer {
    Gatherer::new(options.family, stream, options.switches.as_deref(), options.minutes)
}

/// The oldest frame that is there.
fn beginning(journal: &Journal) -> Standing {
    let first = journal.segment_starts().first().copied().unwrap_or(1);
    Standing {
        journal: journal.id(),
        last: first.saturating_sub(1),
        arrival_us: 0,
        position: Position { segment: first, offset: 0, number: first },
        decoder: DecoderState::default(),
        stored: 0,
        filtered: Filtered::default(),
        clock_skew: 0,
    }
}

fn at(
    options: &AggregatorOptions,
    stream: &'static Stream,
    journal: &Arc<Journal>,
    standing: &Standing,
) -> io::Result<(JournalReader, Decoder)> {
    let origin = Origin { dpi: options.dpi, domains: options.domains.clone(), journal: journal.id() };
    let position = standing.position;
    let decoder = Decoder::restore(journal, stream, origin, standing.decoder.clone(), position)?;
    Ok((JournalReader::at(journal.clone(), position), decoder))
}
