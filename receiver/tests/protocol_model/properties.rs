//! What must hold in every state that can be reached.
//!
//! Must never be weakened to make a test pass: a state where one of these fails is a record lost, doubled or
//! wrongly accounted for.

use crate::model::Action;
use crate::rules::Setup;
use crate::world::{BRINGS, Frames, State, WAITS, decoded, members};

/// Name of `once`.
pub const ONCE: &str = "no frame is stored twice";
/// Name of `complete_at_rest`.
pub const COMPLETE: &str = "at rest every journaled frame is stored";
/// Name of `deleted_is_done`.
pub const DELETED: &str = "a deleted frame is done";
/// Name of `done_is_stored`.
pub const DONE: &str = "done means stored";
/// Name of `ledger_balances`.
pub const LEDGER: &str = "the ledger balances";
/// Name of `others_go_on`.
pub const OTHERS: &str = "a shard that is away holds back only what is bound to it";

/// Name of `drained`, which some history must reach.
pub const DRAINED: &str = "everything arrived, was stored and deleted";

/// A check of one state.
pub type Check = fn(&Setup, &State) -> bool;

/// All names with their checks, for the seeded walks.
pub const ALL: [(&str, Check); 6] = [
    (ONCE, once),
    (COMPLETE, complete_at_rest),
    (DELETED, deleted_is_done),
    (DONE, done_is_stored),
    (LEDGER, ledger_balances),
    (OTHERS, others_go_on),
];

/// No row is in the table twice, whatever journal it came from.
pub fn once(_: &Setup, state: &State) -> bool {
    (0..state.origins.len() as u8).all(|content| state.times_stored(content) <= 1)
}

/// When nothing more can happen without a new fault, the journal is drained: every frame that no power cut
/// took is in the table, the low-water mark is at the end, nothing waits.
pub fn complete_at_rest(setup: &Setup, state: &State) -> bool {
    if !setup.progress(state).is_empty() {
        return true;
    }
    let Some(receiver) = &state.receiver else { return false };
    let mut here: Frames = 0;
    for frame in &state.disk.frames {
        if !frame.lost {
            here |= 1 << frame.content;
        }
    }
    let stored = members(decoded(setup, here, here)).all(|content| state.times_stored(content) > 0);
    stored && receiver.ranges.is_empty() && receiver.decoded == receiver.stored
}

/// A segment is gone only if checkpoint and log, as a power cut would leave them, call its frames done. A
/// frame whose set waits is done when the template's range is.
pub fn deleted_is_done(setup: &Setup, state: &State) -> bool {
    let done = state.disk.done_frames();
    state.disk.frames.iter().filter(|frame| !frame.lost && frame.number <= state.disk.deleted_to).all(
        |frame| {
            let released = !setup.waiting_set || frame.content != WAITS || done & (1 << BRINGS) != 0;
            done & (1 << frame.content) != 0 && released
        },
    )
}

/// What checkpoint and log call done is in the table: a new frame is never taken for an old one.
pub fn done_is_stored(_: &Setup, state: &State) -> bool {
    members(state.disk.released_frames()).all(|content| state.times_stored(content) > 0)
}

/// Destination balance: decoded = stored + waiting in memory; memory and disk agree; and the rows called
/// stored are the rows in the table.
pub fn ledger_balances(_: &Setup, state: &State) -> bool {
    let in_table: u8 = members(state.disk.released_frames()).map(|content| state.rows_stored(content)).sum();
    if state.disk.stored_rows() != in_table {
        return false;
    }
    let Some(receiver) = &state.receiver else { return true };
    let waiting: u8 = receiver.ranges.iter().map(|live| live.decoded).sum();
    receiver.decoded == receiver.stored + waiting && receiver.stored == state.disk.stored_rows()
}

/// When nothing can happen before a shard is back, and another is there, every frame that waits is in a range that is
/// bound to one that is away. A receiver that has just started is another matter: it needs the answers of all.
pub fn others_go_on(setup: &Setup, state: &State) -> bool {
    let is_back = |action: &Action| matches!(action, Action::ShardBack { .. });
    let progress = setup.progress(state);
    if progress.is_empty() || !progress.iter().all(is_back) {
        return true;
    }
    let Some(receiver) = &state.receiver else { return false };
    if state.shards.iter().all(|shard| shard.away) {
        return true;
    }
    if receiver.to_check > 0 || receiver.ranges.iter().any(|live| live.earlier) {
        return true;
    }
    let is_bound = |number: u8| {
        receiver.ranges.iter().any(|live| {
            (live.intent.first..=live.intent.last).contains(&number)
                && state.shards[usize::from(live.intent.shard)].away
        })
    };
    state.disk.readable().all(|frame| state.disk.is_done(frame.number) || is_bound(frame.number))
}

/// The end of a good history, so that a model that cannot move does not pass.
pub fn drained(setup: &Setup, state: &State) -> bool {
    let all = (0..state.origins.len() as u8).all(|content| {
        let template_only = setup.waiting_set && content == BRINGS;
        template_only || state.times_stored(content) == 1
    });
    all && state.origins.len() == usize::from(setup.arrivals) && state.disk.readable().next().is_none()
}
