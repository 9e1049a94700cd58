//! The intent log of one journal: what is about to be inserted, what is settled, and the checkpoint
//! from which everything newer can be rebuilt. Written before the server is asked for anything; read
//! once, at the start. Must never forget an intent that is not settled.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schema::LedgerRow;
use serde::{Deserialize, Serialize};

use crate::decode::DecoderState;
use crate::journal::Position;
use crate::journal::frame::{HEADER_LEN, Header, Kind, MAX_PAYLOAD};

/// Frames `first..=last` that become one insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Range {
    /// Number of the first frame.
    pub first: u64,
    /// Number of the last frame.
    pub last: u64,
}

/// A range that is about to be inserted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Which frames.
    #[serde(flatten)]
    pub range: Range,
    /// Arrival of the first frame, microseconds.
    pub arrival_first_us: u64,
    /// Arrival of the last frame, microseconds.
    pub arrival_last_us: u64,
    /// CRC32C over the CRCs of the frames.
    pub crc: u32,
    /// The table the rows go to.
    pub table: String,
    /// The shard the range is bound to, for ever.
    pub shard: u32,
    /// Our version and that of the stream's declaration: another one may decode otherwise.
    pub version: String,
    /// The server's version: another one may compute tokens otherwise.
    pub server_version: String,
    /// When it was written, microseconds since 1970.
    pub written_us: u64,
    /// Rows of these frames are in the table already and are not sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub already_stored: bool,
    /// The server refused the content: parts of the range are sent on their own, so counting rows
    /// does not tell whether all of it is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub halving: bool,
    /// What is known of these parts. A part that was refused is never sent again as a whole: the cause
    /// may be repaired meanwhile, and its own parts may be stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Piece>,
}

/// Rows `start..end` of a range that is being halved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// First frame of the range.
    pub first: u64,
    /// First row, from 0.
    pub start: u64,
    /// The row behind the last.
    pub end: u64,
    /// What became of it.
    pub fate: PieceFate,
}

/// What became of a part of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PieceFate {
    /// The server has acknowledged it.
    Stored,
    /// The server refused its content; its halves come next.
    Refused,
    /// It is in a set-aside file.
    SetAside,
}

/// A settled range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Which frames.
    #[serde(flatten)]
    pub range: Range,
    /// Rows that the server has acknowledged or that were found by counting.
    pub stored: u64,
    /// Rows written to set-aside files.
    pub set_aside: u64,
    /// Records that are left out on purpose.
    #[serde(default, skip_serializing_if = "is_none")]
    pub filtered: u64,
}

/// Everything known at a low-water mark.
#[derive(Clone, Serialize, Deserialize)]
pub struct Checkpoint {
    /// All frames up to this one are settled.
    pub low_water: u64,
    /// Arrival of that frame, microseconds.
    pub low_water_arrival_us: u64,
    /// Where the next frame begins.
    pub position: Position,
    /// The decoder after that frame, its counters included.
    pub decoder: DecoderState,
    /// Rows stored and set aside up to that frame.
    pub totals: Totals,
    /// What the listener counted, as of when this was written.
    pub wire: Wire,
    /// The last row of the ledger that was stored, and the totals it was made from.
    pub ledger: LedgerMark,
}

/// Rows of settled ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Acknowledged, or found by counting.
    pub stored: u64,
    /// Written to set-aside files.
    pub set_aside: u64,
    /// Left out on purpose.
    #[serde(default, skip_serializing_if = "is_none")]
    pub filtered: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Totals {
    /// Adds a settled range.
    pub fn add(&mut self, done: &Done) {
        self.stored += done.stored;
        self.set_aside += done.set_aside;
        self.filtered += done.filtered;
    }

    /// Records that are settled, however.
    pub fn settled(&self) -> u64 {
        self.stored + self.set_aside + self.filtered
    }
}

/// The listener's side of the wire balance, in messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wire {
    /// Messages that came.
    pub arrived: u64,
    /// Messages that were appended to the journal.
    pub journaled: u64,
    /// Messages that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// How far the ledger table is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerMark {
    /// Number of the newest row.
    pub row: u64,
    /// All figures up to that row, since the journal began.
    pub cumulative: LedgerRow,
}

/// A row of the ledger that is about to be inserted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingLedgerRow {
    /// The mark after it.
    pub mark: LedgerMark,
    /// The row.
    pub row: LedgerRow,
}

/// What the log says at the start.
#[derive(Default)]
pub struct Recovered {
    /// The newest checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Ranges above it, in order, with what became of them.
    pub ranges: BTreeMap<u64, (Intent, Option<Done>)>,
    /// A ledger row that may or may not have been inserted.
    pub ledger_row: Option<PendingLedgerRow>,
}

impl Recovered {
    /// The newest frame and arrival that the log knows.
    pub fn newest(&self) -> crate::journal::Recovered {
        let checkpoint = self.checkpoint.as_ref();
        let range = self.ranges.values().next_back().map(|(intent, _)| intent);
        crate::journal::Recovered {
            last_number: checkpoint
                .map_or(0, |checkpoint| checkpoint.low_water)
                .max(range.map_or(0, |intent| intent.range.last)),
            last_arrival_us: checkpoint
                .map_or(0, |checkpoint| checkpoint.low_water_arrival_us)
                .max(range.map_or(0, |intent| intent.arrival_last_us)),
            messages: 0,
        }
    }
}

/// The open log.
pub struct IntentLog {
    path: PathBuf,
    file: Arc<File>,
    bytes: u64,
    /// The file may be longer than `bytes`: what is behind them would hide what is appended.
    is_torn: bool,
    journal: u32,
    sequence: u64,
}

