//! What can be varied: the rules of the protocol, the borders of its promise, the faults, the size.
//!
//! A rule is something our code does; a test switches one off and expects a counterexample. A border is
//! something the surroundings must keep to; a test lifts one and expects a counterexample.
//! Must never hold behaviour: the steps live beside the thing they change.

/// What our code does. `Rules::kept()` is the protocol; every `false` is a bug.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The token starts with the journal's identity.
    pub token_names_identity: bool,
    /// The token holds the table's declared name, not the one that it has on the shard.
    pub token_names_declared_table: bool,
    /// The token holds first and last frame of the range.
    pub token_names_range: bool,
    /// The token holds a checksum over the frames of the range.
    pub token_names_crc: bool,
    /// An intent is appended before its insert is sent.
    pub intent_before_insert: bool,
    /// Done is appended after the acknowledgement, not with the insert.
    pub done_after_acknowledgement: bool,
    /// A retry sends the range of the intent, not a newly cut one.
    pub retry_keeps_range: bool,
    /// A retry goes to the shard that the intent names.
    pub retry_keeps_shard: bool,
    /// No new range is cut for a shard while an older one waits there for its retry.
    pub settle_before_new_ranges: bool,
    /// A range that waits at one shard does not keep the others from new ones.
    pub other_shards_go_on: bool,
    /// An intent that is old by age or by version is settled by counting before it is sent again.
    pub count_old_intents: bool,
    /// Every intent is settled by counting first, young ones too.
    pub count_young_intents: bool,
    /// An intent sent to another server version (or another table incarnation) is old.
    pub server_change_makes_old: bool,
    /// Counting asks frame by frame; frames that are absent beside present ones are cut anew.
    pub count_by_frame: bool,
    /// Counting asks for rows of this journal's identity only.
    pub count_names_identity: bool,
    /// Counting for an intent of an earlier life asks every shard, not only the one it is bound to.
    pub count_asks_every_shard: bool,
    /// At start, frames that no intent names are looked up in the table before they are cut.
    pub resume_check: bool,
    /// Segments are deleted below the low-water mark of the checkpoint on disk.
    pub delete_below_checkpoint: bool,
    /// A segment that holds a waiting set stays until the set's range is below the checkpoint.
    pub delete_keeps_waiting_sets: bool,
    /// Rows of a waiting set carry the arrival time of the frame that brought the template.
    pub waiting_rows_carry_template_arrival: bool,
    /// An intent whose frames are not all there any more is void: what is left is looked up frame by frame.
    pub torn_intent_is_void: bool,
    /// "Not in the table" is believed for less than ten minutes and as long as the server stays the same.
    pub absent_expires: bool,
    /// New frames are numbered, and timed, above everything that journal, log or checkpoint ever named.
    pub number_above_log: bool,
    /// A new journal gets a new identity.
    pub fresh_identity: bool,
    /// Journal (up to the range's last frame) and intent are on disk before the insert is sent.
    pub sync_before_insert: bool,
    /// Native blocks are cut at frame borders by journal bytes, so every version cuts the same number.
    pub blocks_by_frames: bool,
    /// Counters are in the done records and the checkpoint, not beside them.
    pub ledger_in_log: bool,
    /// After an old intent was sent again, its done record takes its rows from a count.
    pub recount_after_old: bool,
}

impl Rules {
    /// The protocol as it is.
    pub fn kept() -> Self {
        Self {
            token_names_identity: true,
            token_names_declared_table: true,
            token_names_range: true,
            token_names_crc: true,
            intent_before_insert: true,
            done_after_acknowledgement: true,
            retry_keeps_range: true,
            retry_keeps_shard: true,
            settle_before_new_ranges: true,
            other_shards_go_on: true,
            count_old_intents: true,
            count_young_intents: false,
            server_change_makes_old: true,
            count_by_frame: true,
            count_names_identity: true,
            count_asks_every_shard: true,
            resume_check: true,
            torn_intent_is_void: true,
            absent_expires: true,
            delete_below_checkpoint: true,
            delete_keeps_waiting_sets: true,
            waiting_rows_carry_template_arrival: true,
            number_above_log: true,
            fresh_identity: true,
            sync_before_insert: true,
            blocks_by_frames: true,
            ledger_in_log: true,
            recount_after_old: true,
        }
    }
}

