//! The state of the modelled world: disk, receiver, server, and what only the checker knows.
//!
//! Must never hold a choice: everything here is data and questions about it.

use crate::rules::{Fault, Setup};
use crate::server::{Request, Shard};

/// Most frames that ever arrive, so that sets of frames fit a word.
pub const MOST_FRAMES: usize = 16;
/// With `Setup::waiting_set`: the frame whose only set waits ...
pub const WAITS: u8 = 0;
/// ... and the frame that brings the template and has no rows of its own.
pub const BRINGS: u8 = 1;

/// A set of frames, by what arrived (bit = `Frame::content`).
pub type Frames = u16;

/// A frame of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Its number in this journal, from 1.
    pub number: u8,
    /// What is in it; no two arrivals are alike.
    pub content: u8,
    /// Gone in a power cut. Kept here for the checker only.
    pub lost: bool,
}

/// "This range is going to be sent."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Intent {
    /// First frame.
    pub first: u8,
    /// Last frame.
    pub last: u8,
    /// The checksum over the frames; perfect here.
    pub crc: Frames,
    /// Our version that wrote it.
    pub version: u8,
    /// The server's version it was meant for.
    pub server: u8,
    /// The shard it is bound to.
    pub shard: u8,
    /// More than ten minutes old.
    pub old: bool,
}

/// A record of the intent log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// Before the insert.
    Intent(Intent),
    /// After the acknowledgement, or when the table was seen to hold the frames.
    Done {
        /// First frame.
        first: u8,
        /// Last frame.
        last: u8,
        /// The frames, for the checker.
        frames: Frames,
        /// The frames whose rows were in the insert (a waiting set's come with its template), for the checker.
        released: Frames,
        /// Rows stored.
        rows: u8,
    },
}

impl Record {
    /// Last frame the record names.
    pub fn last(&self) -> u8 {
        match self {
            Self::Intent(intent) => intent.last,
            Self::Done { last, .. } => *last,
        }
    }
}

/// What the checkpoint file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// Every frame up to this one is done.
    pub low_water: u8,
    /// The done frames of records that the checkpoint replaced, for the checker.
    pub frames: Frames,
    /// Their rows, for the checker.
    pub released: Frames,
    /// Rows stored by those records.
    pub rows: u8,
}

/// The journal directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disk {
    /// The journal's random identity.
    pub identity: u8,
    /// Every frame of this journal, deleted and lost ones too.
    pub frames: Vec<Frame>,
    /// Segments up to this frame are deleted.
    pub deleted_to: u8,
    /// Frames up to this number survive a power cut.
    pub synced_to: u8,
    /// The intent log.
    pub log: Vec<Record>,
    /// So many records of the log survive a power cut.
    pub synced_records: u8,
    /// The checkpoint; always written durably and in one step with the shortened log.
    pub checkpoint: Checkpoint,
}

impl Disk {
    /// An empty journal.
    pub fn new(identity: u8) -> Self {
        Self {
            identity,
            frames: Vec::new(),
            deleted_to: 0,
            synced_to: 0,
            log: Vec::new(),
            synced_records: 0,
            checkpoint: Checkpoint::default(),
        }
    }

    /// The frames that can be read.
    pub fn readable(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|frame| !frame.lost && frame.number > self.deleted_to)
    }

    /// The readable frames of a range.
    pub fn range(&self, first: u8, last: u8) -> Frames {
        let mut frames = 0;
        for frame in self.readable() {
            if (first..=last).contains(&frame.number) {
                frames |= 1 << frame.content;
            }
        }
        frames
    }

    /// Checkpoint or log say that this frame number is done.
    pub fn is_done(&self, number: u8) -> bool {
        number <= self.checkpoint.low_water
            || self.log.iter().any(|record| match record {
                Record::Done { first, last, .. } => (*first..=*last).contains(&number),
                Record::Intent(_) => false,
            })
    }

    /// Everything up to this number is done, by checkpoint and log. Never inside a done range, also when
    /// a power cut took the range's last frames.
    pub fn low_water(&self) -> u8 {
        let waiting = self.readable().map(|frame| frame.number).find(|number| !self.is_done(*number));
        waiting.map_or(self.highest_known(), |number| number - 1)
    }

    /// The highest frame number that journal, log or checkpoint name.
    pub fn highest_known(&self) -> u8 {
        let journal = self.readable().map(|frame| frame.number);
        journal.chain(self.log.iter().map(Record::last)).fold(self.checkpoint.low_water, u8::max)
    }

    /// The frames that checkpoint and log name, done or not. (The real ones hold the arrival times.)
    pub fn named_frames(&self) -> Frames {
        self.log.iter().fold(self.checkpoint.frames, |frames, record| match record {
            Record::Done { frames: more, .. } => frames | more,
            Record::Intent(intent) => frames | intent.crc,
        })
    }

    /// The frames that checkpoint and log call done.
    pub fn done_frames(&self) -> Frames {
        self.log.iter().fold(self.checkpoint.frames, |frames, record| match record {
            Record::Done { frames: more, .. } => frames | more,
            Record::Intent(_) => frames,
        })
    }

    /// The frames whose rows checkpoint and log call stored.
    pub fn released_frames(&self) -> Frames {
        self.log.iter().fold(self.checkpoint.released, |frames, record| match record {
            Record::Done { released, .. } => frames | released,
            Record::Intent(_) => frames,
        })
    }

    /// The ledger's `stored`, by checkpoint and log.
    pub fn stored_rows(&self) -> u8 {
        self.log.iter().fold(self.checkpoint.rows, |rows, record| match record {
            Record::Done { rows: more, .. } => rows + more,
            Record::Intent(_) => rows,
        })
    }

    /// Intents without done. By the rule, an intent whose frames are not all here as it knew them is void:
    /// what is left of them counts as frames that no intent names.
    pub fn unresolved(&self, torn_intent_is_void: bool) -> Vec<Intent> {
        let mut unresolved = Vec::new();
        for record in &self.log {
            let Record::Intent(intent) = record else { continue };
            let whole = self.range(intent.first, intent.last) == intent.crc || !torn_intent_is_void;
            if whole && !(intent.first..=intent.last).any(|number| self.is_done(number)) {
                unresolved.push(*intent);
            }
        }
        unresolved
    }
}

