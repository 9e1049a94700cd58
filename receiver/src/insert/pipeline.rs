//! The workers of one stream. See the module above for the order in which things happen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schema::Stream;

use super::BLOCK_BYTES;
use super::Failure;
use super::book::{After, Book};
use super::lanes::{LAST_PAUSE, Lanes, Unsettled};
use super::range::{Cut, Cutter};
use super::send::{Place, Purpose, Sent, To, Workshop};
use super::shards::{Bound, Shards};
use super::target::Target;
use crate::decode::{Decoder, DecoderState};
use crate::dictionaries::Known;
use crate::enrich::Knowledge;
use crate::intent_log::{Done, Intent};
use crate::journal::{Fsync, Journal, JournalReader, lock};

/// How often a worker without work looks for some.
const IDLE: Duration = Duration::from_millis(20);
/// The pause before the second attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Fixed facts of one stream's pipeline.
pub struct PipelineOptions {
    /// The stream.
    pub stream: &'static Stream,
    /// The table that its rows go to.
    pub table: String,
    /// The DPI, for the column `dpi_id`.
    pub dpi: u16,
    /// Observation domains that are another DPI's.
    pub domains: Arc<BTreeMap<u32, u16>>,
    /// What records are enriched by, as of now.
    pub known: Arc<Known>,
    /// Where rows that the server refuses are set aside; `None`: beside the journal.
    pub set_aside_in: Option<PathBuf>,
    /// How long frames wait for others.
    pub max_delay: Duration,
    /// For the log: `dpi 0 fullflow`.
    pub label: String,
    /// The pause before a range is tried again; it grows.
    pub first_pause: Duration,
    /// Journal bytes of a `Native` block: a part of what the server knows an insert by.
    pub block_bytes: usize,
    /// Inserts in flight with one shard.
    pub inserters: usize,
}

impl PipelineOptions {
    /// What is usual for a stream: its own table, DPI 0, a second.
    pub fn of(stream: &'static Stream) -> PipelineOptions {
        PipelineOptions {
            stream,
            table: stream.name.to_string(),
            dpi: 0,
            domains: Arc::default(),
            known: Arc::default(),
            set_aside_in: None,
            max_delay: Duration::from_secs(1),
            label: stream.name.to_string(),
            first_pause: FIRST_PAUSE,
            block_bytes: BLOCK_BYTES,
            inserters: 1,
        }
    }
}

/// The place in the journal, handed from worker to worker.
pub(super) struct Baton {
    pub(super) reader: JournalReader,
    pub(super) decoder: Decoder,
    pub(super) cutter: Cutter,
    /// Ranges that an earlier life has noted, in order.
    pub(super) noted: VecDeque<Noted>,
    /// Newest frame of earlier lives, while it is not known which of them are stored already.
    pub(super) to_resume: Option<u64>,
    /// Arrivals of frames whose rows an unknown earlier life has stored.
    pub(super) already_stored: BTreeSet<u64>,
}

/// A range that the log knows.
pub(super) struct Noted {
    pub(super) intent: Intent,
    pub(super) done: Option<Done>,
    /// If it is not done.
    pub(super) bound: Option<Bound>,
}

/// Where a range begins, and everything that its rows are made by: doing it again makes the same rows.
pub(super) struct Before {
    pub(super) reader: JournalReader,
    pub(super) decoder: Decoder,
    pub(super) knowledge: Arc<Knowledge>,
}

/// One stream on its way from the journal to its table.
pub struct Pipeline {
    pub(super) options: PipelineOptions,
    pub(super) journal: Arc<Journal>,
    pub(super) shards: Shards,
    pub(super) lanes: Lanes,
    pub(super) book: Mutex<Book>,
    pub(super) baton: Mutex<Baton>,
    /// Our version and that of the stream's declaration.
    pub(super) version: String,
    /// What every shard has to say before new ranges begin: which frames it has of those that arrived then.
    pub(super) question: Mutex<Option<(u64, u64)>>,
    /// The shard whose turn it is to get the next range.
    turn: AtomicU32,
    /// Workers that were started.
    workers: AtomicUsize,
    live: Mutex<Arc<DecoderState>>,
    consumed_bytes: AtomicU64,
    last_error: Mutex<Option<String>>,
    pub(super) retries: AtomicU64,
    max_delay_us: AtomicU64,
    /// Frames need not ripen any more: everything is to be sent now.
    hurry: AtomicBool,
    /// Workers end, also in the middle of retries.
    give_up: AtomicBool,
}

