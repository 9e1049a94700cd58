//! What the server does with an insert, and what goes wrong, and when it may.
//!
//! Must never repair anything: repair is the reader's.

use super::model::Action;
use super::rules::{Fault, Setup};
use super::world::{Disk, Frames, Stage, State, TABLES, Token, members};

impl Setup {
    /// How requests can go on by themselves.
    pub fn server_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, request) in state.requests.iter().enumerate() {
            if request.answered {
                actions.push(Action::Acknowledge { at });
                continue;
            }
            actions.push(Action::Store { at });
            if !request.attached {
                actions.push(Action::Vanish { at });
            }
        }
    }

    /// A request completes on the server: the token alone decides.
    pub fn store(&self, state: &mut State, at: usize) {
        let mut request = state.requests.remove(at);
        let table = &mut state.tables[usize::from(request.table)];
        if !table.window.contains(&request.token) {
            for content in members(request.frames) {
                table.counted[usize::from(content)] += 1;
            }
            table.window.push(request.token);
            if table.window.len() > self.window {
                table.window.remove(0);
            }
        }
        if request.attached {
            request.answered = true;
            state.requests.push(request);
            state.requests.sort();
        }
    }

    /// The faults that can happen now.
    pub fn fault_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.spent.iter().sum::<u8>() >= self.faults_in_all {
            return;
        }
        for (fault, most) in &self.faults {
            if state.spent[*fault as usize] < *most {
                self.one_fault(state, *fault, actions);
            }
        }
    }

    fn one_fault(&self, state: &State, fault: Fault, actions: &mut Vec<Action>) {
        let up = state.reader.is_some();
        match fault {
            Fault::Kill if up => actions.push(Action::Kill),
            Fault::PowerCut if up => {
                for frames in tails(&state.disk, state.disk.synced_to) {
                    actions.push(Action::PowerCut { frames, returns: false });
                    if state.disk.removed.is_some() {
                        actions.push(Action::PowerCut { frames, returns: true });
                    }
                }
            }
            Fault::LoseAcknowledgement | Fault::CutRequest | Fault::GiveUp => {
                for (at, request) in state.requests.iter().enumerate() {
                    match fault {
                        Fault::LoseAcknowledgement if request.answered => {
                            actions.push(Action::LoseAcknowledgement { at });
                        }
                        Fault::CutRequest if request.attached && !request.answered => {
                            actions.push(Action::CutRequest { at });
                        }
                        Fault::GiveUp if request.attached && !request.answered => {
                            actions.push(Action::GiveUp { at });
                        }
                        _ => {}
                    }
                }
            }
            Fault::RestartServer if !state.requests.is_empty() => actions.push(Action::RestartServer),
            Fault::Forget => {
                for table in 0..TABLES {
                    let oldest = state.tables[table].window.first();
                    let unsettled = |token| is_unsettled(state, table, token);
                    let spared = self.borders.unsettled_tokens_are_remembered;
                    if oldest.is_some_and(|token| !spared || !unsettled(token)) {
                        actions.push(Action::Forget { table });
                    }
                }
            }
            Fault::DiskError => self.disk_errors(state, actions),
            Fault::Restore => self.restores(state, actions),
            Fault::LoseJournal if !up => actions.push(Action::LoseJournal),
            _ => {}
        }
    }

    /// Each step of the reader that needs the disk can fail.
    fn disk_errors(&self, state: &State, actions: &mut Vec<Action>) {
        let Some(reader) = &state.reader else { return };
        match &reader.pending {
            Some((_, Stage::Sending(acknowledged))) if usize::from(*acknowledged) == TABLES => {
                actions.push(Action::StandFails { renamed: false });
                actions.push(Action::StandFails { renamed: true });
            }
            None if !reader.torn => {
                if state.disk.next(reader.last).is_some() {
                    actions.push(Action::ReadFails);
                }
                if reader.gathered != 0 {
                    actions.push(Action::FlushFails { renamed: false });
                    actions.push(Action::FlushFails { renamed: true });
                }
            }
            _ => {}
        }
    }

    /// Copying is free and done once; half of it may be made later than the rest.
    fn restores(&self, state: &State, actions: &mut Vec<Action>) {
        let Some((copy, is_whole)) = &state.copy else {
            actions.push(Action::Copy);
            return;
        };
        if !is_whole {
            actions.push(Action::CopyOutboxLater);
            actions.push(Action::CopyFramesLater);
        }
        let is_same = copy.identity == state.disk.identity;
        let is_ahead = is_same && !is_behind(state, copy);
        if state.reader.is_none() && (is_ahead || !self.borders.copies_are_not_behind) {
            for frames in tails(copy, 0) {
                actions.push(Action::Restore { frames });
            }
        }
    }

    /// The receiver is gone; its requests are on their own.
    pub fn kill(&self, state: &mut State) {
        state.reader = None;
        state.requests.retain(|request| !request.answered);
        for request in &mut state.requests {
            request.attached = false;
        }
        state.requests.sort();
    }

    /// The power is gone: unsynced frames with it, and perhaps the removal of a flush.
    pub fn power_cut(&self, state: &mut State, frames: u8, returns: bool) {
        self.kill(state);
        end_copying(state);
        cut_tail(&mut state.disk, frames);
        if returns {
            state.disk.flush = state.disk.removed.take();
        }
    }

    /// We stop waiting for a request that runs on.
    pub fn give_up(&self, state: &mut State, at: usize) {
        state.requests[at].attached = false;
        state.requests.sort();
    }

    /// A flush cannot be written; or it is in place, and the directory cannot be forced to the disk.
    pub fn flush_fails(&self, state: &mut State, renamed: bool) {
        let before = state.clone();
        self.flush(state);
        let (Some(reader), Some(was)) = (&mut state.reader, &before.reader) else { return };
        (reader.pending, reader.gathered, reader.torn) = (None, was.gathered, true);
        if !renamed {
            (state.disk.flush, state.disk.removed) = (before.disk.flush, before.disk.removed);
        }
    }

    /// The standing cannot be written; or it is in place, and the directory cannot be forced to the disk, or the flush
    /// not be removed. All of the flush is sent again.
    pub fn stand_fails(&self, state: &mut State, renamed: bool) {
        let Some((flush, stage)) = state.reader.as_mut().and_then(|reader| reader.pending.as_mut()) else {
            return;
        };
        *stage = Stage::Sending(0);
        if renamed {
            state.disk.standing = flush.last;
        }
    }

    /// One half of the copy is made anew.
    pub fn copy_later(&self, state: &mut State, outbox: bool) {
        let Some((copy, is_whole)) = &mut state.copy else { return };
        let mut later = state.disk.clone();
        *is_whole = true;
        if outbox {
            std::mem::swap(&mut later.frames, &mut copy.frames);
            (later.released_to, later.synced_to) = (copy.released_to, copy.synced_to);
        } else {
            (later.standing, later.flush, later.removed) = (copy.standing, copy.flush, copy.removed);
        }
        **copy = later;
    }

    /// The copy takes the journal's place, its newest frames torn off.
    pub fn restore(&self, state: &mut State, frames: u8) {
        state.sent_since_copy.clear();
        if let Some((copy, _)) = state.copy.take() {
            state.disk = *copy;
            cut_tail(&mut state.disk, frames);
        }
    }

    /// The journal directory is gone; a new one is made.
    pub fn lose_journal(&self, state: &mut State) {
        end_copying(state);
        state.identities += 1;
        state.disk = Disk::new(state.identities);
    }
}

