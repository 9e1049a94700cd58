//! What must hold of aggregates in every state that can be reached.
//!
//! Must never be weakened to make a test pass: a state where one of these fails is a record lost or counted twice.

use super::rules::Setup;
use super::world::{Frame, State, TABLES};

/// Name of `once`.
pub const ONCE: &str = "no frame is counted twice in a table";
/// Name of `complete_at_rest`.
pub const COMPLETE: &str = "at rest every journaled frame is counted in each table";
/// Name of `tables_agree`.
pub const AGREE: &str = "tables differ only by the flush in the outbox";
/// Name of `released_is_counted`.
pub const RELEASED: &str = "a released frame is counted in each table";
/// Name of `standing_is_counted`.
pub const STANDING: &str = "up to the standing each table counts every frame";
/// Name of `counted_is_known`.
pub const OUTBOX: &str = "what is counted is known to the outbox";

/// Name of `drained`, which some history must reach.
pub const DRAINED: &str = "everything arrived, was counted once and released";

/// A check of one state.
pub type Check = fn(&Setup, &State) -> bool;

/// All names with their checks.
pub const ALL: [(&str, Check); 6] = [
    (ONCE, once),
    (COMPLETE, complete_at_rest),
    (AGREE, tables_agree),
    (RELEASED, released_is_counted),
    (STANDING, standing_is_counted),
    (OUTBOX, counted_is_known),
];

/// Frames of the present journal that no power cut took.
fn sound(state: &State) -> impl Iterator<Item = &Frame> {
    state.disk.frames.iter().filter(|frame| !frame.lost)
}

/// Whatever journal a frame came from.
fn once(_: &Setup, state: &State) -> bool {
    (0..state.arrived).all(|content| (0..TABLES).all(|table| state.counted(table, content) <= 1))
}

/// When nothing more can happen without a new fault, every frame that is or was in the journal is in each table, and
/// nothing is on its way.
fn complete_at_rest(setup: &Setup, state: &State) -> bool {
    if !setup.progress(state).is_empty() {
        return true;
    }
    let Some(reader) = &state.reader else { return false };
    let is_empty = reader.pending.is_none() && state.disk.unacknowledged().is_none();
    is_empty && sound(state).all(|frame| state.counted_in_all(frame.content))
}

/// A frame that is not in an unacknowledged flush is in each table as often as in the others.
fn tables_agree(_: &Setup, state: &State) -> bool {
    let flushed = state.disk.unacknowledged().map_or(0, |flush| flush.frames);
    sound(state).filter(|frame| flushed & (1 << frame.content) == 0).all(|frame| {
        let first = state.counted(0, frame.content);
        (1..TABLES).all(|table| state.counted(table, frame.content) == first)
    })
}

/// What the journal has forgotten is in each table.
fn released_is_counted(_: &Setup, state: &State) -> bool {
    let mut released = sound(state).filter(|frame| frame.number <= state.disk.released_to);
    released.all(|frame| state.counted_in_all(frame.content))
}

/// The standing is never ahead of what the server has.
fn standing_is_counted(_: &Setup, state: &State) -> bool {
    let mut behind = sound(state).filter(|frame| frame.number <= state.disk.standing);
    behind.all(|frame| state.counted_in_all(frame.content))
}

/// A frame beyond standing and flush is in no table: after a kill it may be gathered into any other flush.
fn counted_is_known(_: &Setup, state: &State) -> bool {
    let mut beyond = sound(state).filter(|frame| frame.number > state.disk.known());
    beyond.all(|frame| (0..TABLES).all(|table| state.counted(table, frame.content) == 0))
}

/// The end of a good history, so that a model that cannot move does not pass.
pub fn drained(setup: &Setup, state: &State) -> bool {
    let once = (0..state.arrived).all(|content| (0..TABLES).all(|table| state.counted(table, content) == 1));
    once && state.arrived == setup.arrivals && state.disk.readable().next().is_none()
}