impl Pipeline {
    /// A pipeline that stands where `reader` and `decoder` do.
    pub fn new(
        options: PipelineOptions,
        journal: Arc<Journal>,
        shards: Shards,
        book: Book,
        (reader, decoder): (JournalReader, Decoder),
        noted: VecDeque<(Intent, Option<Done>)>,
        newest_frame: u64,
    ) -> Pipeline {
        let max_delay_us = micros(options.max_delay);
        let columns = crate::journal::frame::crc32c(options.stream.column_list().as_bytes());
        let version = format!("{}+{columns:08x}", env!("CARGO_PKG_VERSION"));
        let live = Mutex::new(Arc::new(decoder.state.clone()));
        let to_resume = Some(newest_frame);
        let noted = noted.into_iter().map(|(intent, done)| {
            let bound = done.is_none().then(|| shards.bind(intent.shard));
            Noted { intent, done, bound }
        });
        let baton = Baton {
            reader,
            decoder,
            cutter: Cutter::new(),
            noted: noted.collect(),
            to_resume,
            already_stored: BTreeSet::new(),
        };
        Pipeline {
            lanes: Lanes::new(options.first_pause, options.inserters),
            // Streams and DPIs begin at different shards, and not always at the same after a start.
            turn: AtomicU32::new(journal.id().wrapping_add(newest_frame as u32)),
            options,
            journal,
            shards,
            book: Mutex::new(book),
            baton: Mutex::new(baton),
            version,
            question: Mutex::new(None),
            workers: AtomicUsize::new(0),
            live,
            consumed_bytes: AtomicU64::new(0),
            last_error: Mutex::new(None),
            retries: AtomicU64::new(0),
            max_delay_us: AtomicU64::new(max_delay_us),
            hurry: AtomicBool::new(false),
            give_up: AtomicBool::new(false),
        }
    }

    /// Works until [`Pipeline::stop`]. For a thread of its own; several may work at once. Connections
    /// are shared between them, and one may wait for the baton while another sends: so `runtime` must
    /// have threads of its own.
    pub fn work(&self, runtime: &tokio::runtime::Handle) {
        let mut workshop = self.workshop();
        while !self.given_up() {
            if let Err(error) = runtime.block_on(self.turn(&mut workshop)) {
                self.report(&Failure::Wait(format!("the journal or the intent log: {error}")));
                std::thread::sleep(self.options.first_pause * LAST_PAUSE);
            }
        }
    }

    /// What a worker needs for its turns.
    pub fn workshop(&self) -> Workshop {
        let PipelineOptions { stream, table, block_bytes, .. } = &self.options;
        Workshop::new(stream, table, *block_bytes)
    }

    /// How many more workers are to be started; they count as started from now on.
    pub fn take_vacancies(&self) -> usize {
        let wanted = self.lanes.workers(self.shards.count());
        wanted.saturating_sub(self.workers.fetch_max(wanted, Ordering::Relaxed))
    }