impl IntentLog {
    /// Opens or creates the log and reads it; a torn end is cut off. What is sound but cannot be
    /// understood is an error: it must not be forgotten.
    pub fn open(dir: &Path, journal: u32) -> io::Result<(IntentLog, Recovered)> {
        let path = dir.join("intents");
        let mut recovered = Recovered::default();
        let mut sound = 0;
        match fs::read(&path) {
            Ok(bytes) => {
                for (header, payload) in frames(&bytes, journal) {
                    recovered.take(header.kind, payload).map_err(|error| {
                        let text = format!(
                            "a {:?} of the intent log {} cannot be understood ({error}): start the version that wrote it",
                            header.kind,
                            path.display()
                        );
                        io::Error::new(io::ErrorKind::InvalidData, text)
                    })?;
                    sound += header.stored_len(1);
                }
                if sound < bytes.len() as u64 {
                    tracing::warn!(log = %path.display(), bytes = bytes.len() as u64 - sound, "the intent log's end was torn and is cut off");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(sound)?;
        // The file's name must be on the disk too, or a power cut takes all its intents.
        File::open(dir)?.sync_all()?;
        let log =
            IntentLog { path, file: Arc::new(file), bytes: sound, is_torn: false, journal, sequence: 0 };
        Ok((log, recovered))
    }

    /// Bytes of the log.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The open file, to force it to the disk without holding the log.
    pub fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Notes a range before it is sent.
    pub fn intent(&mut self, intent: &Intent) -> io::Result<()> {
        self.append(Kind::Intent, intent)
    }

    /// Notes what became of a part of a range that is being halved.
    pub fn piece(&mut self, piece: &Piece) -> io::Result<()> {
        self.append(Kind::Piece, piece)
    }

    /// Notes a settled range.
    pub fn done(&mut self, done: &Done) -> io::Result<()> {
        self.append(Kind::Done, done)
    }

    /// Notes a ledger row before it is sent.
    pub fn ledger_row(&mut self, row: &PendingLedgerRow) -> io::Result<()> {
        self.append(Kind::LedgerRow, row)
    }

    /// Replaces the log by a checkpoint and the ranges above it, durably: after this, segments below
    /// the low-water mark may go.
    pub fn checkpoint<'a>(
        &mut self,
        checkpoint: &Checkpoint,
        above: impl Iterator<Item = (&'a Intent, Option<&'a Done>)>,
        ledger_row: Option<&PendingLedgerRow>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.encode(Kind::Checkpoint, checkpoint, &mut bytes)?;
        for (intent, done) in above {
            self.encode(Kind::Intent, intent, &mut bytes)?;
            if let Some(done) = done {
                self.encode(Kind::Done, done, &mut bytes)?;
            }
        }
        if let Some(row) = ledger_row {
            self.encode(Kind::LedgerRow, row, &mut bytes)?;
        }
        let fresh = self.path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).append(true).open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        // From here on the old file has no name: whatever fails now, nothing may be appended to it.
        self.file = Arc::new(file);
        self.bytes = bytes.len() as u64;
        self.is_torn = false;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    fn append<T: Serialize>(&mut self, kind: Kind, content: &T) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.encode(kind, content, &mut bytes)?;
        if self.is_torn {
            self.file.set_len(self.bytes)?;
            self.is_torn = false;
        }
        if let Err(error) = self.file.as_ref().write_all(&bytes) {
            self.is_torn = self.file.set_len(self.bytes).is_err();
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn encode<T: Serialize>(&mut self, kind: Kind, content: &T, bytes: &mut Vec<u8>) -> io::Result<()> {
        let payload = serde_json::to_vec(content)?;
        if payload.len() > MAX_PAYLOAD {
            // It would be written and then not be believed.
            return Err(io::Error::other(format!("a {kind:?} of {} bytes is too large", payload.len())));
        }
        self.sequence += 1;
        let mut header = Header {
            crc: 0,
            length: 0,
            kind,
            journal: self.journal,
            number: self.sequence,
            arrival_us: 0,
            session: 0,
            messages: 0,
        };
        bytes.extend_from_slice(&header.seal(&[&payload]));
        bytes.extend_from_slice(&payload);
        Ok(())
    }
}

impl Recovered {
    fn take(&mut self, kind: Kind, payload: &[u8]) -> serde_json::Result<()> {
        match kind {
            Kind::Checkpoint => {
                let checkpoint: Checkpoint = serde_json::from_slice(payload)?;
                self.ranges.retain(|_, (intent, _)| intent.range.first > checkpoint.low_water);
                self.ledger_row = None;
                self.checkpoint = Some(checkpoint);
            }
            Kind::Intent => {
                let intent: Intent = serde_json::from_slice(payload)?;
                self.ranges.insert(intent.range.first, (intent, None));
            }
            Kind::Piece => {
                let piece: Piece = serde_json::from_slice(payload)?;
                if let Some((intent, _)) = self.ranges.get_mut(&piece.first) {
                    intent.pieces.push(piece);
                }
            }
            Kind::Done => {
                let done: Done = serde_json::from_slice(payload)?;
                if let Some(range) = self.ranges.get_mut(&done.range.first) {
                    range.1 = Some(done);
                }
            }
            Kind::LedgerRow => self.ledger_row = Some(serde_json::from_slice(payload)?),
            _ => {}
        }
        Ok(())
    }
}

/// The sound frames at the beginning of some bytes. For this log and for set-aside files.
pub fn frames(bytes: &[u8], journal: u32) -> impl Iterator<Item = (Header, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = Header::parse(rest).ok().filter(|header| header.journal == journal)?;
        let (_, behind) = rest.split_at_checked(HEADER_LEN)?;
        let (payload, behind) = behind.split_at_checked(header.length as usize)?;
        header.check(payload).ok()?;
        rest = behind;
        Some((header, payload))
    })
}