/// Where a range is between intent and done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The intent is written, nothing was sent in this life of the receiver.
    Written,
    /// It may or may not have been stored.
    Unsettled,
    /// It was not in the table when we counted.
    Absent,
    /// An attempt is running.
    Sent,
}

/// A range the receiver works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Live {
    /// Its intent.
    pub intent: Intent,
    /// How far it is.
    pub stage: Stage,
    /// It is being settled: no new range for its shard before it is done.
    pub retried: bool,
    /// An earlier life of the receiver has noted it.
    pub earlier: bool,
    /// Its rows as counted into `Receiver::decoded`.
    pub decoded: u8,
}

/// The receiver's memory; gone when it dies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receiver {
    /// Frames up to this one were there at start and wait for the resume check.
    pub to_check: u8,
    /// Unresolved ranges, lowest first.
    pub ranges: Vec<Live>,
    /// Rows the decoder produced.
    pub decoded: u8,
    /// Rows acknowledged or counted.
    pub stored: u8,
}

/// Where a frame came from; known to the checker for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The journal that took it.
    pub identity: u8,
    /// Its arrival time, strictly increasing within one life of a journal.
    pub received_at: u8,
}

/// The whole world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The journal directory.
    pub disk: Disk,
    /// A copy of it, made earlier.
    pub copy: Option<Box<Disk>>,
    /// The receiver, if it runs.
    pub receiver: Option<Receiver>,
    /// Our version that runs or will be started.
    pub version: u8,
    /// The server's version.
    pub server_version: u8,
    /// The shards.
    pub shards: Vec<Shard>,
    /// Inserts on their way, in a fixed order.
    pub requests: Vec<Request>,
    /// Our clock.
    pub clock: u8,
    /// Journals made so far.
    pub identities: u8,
    /// Every frame that ever arrived.
    pub origins: Vec<Origin>,
    /// Faults spent, by kind.
    pub spent: [u8; Fault::COUNT],
}

impl State {
    /// Nothing has arrived; the receiver runs.
    pub fn new(setup: &Setup) -> Self {
        let shard = Shard { window: Vec::new(), stored: [0; MOST_FRAMES], away: false, renamed: false };
        Self {
            disk: Disk::new(1),
            copy: None,
            receiver: Some(Receiver { to_check: 0, ranges: Vec::new(), decoded: 0, stored: 0 }),
            version: 0,
            server_version: 0,
            shards: vec![shard; usize::from(setup.shards)],
            requests: Vec::new(),
            clock: 1,
            identities: 1,
            origins: Vec::new(),
            spent: [0; Fault::COUNT],
        }
    }

    /// The arrival time that the rows of a frame carry.
    pub fn row_time(&self, setup: &Setup, content: u8) -> u8 {
        let moved = setup.waiting_set && content == WAITS && setup.rules.waiting_rows_carry_template_arrival;
        let carrier = if moved { BRINGS } else { content };
        self.origins.get(usize::from(carrier)).map_or(0, |origin| origin.received_at)
    }

    /// How often the rows of a frame are in the table.
    pub fn times_stored(&self, content: u8) -> u8 {
        self.shards.iter().map(|shard| times(shard.stored[usize::from(content)])).sum()
    }

    /// How many rows of a frame are in the table.
    pub fn rows_stored(&self, content: u8) -> u8 {
        self.shards.iter().map(|shard| rows(shard.stored[usize::from(content)])).sum()
    }

    /// `SELECT count()` over one journal and a span of arrival times on one shard.
    pub fn count(&self, setup: &Setup, shard: &Shard, from: u8, to: u8) -> u8 {
        let mut sum = 0;
        for (content, origin) in (0u8..).zip(&self.origins) {
            let ours = origin.identity == self.disk.identity || !setup.rules.count_names_identity;
            if ours && (from..=to).contains(&self.row_time(setup, content)) {
                sum += rows(shard.stored[usize::from(content)]);
            }
        }
        sum
    }
}

/// Times stored, from an entry of `Shard::stored`.
fn times(entry: u8) -> u8 {
    (entry & 15) + (entry >> 4)
}

/// Rows stored: version 0 makes one row of a frame, version 1 two.
fn rows(entry: u8) -> u8 {
    (entry & 15) + 2 * (entry >> 4)
}

/// The members of a set of frames.
pub fn members(frames: Frames) -> impl Iterator<Item = u8> {
    (0..MOST_FRAMES as u8).filter(move |content| frames & (1 << content) != 0)
}

/// What comes out of decoding frames: the frames whose rows do. `journal` are the frames that can be read.
pub fn decoded(setup: &Setup, frames: Frames, journal: Frames) -> Frames {
    if !setup.waiting_set {
        return frames;
    }
    let mut rows = frames & !(1 << WAITS) & !(1 << BRINGS);
    if frames & (1 << BRINGS) != 0 {
        rows |= journal & (1 << WAITS);
    }
    rows
}
