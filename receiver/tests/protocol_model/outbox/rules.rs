//! What can be varied in the model of the outbox: rules, borders, faults, size. Each rule says where it stands in the
//! code.
//!
//! Must never hold behaviour.

/// What our code does. `Rules::kept()` is the protocol; every `false` is a bug.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The flush is a file before its first insert is sent. (`reader.rs`: `flush` ends in `complete`, `send` reads the
    /// bytes from the file.)
    pub outbox_before_insert: bool,
    /// The position after a flush is in the flush's own file, not in one that is written before it. (`outbox.rs`:
    /// `Flush::after`.)
    pub position_in_flush: bool,
    /// The standing is written after the last acknowledgement. (`reader.rs`: `send`.)
    pub standing_after_acknowledgements: bool,
    /// The flush is removed after the standing was written. (`outbox.rs`: `acknowledged`.)
    pub standing_before_removal: bool,
    /// A flush that is there at start is sent again as it is, not made anew of the journal. (`reader.rs`: `resume`,
    /// `turn`.)
    pub flush_sent_again: bool,
    /// A flush not beyond the standing is ignored at start. (`outbox.rs`: `open`.)
    pub old_flush_ignored: bool,
    /// The next flush is made when the one before is acknowledged. (`reader.rs`: `turn`.)
    pub one_flush_at_a_time: bool,
    /// The token starts with the journal's identity. (`reader.rs`: `flush`.)
    pub token_names_identity: bool,
    /// The token holds first and last frame. (`reader.rs`: `flush`.)
    pub token_names_range: bool,
    /// The token holds a checksum over the frames gathered. (`reader.rs`: `gather`, `flush`.)
    pub token_names_crc: bool,
    /// Frames are released up to the standing, not to what is gathered. (`reader.rs`: `show`.)
    pub release_at_standing: bool,
    /// The journal is synced before the flush is written. (`reader.rs`: `flush`; not with `fsync: Never`.)
    pub sync_before_flush: bool,
    /// New frames are numbered above everything that the outbox names. (`Opened::newest`; `stream.rs`:
    /// `prepare`.)
    pub number_above_outbox: bool,
    /// After an error nothing is gathered, and nothing flushed, before gathering could be begun anew at the standing.
    /// (`reader.rs`: `begin_again`, as long as it takes: the reader's place is behind the frame that failed.)
    pub begins_again_after_error: bool,
}

impl Rules {
    /// The protocol as it is meant.
    pub fn kept() -> Self {
        Self {
            outbox_before_insert: true,
            position_in_flush: true,
            standing_after_acknowledgements: true,
            standing_before_removal: true,
            flush_sent_again: true,
            old_flush_ignored: true,
            one_flush_at_a_time: true,
            token_names_identity: true,
            token_names_range: true,
            token_names_crc: true,
            release_at_standing: true,
            sync_before_flush: true,
            number_above_outbox: true,
            begins_again_after_error: true,
        }
    }
}

/// What the surroundings keep to.
#[derive(Clone, Debug)]
pub struct Borders {
    /// `Fault::Forget` spares tokens of flushes that are not acknowledged, and of attempts that still run.
    pub unsettled_tokens_are_remembered: bool,
    /// No attempt of an earlier life runs when the receiver starts. Not needed for the promise as long as tokens are
    /// remembered; respected only where a test says so.
    pub attempts_end_before_start: bool,
    /// A copy is put in place only if the life that went on sent nothing that is not up to the standing of the copy, or
    /// its flush.
    pub copies_are_not_behind: bool,
}

impl Borders {
    /// Every border that the promise needs.
    pub fn kept() -> Self {
        Self {
            unsettled_tokens_are_remembered: true,
            attempts_end_before_start: false,
            copies_are_not_behind: true,
        }
    }
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the receiver.
    Kill,
    /// The receiver's machine loses power: unsynced frames are gone; a removed flush may be back.
    PowerCut,
    /// The server answered, the answer never arrived.
    LoseAcknowledgement,
    /// The request breaks off; nothing is stored.
    CutRequest,
    /// We give up waiting; the attempt is late.
    GiveUp,
    /// The server dies and comes back; it still knows its tokens.
    RestartServer,
    /// The server forgets its oldest token of a table.
    Forget,
    /// The disk fails for a moment: a frame cannot be read, or a file of the outbox not written.
    DiskError,
    /// The journal directory is copied while in use, and the copy put in place later.
    Restore,
    /// The journal directory is gone, the outbox with it.
    LoseJournal,
}

impl Fault {
    /// Number of variants.
    pub const COUNT: usize = Self::LoseJournal as usize + 1;
}

/// One model: rules, borders, and how large the world is.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The rules our code follows.
    pub rules: Rules,
    /// The borders the surroundings respect.
    pub borders: Borders,
    /// Frames that arrive in all.
    pub arrivals: u8,
    /// Tokens of a table that the server remembers by number, besides `Fault::Forget`.
    pub window: usize,
    /// Which faults happen, and each at most how often.
    pub faults: Vec<(Fault, u8)>,
    /// Faults in all.
    pub faults_in_all: u8,
}

impl Setup {
    /// The protocol with every border respected.
    pub fn new(faults: &[(Fault, u8)], faults_in_all: u8) -> Self {
        Self {
            rules: Rules::kept(),
            borders: Borders::kept(),
            arrivals: 3,
            window: 100,
            faults: faults.to_vec(),
            faults_in_all,
        }
    }

    /// Changes rules.
    pub fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(&mut self.rules);
        self
    }

    /// Changes borders.
    pub fn border(mut self, change: impl FnOnce(&mut Borders)) -> Self {
        change(&mut self.borders);
        self
    }

    /// Changes the size.
    pub fn size(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
