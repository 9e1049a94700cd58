//! What the reader does: gather, flush, send, stand, remove, release, start, begin again; and the listener, as far as it
//! numbers frames.
//!
//! Must never look at tables, or at frames that are lost.

use super::model::Action;
use super::rules::Setup;
use super::world::{Disk, Flush, Frame, Reader, Request, Stage, State, TABLES, Token};

impl Setup {
    /// What the receiver can do next.
    pub fn reader_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let Some(reader) = &state.reader else {
            if state.requests.is_empty() || !self.borders.attempts_end_before_start {
                actions.push(Action::Start);
            }
            return;
        };
        if state.arrived < self.arrivals {
            actions.push(Action::Arrive);
        }
        if self.releasable_to(&state.disk, reader) > state.disk.released_to {
            actions.push(Action::Release);
        }
        if let Some((flush, stage)) = &reader.pending {
            actions.extend(self.pending_action(state, flush, *stage));
            if self.rules.one_flush_at_a_time {
                return;
            }
        }
        if reader.torn {
            actions.push(Action::BeginAgain);
            if self.rules.begins_again_after_error {
                return;
            }
        }
        if state.disk.next(reader.last).is_some() {
            actions.push(Action::Gather);
        }
        if reader.gathered != 0 {
            actions.push(Action::Flush);
        }
    }

    /// The one thing that can be done with a flush.
    fn pending_action(&self, state: &State, flush: &Flush, stage: Stage) -> Option<Action> {
        match stage {
            Stage::Placed => Some(Action::Complete),
            Stage::Sending(acknowledged) if usize::from(acknowledged) < TABLES => {
                let waits = state.requests.iter().any(|request| request.attached);
                (!waits).then_some(Action::Send)
            }
            Stage::Sending(_) if !self.rules.standing_before_removal => Some(Action::Remove),
            Stage::Sending(_) if state.disk.standing >= flush.last => Some(Action::Remove),
            Stage::Sending(_) | Stage::Removed => Some(Action::Stand),
            Stage::Stood => Some(Action::Remove),
        }
    }

    /// Frames may be released up to here.
    fn releasable_to(&self, disk: &Disk, reader: &Reader) -> u8 {
        let last = if self.rules.release_at_standing { reader.standing } else { reader.last };
        // A frame that a power cut took cannot be released.
        disk.readable().map(|frame| frame.number).filter(|number| *number <= last).max().unwrap_or(0)
    }

    /// A frame arrives and is journaled.
    pub fn arrive(&self, state: &mut State) {
        let disk = &mut state.disk;
        let mut number = disk.newest();
        if self.rules.number_above_outbox {
            number = number.max(disk.known());
        }
        // In one life numbers only increase.
        number = number.max(state.reader.as_ref().map_or(0, |reader| reader.numbered));
        if let Some(reader) = &mut state.reader {
            reader.numbered = number + 1;
        }
        disk.frames.push(Frame { number: number + 1, content: state.arrived, lost: false });
        state.arrived += 1;
    }

    /// Reads a frame and adds it to what is in memory.
    pub fn gather(&self, state: &mut State, adds: bool) {
        let Some(reader) = &mut state.reader else { return };
        let Some(frame) = state.disk.next(reader.last) else { return };
        reader.last = frame.number;
        if adds {
            reader.gathered |= 1 << frame.content;
        } else {
            reader.torn = true;
        }
    }

    /// Puts what is gathered into the outbox.
    pub fn flush(&self, state: &mut State) {
        let identity = state.disk.identity;
        let Some(reader) = &mut state.reader else { return };
        let rules = &self.rules;
        let token = Token {
            identity: if rules.token_names_identity { identity } else { 0 },
            first: if rules.token_names_range { reader.standing + 1 } else { 0 },
            last: if rules.token_names_range { reader.last } else { 0 },
            crc: if rules.token_names_crc { reader.gathered } else { 0 },
        };
        let flush = Flush { last: reader.last, token, frames: reader.gathered };
        reader.gathered = 0;
        if rules.sync_before_flush {
            state.disk.synced_to = state.disk.synced_to.max(reader.last);
        }
        if rules.position_in_flush {
            reader.pending = Some((flush, Stage::Sending(0)));
            self.write_flush(&mut state.disk, flush);
        } else {
            reader.pending = Some((flush, Stage::Placed));
            state.disk.place = flush.last;
        }
    }

    /// Renames the flush into place.
    pub fn write_flush(&self, disk: &mut Disk, flush: Flush) {
        if self.rules.outbox_before_insert {
            disk.flush = Some(flush);
            disk.removed = None;
        }
        if !self.rules.standing_after_acknowledgements {
            disk.standing = flush.last;
        }
    }

    /// The flush follows its position (`Rules::position_in_flush` broken).
    pub fn complete_flush(&self, state: &mut State) {
        let Some((flush, stage)) = state.reader.as_mut().and_then(|reader| reader.pending.as_mut()) else {
            return;
        };
        *stage = Stage::Sending(0);
        self.write_flush(&mut state.disk, *flush);
    }

    /// Sends the next insert, or the same once more.
    pub fn send(&self, state: &mut State) {
        let Some((flush, Stage::Sending(table))) = state.reader.as_ref().and_then(|reader| reader.pending)
        else {
            return;
        };
        let (token, frames) = (flush.token, flush.frames);
        if state.copy.is_some() {
            state.sent_since_copy.insert(frames);
        }
        state.requests.push(Request { table, token, frames, attached: true, answered: false });
        state.requests.sort();
    }

    /// The acknowledgement of the insert that is waited for.
    pub fn acknowledged(&self, state: &mut State) {
        if let Some((_, Stage::Sending(acknowledged))) =
            state.reader.as_mut().and_then(|reader| reader.pending.as_mut())
        {
            *acknowledged += 1;
        }
    }

    /// Renames the standing into place.
    pub fn stand(&self, state: &mut State) {
        let Some(reader) = &mut state.reader else { return };
        let Some((flush, stage)) = &mut reader.pending else { return };
        state.disk.standing = flush.last;
        state.disk.removed = None;
        if *stage == Stage::Removed {
            reader.standing = flush.last;
            reader.pending = None;
        } else {
            *stage = Stage::Stood;
        }
    }

    /// Removes the flush.
    pub fn remove(&self, state: &mut State) {
        let Some(reader) = &mut state.reader else { return };
        let Some((flush, stage)) = &mut reader.pending else { return };
        state.disk.removed = state.disk.flush.take();
        if state.disk.standing < flush.last {
            *stage = Stage::Removed;
        } else {
            reader.standing = flush.last;
            reader.pending = None;
        }
    }

    /// The journal forgets what it may.
    pub fn release(&self, state: &mut State) {
        if let Some(reader) = &state.reader {
            state.disk.released_to = self.releasable_to(&state.disk, reader);
        }
    }

    /// The receiver starts: the outbox says where to go on, and what to send first.
    pub fn start(&self, state: &mut State) {
        let disk = &mut state.disk;
        let flush = if self.rules.old_flush_ignored { disk.unacknowledged() } else { disk.flush };
        let flush = flush.filter(|_| self.rules.flush_sent_again);
        let last = flush.map_or(disk.standing, |flush| flush.last).max(disk.place);
        let numbered = if self.rules.number_above_outbox { disk.known() } else { 0 };
        state.reader = Some(Reader {
            standing: disk.standing,
            last,
            gathered: 0,
            pending: flush.map(|flush| (flush, Stage::Sending(0))),
            torn: false,
            numbered: numbered.max(disk.newest()),
        });
    }

    /// After an error: what was gathered since the last flush is gathered anew.
    pub fn begin_again(&self, state: &mut State) {
        if let Some(reader) = &mut state.reader {
            (reader.last, reader.gathered, reader.torn) = (reader.standing, 0, false);
        }
    }
}
