//! What goes wrong, and when it may.
//!
//! Must never repair anything: repair is the receiver's.

use crate::model::Action;
use crate::rules::{Fault, Setup};
use crate::world::{Disk, Record, Stage, State};

impl Setup {
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
        let up = state.receiver.is_some();
        let quiet = state.requests.is_empty();
        let borders = &self.borders;
        match fault {
            Fault::Kill if up => actions.push(Action::Kill),
            Fault::PowerCut if up => self.power_cuts(state, actions),
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
            Fault::RestartServer => actions.push(Action::RestartServer),
            Fault::UpgradeServer => actions.push(Action::UpgradeServer),
            Fault::Forget => {
                for (shard, content) in (0u8..).zip(&state.shards) {
                    let oldest_is_old = content.window.first().map(|seen| seen.old);
                    if oldest_is_old.is_some_and(|old| old || !borders.window_covers_ten_minutes) {
                        actions.push(Action::Forget { shard });
                    }
                }
            }
            Fault::TenMinutes if quiet || !borders.attempts_end_in_ten_minutes => {
                actions.push(Action::TenMinutes)
            }
            Fault::Upgrade if !up && (quiet || !borders.attempts_end_before_upgrade) => {
                actions.push(Action::Upgrade);
            }
            Fault::Restore => self.restores(state, actions),
            Fault::LoseJournal if !up => actions.push(Action::LoseJournal),
            Fault::ClockBack => {
                let unsynced_cut =
                    !self.rules.sync_before_insert && state.spent[Fault::PowerCut as usize] > 0;
                let frames_taken = unsynced_cut || state.spent[Fault::Restore as usize] > 0;
                if !frames_taken || !borders.clock_is_ahead_of_lost_frames {
                    actions.push(Action::ClockBack);
                }
            }
            Fault::ServerLosesRows => {
                for (shard, content) in (0u8..).zip(&state.shards) {
                    if !content.window.is_empty() {
                        actions.push(Action::ServerLosesRows { shard });
                    }
                }
            }
            Fault::ShardAway | Fault::Rename => {
                for (shard, content) in (0u8..).zip(&state.shards) {
                    match fault {
                        Fault::ShardAway if !content.away => actions.push(Action::ShardAway { shard }),
                        Fault::Rename if !content.renamed => actions.push(Action::Rename { shard }),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// Each unsynced tail that a power cut can take.
    fn power_cuts(&self, state: &State, actions: &mut Vec<Action>) {
        let borders = &self.borders;
        let clock_back = !self.rules.sync_before_insert && state.spent[Fault::ClockBack as usize] > 0;
        if clock_back && borders.clock_is_ahead_of_lost_frames {
            return;
        }
        let intent = |record: &Record| matches!(record, Record::Intent(_));
        let named = state.disk.log.iter().filter(|record| intent(record)).map(Record::last).max();
        for (frames, records) in tails(&state.disk, state.disk.synced_to, state.disk.synced_records) {
            let mut lost = state.disk.log.iter().skip(usize::from(records));
            let lost_intent = lost.any(intent) || named.is_some_and(|last| last > frames);
            if !lost_intent || state.requests.is_empty() || !borders.attempts_outlive_no_lost_intent {
                actions.push(Action::PowerCut { frames, records });
            }
        }
    }

    /// Copying is free and done once; putting the copy in place is the fault.
    fn restores(&self, state: &State, actions: &mut Vec<Action>) {
        let Some(copy) = &state.copy else {
            actions.push(Action::Copy);
            return;
        };
        let quiet = state.requests.is_empty() || !self.borders.attempts_end_before_restore;
        let clock =
            state.spent[Fault::ClockBack as usize] == 0 || !self.borders.clock_is_ahead_of_lost_frames;
        if state.receiver.is_none() && quiet && clock {
            for (frames, records) in tails(copy, 0, 0) {
                actions.push(Action::Restore { frames, records });
            }
        }
    }

    /// The receiver is gone; its requests are on their own.
    pub fn kill(&self, state: &mut State) {
        state.receiver = None;
        state.requests.retain(|request| !request.answered);
        for request in &mut state.requests {
            request.attached = false;
        }
        state.requests.sort();
    }

    /// The connection of a request is gone.
    pub fn drop_request(&self, state: &mut State, at: usize) {
        let request = state.requests.remove(at);
        Self::failed(state, request.first);
    }

    /// We stop waiting for a request that runs on.
    pub fn give_up(&self, state: &mut State, at: usize) {
        let request = &mut state.requests[at];
        request.attached = false;
        let first = request.first;
        state.requests.sort();
        Self::failed(state, first);
    }

    /// A shard is away: its answers do not arrive, and what it is at runs on.
    pub fn shard_away(&self, state: &mut State, shard: u8) {
        state.shards[usize::from(shard)].away = true;
        let mut failed = Vec::new();
        state.requests.retain(|request| {
            let is_there = request.shard == shard;
            if is_there && request.attached {
                failed.push(request.first);
            }
            !(is_there && request.answered)
        });
        for request in state.requests.iter_mut().filter(|request| request.shard == shard) {
            request.attached = false;
        }
        state.requests.sort();
        for first in failed {
            Self::failed(state, first);
        }
    }

    /// The server process dies: nothing of a running insert is left.
    pub fn restart_server(&self, state: &mut State) {
        for request in std::mem::take(&mut state.requests) {
            if request.attached {
                Self::failed(state, request.first);
            }
        }
    }

    /// Another server version: its memory of tokens means nothing any more.
    pub fn upgrade_server(&self, state: &mut State) {
        self.restart_server(state);
        self.forget_absent(state);
        state.server_version += 1;
        for shard in &mut state.shards {
            shard.window.clear();
        }
    }

    /// What was counted as absent has to be counted again.
    fn forget_absent(&self, state: &mut State) {
        for live in state.receiver.iter_mut().flat_map(|receiver| &mut receiver.ranges) {
            if live.stage == Stage::Absent && self.rules.absent_expires {
                live.stage = Stage::Unsettled;
            }
        }
    }

    /// Everything becomes old.
    pub fn ten_minutes(&self, state: &mut State) {
        let copy = state.copy.as_deref_mut();
        for disk in copy.into_iter().chain(std::iter::once(&mut state.disk)) {
            for record in &mut disk.log {
                if let Record::Intent(intent) = record {
                    intent.old = true;
                }
            }
        }
        for live in state.receiver.iter_mut().flat_map(|receiver| &mut receiver.ranges) {
            live.intent.old = true;
        }
        self.forget_absent(state);
        for seen in state.shards.iter_mut().flat_map(|shard| &mut shard.window) {
            seen.old = true;
        }
    }

    /// The journal directory is gone; a new one is made.
    pub fn lose_journal(&self, state: &mut State) {
        if self.rules.fresh_identity {
            state.identities += 1;
        }
        state.disk = Disk::new(state.identities);
    }

    /// The copy takes the journal's place, torn as a copy of files in use may be.
    pub fn restore(&self, state: &mut State, frames: u8, records: u8) {
        if let Some(copy) = state.copy.take() {
            state.disk = *copy;
            cut_tails(&mut state.disk, frames, records);
        }
    }

    /// The server's machine loses what was last stored on a shard, with its token.
    pub fn server_loses_rows(&self, state: &mut State, shard: u8) {
        let shard = &mut state.shards[usize::from(shard)];
        if let Some(seen) = shard.window.pop() {
            for content in crate::world::members(seen.rows) {
                shard.stored[usize::from(content)] = 0;
            }
        }
    }
}

/// What may be left of journal and log: each can lose its unsynced tail, at any place.
fn tails(disk: &Disk, synced_to: u8, synced_records: u8) -> Vec<(u8, u8)> {
    let highest = disk.readable().map(|frame| frame.number).max().unwrap_or(0);
    let mut frames_kept: Vec<u8> = disk.readable().map(|frame| frame.number).collect();
    frames_kept.push(disk.deleted_to);
    frames_kept.retain(|number| *number >= synced_to.min(highest));
    let mut tails = Vec::new();
    for frames in frames_kept {
        for records in synced_records..=disk.log.len() as u8 {
            tails.push((frames, records));
        }
    }
    tails
}

/// Loses the frames above a number and the records from a place on.
pub fn cut_tails(disk: &mut Disk, frames: u8, records: u8) {
    for frame in &mut disk.frames {
        if frame.number > frames {
            frame.lost = true;
        }
    }
    disk.log.truncate(usize::from(records));
    disk.synced_to = disk.synced_to.min(frames);
    disk.synced_records = disk.synced_records.min(records);
}