/// Whether a token may still come to a table.
fn is_unsettled(state: &State, table: usize, token: &Token) -> bool {
    let flushes = [
        state.disk.unacknowledged(),
        state.copy.as_ref().and_then(|(copy, _)| copy.unacknowledged()),
        state.reader.as_ref().and_then(|reader| reader.pending).map(|(flush, _)| flush),
    ];
    flushes.iter().flatten().any(|flush| flush.token == *token)
        || state.requests.iter().any(|one| usize::from(one.table) == table && one.token == *token)
}

/// Whether the life that went on has sent anything beyond the copy's standing but the copy's flush.
fn is_behind(state: &State, copy: &Disk) -> bool {
    let flushed = copy.unacknowledged().map_or(0, |flush| flush.frames);
    let beyond = state.disk.frames.iter().filter(|frame| frame.number > copy.standing);
    let beyond: Frames = beyond.fold(0, |all, frame| all | 1 << frame.content);
    state.sent_since_copy.iter().any(|sent| sent & beyond != 0 && *sent != flushed)
}

/// A copy is not made across a power cut, nor of two journals.
fn end_copying(state: &mut State) {
    if let Some((_, is_whole)) = &mut state.copy {
        *is_whole = true;
    }
}

/// What may be left of the journal.
fn tails(disk: &Disk, synced_to: u8) -> Vec<u8> {
    let mut kept: Vec<u8> = disk.readable().map(|frame| frame.number).collect();
    kept.push(disk.released_to);
    let newest = disk.newest();
    kept.retain(|number| *number >= synced_to.min(newest));
    kept
}

/// Loses the frames above a number.
fn cut_tail(disk: &mut Disk, last: u8) {
    for frame in &mut disk.frames {
        frame.lost |= frame.number > last;
    }
    disk.synced_to = disk.synced_to.min(last);
}