    /// One range, or a short wait for one. An error is one of the journal or the intent log; the next
    /// turn begins where this one did.
    #[allow(
        clippy::await_holding_lock,
        reason = "a worker is a thread that runs nothing else: others wait for the baton as threads"
    )]
    pub async fn turn(&self, workshop: &mut Workshop) -> io::Result<()> {
        if self.tend(workshop).await {
            return Ok(());
        }
        let (range, target, sent, decoded) = {
            let mut baton = lock(&self.baton);
            // Nothing is stored without what it is to be enriched by. At the start it is soon there: from the
            // files of an earlier life, or from the server that the records go to.
            let Some(knowledge) = self.options.known.get() else {
                drop(baton);
                tokio::time::sleep(IDLE).await;
                return Ok(());
            };
            if baton.to_resume.is_some() {
                self.take_over_earlier_life(&mut baton, &knowledge, workshop).await?;
                let waits = baton.to_resume.is_some();
                drop(baton);
                if waits {
                    tokio::time::sleep(IDLE).await;
                }
                return Ok(());
            }
            let Some((cut, target, bound)) = self.next_range(&mut baton)? else {
                drop(baton);
                tokio::time::sleep(IDLE).await;
                return Ok(());
            };
            let already_stored = baton.already_stored.contains(&cut.arrival_first_us);
            let intent = self.intent(&cut, &bound, &target, already_stored);
            if let Err(error) = self.note_durably(&intent) {
                self.lanes.end(bound.shard);
                return Err(error);
            }
            let before = Before { reader: baton.reader.scout(), decoder: baton.decoder.clone(), knowledge };
            let token = self.token(&intent);
            let purpose = match intent.already_stored {
                true => Purpose::Discard,
                false => Purpose::Insert(To { target: &target, token: &token }),
            };
            let baton = &mut *baton;
            let place = Place {
                reader: &mut baton.reader,
                decoder: &mut baton.decoder,
                knowledge: &before.knowledge,
            };
            let sending = workshop.send(&self.journal, place, intent.range, &purpose);
            let (decoded, sent) = match sending.await {
                Ok(sending) => sending,
                Err(error) => {
                    // The journal could not be read. The noted range is begun again from its first frame.
                    (baton.reader, baton.decoder) = (before.reader, before.decoder);
                    self.lanes.end(bound.shard);
                    baton.noted.push_back(Noted { intent, done: None, bound: Some(bound) });
                    baton.to_resume = Some(0);
                    return Err(error);
                }
            };
            baton.cutter.learn(cut.bytes, decoded.rows + decoded.filtered);
            self.consumed_bytes.fetch_add(cut.bytes, Ordering::Relaxed);
            self.passed(&intent, &baton.reader, &baton.decoder);
            (Unsettled { intent, before, bound, is_earlier: false, is_tried: true }, target, sent, decoded)
        };
        let acknowledged = match sent {
            Sent::Nothing => Ok(()),
            Sent::Open(insert) => insert.end().await,
            Sent::Failed(failure) => Err(failure),
        };
        match acknowledged {
            Ok(()) => {
                self.lanes.end(range.bound.shard);
                target.has_taken(decoded.rows);
                self.note_done(decoded.done(range.intent.range), range.bound);
            }
            Err(failure) => self.struggle(range, &failure),
        }
        Ok(())
    }

    /// Frames and intent are on the disk before the server hears of them: a power cut must not leave an
    /// insert behind that nobody remembers.
    fn note_durably(&self, intent: &Intent) -> io::Result<()> {
        if self.journal.options().fsync == Fsync::Never {
            return lock(&self.book).intent(intent.clone()).map(drop);
        }
        self.journal.sync()?;
        let file = lock(&self.book).intent(intent.clone())?;
        file.sync_data()
    }

    /// A range is settled, and nothing of it is bound to its shard any more.
    pub(super) fn note_done(&self, done: Done, bound: Bound) {
        self.note_in_book(done);
        drop(bound);
    }

    /// A range is settled, whether that can be noted or not: if not, a later life settles it again,
    /// which changes nothing.
    pub(super) fn note_in_book(&self, done: Done) {
        if let Err(error) = lock(&self.book).done(done) {
            self.report(&error.into());
        }
    }

    /// The next range, if one is ripe, bound to the shard whose turn it is among those that take new ones.
    fn next_range(&self, baton: &mut Baton) -> io::Result<Option<(Cut, Target, Bound)>> {
        let shards = self.shards.count();
        let takes_new = |number, target: &Target| self.lanes.takes_new(shards, number, target);
        if !self.shards.is_any_open(takes_new) {
            return Ok(None);
        }
        let Some(cut) = self.next_cut(baton)? else { return Ok(None) };
        let Some((target, bound)) = self.shards.bind_next(&self.turn, takes_new) else { return Ok(None) };
        self.lanes.begin(bound.shard);
        Ok(Some((cut, target, bound)))
    }

    fn next_cut(&self, baton: &mut Baton) -> io::Result<Option<Cut>> {
        let mut scout = baton.reader.scout();
        let Some(first) = scout.peek(&mut Vec::new())? else { return Ok(None) };
        let published = self.journal.published();
        let there = published.bytes.saturating_sub(self.consumed_bytes.load(Ordering::Relaxed));
        let max_delay = Duration::from_micros(self.max_delay_us.load(Ordering::Relaxed));
        let first = (first.header.number, first.header.arrival_us);
        let ripe = baton.cutter.ripe(max_delay, first, now_us(), there);
        if !ripe && !self.hurry.load(Ordering::Relaxed) {
            return Ok(None);
        }
        baton.cutter.cut(&baton.reader, |arrival_us| baton.already_stored.contains(&arrival_us))
    }

    fn intent(&self, cut: &Cut, bound: &Bound, target: &Target, already_stored: bool) -> Intent {
        Intent {
            range: cut.range,
            arrival_first_us: cut.arrival_first_us,
            arrival_last_us: cut.arrival_last_us,
            crc: cut.crc,
            table: self.options.table.clone(),
            shard: bound.shard,
            version: self.version.clone(),
            server_version: target.version(),
            written_us: now_us(),
            already_stored,
            halving: false,
            pieces: Vec::new(),
        }
    }

    /// What makes this insert known to the server: which journal, where to, which frames, and what
    /// they hold. A journal restored from a copy has the same numbers but not the same content.
    pub(super) fn token(&self, intent: &Intent) -> String {
        format!(
            "{}/{}/{}/{}-{}/{:08x}",
            self.journal.identity(),
            intent.table,
            intent.shard,
            intent.range.first,
            intent.range.last,
            intent.crc
        )
    }

    /// Tells book and status where the decoder is after a range.
    pub(super) fn passed(&self, intent: &Intent, reader: &JournalReader, decoder: &Decoder) {
        let state = Arc::new(decoder.state.clone());
        *lock(&self.live) = state.clone();
        let after = After { state, position: reader.position(), arrival_us: intent.arrival_last_us };
        lock(&self.book).decoded(intent.range.first, after);
    }

    pub(super) fn report(&self, failure: &Failure) {
        *lock(&self.last_error) = Some(failure.to_string());
        if crate::log_limit::allow("insert") {
            let content = matches!(failure, Failure::Content(_));
            tracing::warn!(stream = %self.options.label, error = %failure, content, "an insert did not succeed; it is tried again with the same token");
        }
    }

    pub(super) fn given_up(&self) -> bool {
        self.give_up.load(Ordering::Relaxed)
    }

    /// Changes how long frames wait for others.
    pub fn set_max_delay(&self, max_delay: Duration) {
        self.max_delay_us.store(micros(max_delay), Ordering::Relaxed);
    }

    /// From now on nothing waits to become a larger insert.
    pub fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// Ends the workers. What is not stored is in the journal.
    pub fn stop(&self) {
        self.give_up.store(true, Ordering::Relaxed);
    }

    /// Whether every frame is settled.
    pub fn is_drained(&self) -> bool {
        let newest = self.journal.published().number;
        lock(&self.book).committed().low_water >= newest
    }

    /// The decoder's memory after the newest decoded range.
    pub fn live_state(&self) -> Arc<DecoderState> {
        lock(&self.live).clone()
    }

    /// The book.
    pub fn book(&self) -> &Mutex<Book> {
        &self.book
    }

    /// The servers.
    pub fn shards(&self) -> &Shards {
        &self.shards
    }

    /// The table.
    pub fn table(&self) -> &str {
        &self.options.table
    }

    /// How often a range was tried again since the process began.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// The last thing that went wrong.
    pub fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds since 1970, UTC.
pub fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