/// What the surroundings keep to. Where one is lifted the promise ends.
#[derive(Clone, Debug)]
pub struct Borders {
    /// The server forgets no token younger than ten minutes.
    pub window_covers_ten_minutes: bool,
    /// No attempt is still running ten minutes after it was sent.
    pub attempts_end_in_ten_minutes: bool,
    /// No attempt of the earlier life is running when a restored copy starts.
    pub attempts_end_before_restore: bool,
    /// No attempt is running when a power cut has lost its intent.
    pub attempts_outlive_no_lost_intent: bool,
    /// No attempt is running when a version starts that cuts another number of blocks.
    pub attempts_end_before_upgrade: bool,
    /// Our clock is not set back behind frames that were stored and that a restored copy, or a power cut
    /// without syncing, took from the journal.
    pub clock_is_ahead_of_lost_frames: bool,
}

impl Borders {
    /// Every border respected.
    pub fn kept() -> Self {
        Self {
            window_covers_ten_minutes: true,
            attempts_end_in_ten_minutes: true,
            attempts_end_before_restore: true,
            attempts_outlive_no_lost_intent: true,
            attempts_end_before_upgrade: true,
            clock_is_ahead_of_lost_frames: true,
        }
    }
}

/// What can go wrong. The model chooses when; `Setup::faults` says how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the receiver; what it wrote stays.
    Kill,
    /// The receiver's machine loses power: unsynced tails of journal and log are gone.
    PowerCut,
    /// The server answered, the answer never arrived.
    LoseAcknowledgement,
    /// The request breaks off; nothing is stored.
    CutRequest,
    /// We give up waiting; the request keeps running and may complete later.
    GiveUp,
    /// The server dies and comes back; it still knows its tokens.
    RestartServer,
    /// The server comes back as another version, or with a new table: it knows no token.
    UpgradeServer,
    /// The server forgets its oldest token.
    Forget,
    /// Everything that is there becomes older than ten minutes.
    TenMinutes,
    /// A new version of ours, which decodes the same frames to more rows.
    Upgrade,
    /// The journal directory is copied while in use, and the copy put in place later.
    Restore,
    /// The journal directory is gone.
    LoseJournal,
    /// Our clock is set back.
    ClockBack,
    /// The server's machine loses power and acknowledged rows with it (fsync off).
    ServerLosesRows,
    /// A shard cannot be reached for a while; what it has taken may go on.
    ShardAway,
    /// The table of a shard gets another name, rows and tokens and all, because it is distributed from now on.
    Rename,
}

impl Fault {
    /// Number of variants, for the tally of faults spent.
    pub const COUNT: usize = Self::Rename as usize + 1;
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
    /// Longest range, in frames.
    pub longest_range: u8,
    /// Inserts in flight at most.
    pub in_flight: usize,
    /// No range is cut more than this many ranges above the lowest unresolved one; 0 = no bound.
    pub lead: usize,
    /// Shards (1 or 2).
    pub shards: u8,
    /// Tokens the server remembers by number, besides `Fault::Forget`.
    pub window: usize,
    /// The first frame holds only a set that waits for the template in the second frame.
    pub waiting_set: bool,
    /// Which faults happen, and each at most how often.
    pub faults: Vec<(Fault, u8)>,
    /// Faults in all.
    pub faults_in_all: u8,
}

impl Setup {
    /// The protocol with every border respected, at the smallest size that shows the known bugs.
    pub fn new(faults: &[(Fault, u8)], faults_in_all: u8) -> Self {
        Self {
            rules: Rules::kept(),
            borders: Borders::kept(),
            arrivals: 3,
            longest_range: 2,
            in_flight: 2,
            lead: 0,
            shards: 1,
            window: 100,
            waiting_set: false,
            faults: faults.to_vec(),
            faults_in_all,
        }
    }

    /// Changes rules; reads well in a test.
    pub fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(&mut self.rules);
        self
    }

    /// Lifts borders; reads well in a test.
    pub fn lift(mut self, change: impl FnOnce(&mut Borders)) -> Self {
        change(&mut self.borders);
        self
    }

    /// Changes the size.
    pub fn size(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
