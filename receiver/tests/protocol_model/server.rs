//! What ClickHouse does with an insert: all of it or nothing, and nothing if it remembers token and number
//! of blocks. What it holds does not matter to it.
//!
//! Must never look at journal or log.

use crate::model::Action;
use crate::rules::Setup;
use crate::world::{Frames, MOST_FRAMES, State, members};

/// What the server keys its memory on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// Journal identity.
    pub identity: u8,
    /// The name of the table: 0 as it is declared.
    pub table: u8,
    /// First frame.
    pub first: u8,
    /// Last frame.
    pub last: u8,
    /// Checksum over the frames.
    pub crc: Frames,
}

/// An insert on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    /// First frame of the range it belongs to.
    pub first: u8,
    /// The receiver still listens for the answer.
    pub attached: bool,
    /// The server has finished; the answer is under way.
    pub answered: bool,
    /// The shard it went to.
    pub shard: u8,
    /// The deduplication token.
    pub token: Token,
    /// Number of Native blocks.
    pub blocks: u8,
    /// The rows, by the frame they come from.
    pub rows: Frames,
    /// Our version that decoded them.
    pub version: u8,
}

/// An entry of the deduplication window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Remembered {
    /// The token ...
    pub token: Token,
    /// ... and the number of blocks, together one key.
    pub blocks: u8,
    /// What was stored under it (for `Fault::ServerLosesRows`).
    pub rows: Frames,
    /// More than ten minutes old.
    pub old: bool,
}

/// One shard of the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// The deduplication window, oldest first.
    pub window: Vec<Remembered>,
    /// How often the rows of a frame are stored: low half by version 0, high half by version 1.
    pub stored: [u8; MOST_FRAMES],
    /// It cannot be reached. What is running there may go on.
    pub away: bool,
    /// Its table has another name than the declared one, because it is distributed.
    pub renamed: bool,
}

impl Setup {
    /// How requests can go on by themselves.
    pub fn server_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, request) in state.requests.iter().enumerate() {
            if request.answered {
                actions.push(Action::Acknowledge { at });
                continue;
            }
            actions.push(Action::Complete { at });
            if !request.attached {
                actions.push(Action::Vanish { at });
            }
        }
        for (shard, _) in (0u8..).zip(&state.shards).filter(|(_, shard)| shard.away) {
            actions.push(Action::ShardBack { shard });
        }
    }

    /// A request completes on the server.
    pub fn complete(&self, state: &mut State, at: usize) {
        let mut request = state.requests.remove(at);
        let shard = &mut state.shards[usize::from(request.shard)];
        let known =
            shard.window.iter().any(|seen| seen.token == request.token && seen.blocks == request.blocks);
        if !known {
            for content in members(request.rows) {
                shard.stored[usize::from(content)] += if request.version == 0 { 1 } else { 16 };
            }
            let (token, blocks, rows) = (request.token, request.blocks, request.rows);
            shard.window.push(Remembered { token, blocks, rows, old: false });
            if shard.window.len() > self.window {
                shard.window.remove(0);
            }
        }
        if request.attached {
            request.answered = true;
            state.requests.push(request);
            state.requests.sort();
        }
    }
}
