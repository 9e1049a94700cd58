//! The book of one journal: which ranges are open, which are done, how far everything is done. Keeps
//! the intent log and what is in memory the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::decode::DecoderState;
use crate::intent_log::{
    Checkpoint, Done, Intent, IntentLog, LedgerMark, PendingLedgerRow, Piece, Totals, Wire,
};
use crate::journal::Position;

/// How often a checkpoint is written: what is newer is decoded again after a start.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);
/// Or when the log has grown to this.
const CHECKPOINT_BYTES: u64 = 4 << 20;

/// The decoder and its place after some frame.
#[derive(Clone)]
pub struct After {
    /// Its memory.
    pub state: Arc<DecoderState>,
    /// Where the next frame begins.
    pub position: Position,
    /// Arrival of the last frame, microseconds.
    pub arrival_us: u64,
}

/// Everything up to the low-water mark.
#[derive(Clone)]
pub struct Committed {
    /// The newest frame up to which all are settled.
    pub low_water: u64,
    /// The decoder there.
    pub after: After,
    /// Rows stored and set aside up to there.
    pub totals: Totals,
}

struct OpenRange {
    intent: Intent,
    done: Option<Done>,
    after: Option<After>,
}

/// The book.
pub struct Book {
    log: IntentLog,
    open: BTreeMap<u64, OpenRange>,
    committed: Committed,
    ledger: LedgerMark,
    pending_ledger_row: Option<PendingLedgerRow>,
    checkpointed: u64,
    checkpointed_at: Instant,
    pinned: Vec<u64>,
}

impl Book {
    /// Goes on from a checkpoint (or the beginning).
    pub fn new(
        log: IntentLog,
        committed: Committed,
        ledger: LedgerMark,
        pending: Option<PendingLedgerRow>,
    ) -> Book {
        Book {
            log,
            open: BTreeMap::new(),
            checkpointed: committed.low_water,
            pinned: committed.after.state.pinned_segments(),
            committed,
            ledger,
            pending_ledger_row: pending,
            checkpointed_at: Instant::now(),
        }
    }

    /// Takes over a range that the log already knows.
    pub fn resume(&mut self, intent: Intent) {
        self.open.insert(intent.range.first, OpenRange { intent, done: None, after: None });
    }

    /// Notes a range before it is sent; the file is returned to be forced to the disk.
    pub fn intent(&mut self, intent: Intent) -> io::Result<Arc<File>> {
        self.log.intent(&intent)?;
        self.resume(intent);
        Ok(self.log.file())
    }

    /// Notes that an open range is being halved.
    pub fn halving(&mut self, first: u64) -> io::Result<()> {
        let Some(range) = self.open.get_mut(&first) else { return Ok(()) };
        range.intent.halving = true;
        self.log.intent(&range.intent)
    }

    /// Notes what became of a part of an open range.
    pub fn piece(&mut self, piece: Piece) -> io::Result<()> {
        self.log.piece(&piece)?;
        if let Some(range) = self.open.get_mut(&piece.first) {
            range.intent.pieces.push(piece);
        }
        Ok(())
    }

    /// What is known of the parts of an open range.
    pub fn pieces(&self, first: u64) -> Vec<Piece> {
        self.open.get(&first).map(|range| range.intent.pieces.clone()).unwrap_or_default()
    }

    /// Remembers the decoder after a range.
    pub fn decoded(&mut self, first: u64, after: After) {
        if let Some(range) = self.open.get_mut(&first) {
            range.after = Some(after);
        }
        self.advance();
    }

    /// Notes a settled range. It is settled also if the log cannot be written: a checkpoint says so
    /// later, or the next life settles it again, which changes nothing.
    pub fn done(&mut self, done: Done) -> io::Result<()> {
        let noted = self.log.done(&done);
        self.settled(done);
        noted
    }

    /// Takes over a settled range that the log already knows.
    pub fn settled(&mut self, done: Done) {
        if let Some(range) = self.open.get_mut(&done.range.first) {
            range.done = Some(done);
        }
        self.advance();
    }

    fn advance(&mut self) {
        while let Some(entry) = self.open.first_entry() {
            let (Some(done), Some(after)) = (entry.get().done, entry.get().after.clone()) else { return };
            self.committed.low_water = done.range.last;
            self.committed.totals.add(&done);
            self.committed.after = after;
            entry.remove();
        }
    }

    /// Everything up to the low-water mark.
    pub fn committed(&self) -> &Committed {
        &self.committed
    }

    /// Rows stored and set aside, ranges above the low-water mark included.
    pub fn totals(&self) -> Totals {
        let mut totals = self.committed.totals;
        for done in self.open.values().filter_map(|range| range.done.as_ref()) {
            totals.add(done);
        }
        totals
    }

    /// Ranges that are noted and not done.
    pub fn open_ranges(&self) -> usize {
        self.open.values().filter(|range| range.done.is_none()).count()
    }

    /// Whether more is settled than the last checkpoint says.
    pub fn has_moved(&self) -> bool {
        self.committed.low_water > self.checkpointed
    }

    /// Writes a checkpoint if one is due, or in any case if `now`.
    pub fn checkpoint(&mut self, wire: &Wire, now: bool) -> io::Result<()> {
        let moved = self.has_moved();
        let due =
            self.checkpointed_at.elapsed() >= CHECKPOINT_INTERVAL || self.log.bytes() > CHECKPOINT_BYTES;
        let wanted = now || (moved && due);
        if !wanted {
            return Ok(());
        }
        let checkpoint = Checkpoint {
            low_water: self.committed.low_water,
            low_water_arrival_us: self.committed.after.arrival_us,
            position: self.committed.after.position,
            decoder: self.committed.after.state.as_ref().clone(),
            totals: self.committed.totals,
            wire: wire.clone(),
            ledger: self.ledger.clone(),
        };
        let above = self.open.values().map(|range| (&range.intent, range.done.as_ref()));
        self.log.checkpoint(&checkpoint, above, self.pending_ledger_row.as_ref())?;
        self.checkpointed = checkpoint.low_water;
        self.checkpointed_at = Instant::now();
        self.pinned = checkpoint.decoder.pinned_segments();
        Ok(())
    }

    /// What the journal may forget: frames below the first number, except in the pinned segments.
    pub fn releasable(&self) -> (u64, Vec<u64>) {
        (self.checkpointed + 1, self.pinned.clone())
    }

    /// The last row of the ledger that is stored.
    pub fn ledger_mark(&self) -> &LedgerMark {
        &self.ledger
    }

    /// A ledger row whose insert may or may not have happened.
    pub fn pending_ledger_row(&self) -> Option<&PendingLedgerRow> {
        self.pending_ledger_row.as_ref()
    }

    /// Notes a ledger row before it is sent.
    pub fn ledger_row(&mut self, row: PendingLedgerRow) -> io::Result<()> {
        self.log.ledger_row(&row)?;
        self.pending_ledger_row = Some(row);
        Ok(())
    }

    /// The pending ledger row is stored. The next checkpoint says so; until then a start sends it
    /// again with the same token.
    pub fn ledger_row_stored(&mut self) {
        if let Some(row) = self.pending_ledger_row.take() {
            self.ledger = row.mark;
        }
    }
}
