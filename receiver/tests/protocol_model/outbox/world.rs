//! The state of the modelled world: journal and outbox on the disk, the reader, the server's tables.
//!
//! Must never hold a choice: everything here is data and questions about it.

use super::rules::Fault;
use std::collections::BTreeSet;

/// Most frames that ever arrive.
pub const MOST_FRAMES: usize = 16;
/// The wide table and a narrow one.
pub const TABLES: usize = 2;

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

/// What the server keys its memory on; always one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// Journal identity.
    pub identity: u8,
    /// First frame.
    pub first: u8,
    /// Last frame.
    pub last: u8,
    /// Checksum over the frames; perfect here.
    pub crc: Frames,
}

/// The file `flush`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flush {
    /// Where the reader stands after it.
    pub last: u8,
    /// Of its inserts (each has the table's name besides).
    pub token: Token,
    /// The frames that its bytes count.
    pub frames: Frames,
}

/// The journal directory, the outbox in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disk {
    /// The journal's random identity.
    pub identity: u8,
    /// Every frame of this journal, released and lost ones too.
    pub frames: Vec<Frame>,
    /// Frames up to this one are released.
    pub released_to: u8,
    /// Frames up to this number survive a power cut.
    pub synced_to: u8,
    /// The file `standing`: the last frame of the last acknowledged flush.
    pub standing: u8,
    /// The file `flush`.
    pub flush: Option<Flush>,
    /// A flush whose removal a power cut can undo.
    pub removed: Option<Flush>,
    /// The position in a file of its own, where `Rules::position_in_flush` is broken.
    pub place: u8,
}

impl Disk {
    /// An empty journal.
    pub fn new(identity: u8) -> Self {
        Self {
            identity,
            frames: Vec::new(),
            released_to: 0,
            synced_to: 0,
            standing: 0,
            flush: None,
            removed: None,
            place: 0,
        }
    }

    /// The frames that can be read.
    pub fn readable(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|frame| !frame.lost && frame.number > self.released_to)
    }

    /// The next frame behind a number.
    pub fn next(&self, last: u8) -> Option<Frame> {
        self.readable().filter(|frame| frame.number > last).min_by_key(|frame| frame.number).copied()
    }

    /// The highest number that can be read.
    pub fn newest(&self) -> u8 {
        self.readable().map(|frame| frame.number).max().unwrap_or(self.released_to)
    }

    /// The last frame that the outbox knows.
    pub fn known(&self) -> u8 {
        self.flush.map_or(self.standing, |flush| flush.last.max(self.standing))
    }

    /// The flush that is not acknowledged, as far as the disk says.
    pub fn unacknowledged(&self) -> Option<Flush> {
        self.flush.filter(|flush| flush.last > self.standing)
    }
}

/// How far a flush is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// In memory, its position written to another file (`Rules::position_in_flush` broken).
    Placed,
    /// So many inserts are acknowledged.
    Sending(u8),
    /// The standing is written.
    Stood,
    /// The flush is removed before the standing is written (`Rules::standing_before_removal` broken).
    Removed,
}

/// The reader in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reader {
    /// The last acknowledged flush ended here.
    pub standing: u8,
    /// It has read up to here.
    pub last: u8,
    /// What it has gathered since the last flush.
    pub gathered: Frames,
    /// A flush that is not acknowledged.
    pub pending: Option<(Flush, Stage)>,
    /// An error has left a frame half gathered.
    pub torn: bool,
    /// The newest number that the listener of this life has given.
    pub numbered: u8,
}

/// An insert on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    /// Index of the table.
    pub table: u8,
    /// The deduplication token.
    pub token: Token,
    /// What its bytes count.
    pub frames: Frames,
    /// The reader still listens for the answer.
    pub attached: bool,
    /// The server has finished; the answer is under way.
    pub answered: bool,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Table {
    /// The deduplication window, oldest first.
    pub window: Vec<Token>,
    /// How often each frame is counted.
    pub counted: [u8; MOST_FRAMES],
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The journal directory.
    pub disk: Disk,
    /// A copy of it that was made while it was in use, and whether no half of it can be
    /// copied later than the rest any more.
    pub copy: Option<(Box<Disk>, bool)>,
    /// The flushes sent since the copy was made. For the checker only.
    pub sent_since_copy: BTreeSet<Frames>,
    /// The reader, if the receiver runs.
    pub reader: Option<Reader>,
    /// Inserts on their way.
    pub requests: Vec<Request>,
    /// The tables.
    pub tables: [Table; TABLES],
    /// Frames that have arrived.
    pub arrived: u8,
    /// Identities given.
    pub identities: u8,
    /// Faults so far, by kind.
    pub spent: [u8; Fault::COUNT],
}

impl State {
    /// Before the first start.
    pub fn new() -> Self {
        Self {
            disk: Disk::new(0),
            copy: None,
            sent_since_copy: BTreeSet::new(),
            reader: None,
            requests: Vec::new(),
            tables: Default::default(),
            arrived: 0,
            identities: 0,
            spent: [0; Fault::COUNT],
        }
    }

    /// How often a table counts a frame.
    pub fn counted(&self, table: usize, content: u8) -> u8 {
        self.tables[table].counted[usize::from(content)]
    }

    /// Whether each table counts a frame.
    pub fn counted_in_all(&self, content: u8) -> bool {
        (0..TABLES).all(|table| self.counted(table, content) > 0)
    }
}

/// The members of a set.
pub fn members(frames: Frames) -> impl Iterator<Item = u8> {
    (0..MOST_FRAMES as u8).filter(move |content| frames & (1 << content) != 0)
}
