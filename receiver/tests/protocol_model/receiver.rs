//! What the receiver does: journal, cut, intent, insert, done, settle, resume check, checkpoint, delete.
//!
//! Must never look at what only the checker knows (`Frame::lost`, `State::origins` other than through the
//! journal's own frames and the table).

use crate::model::Action;
use crate::rules::Setup;
use crate::server::{Request, Token};
use crate::world::{BRINGS, Frame, WAITS, decoded, members};
use crate::world::{Disk, Frames, Intent, Live, Origin, Receiver, Record, Stage, State};

impl Setup {
    /// What the receiver can do next.
    pub fn receiver_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let Some(receiver) = &state.receiver else {
            actions.push(Action::Start);
            return;
        };
        if state.origins.len() < usize::from(self.arrivals) {
            actions.push(Action::Arrive);
        }
        for live in &receiver.ranges {
            if matches!(live.stage, Stage::Written | Stage::Absent) {
                actions.push(Action::Send { first: live.intent.first });
            }
        }
        let all_answer = state.shards.iter().all(|shard| !shard.away);
        for (number, shard) in (0u8..).zip(&state.shards) {
            let mut bound = receiver.ranges.iter().filter(|live| live.intent.shard == number);
            if let Some(live) = bound.find(|live| live.stage == Stage::Unsettled)
                && !shard.away
                && (all_answer || !live.earlier)
            {
                actions.push(Action::Settle { first: live.intent.first });
            }
        }
        let settled =
            receiver.ranges.iter().all(|live| !live.retried) || !self.rules.settle_before_new_ranges;
        if settled && all_answer && receiver.to_check > 0 {
            actions.push(Action::ResumeCheck);
        }
        if receiver.to_check == 0 && (settled || self.rules.other_shards_go_on) {
            self.cut_actions(state, receiver, actions);
        }
        if state.disk.low_water() > state.disk.checkpoint.low_water {
            actions.push(Action::Checkpoint);
        }
        if self.deletable_to(&state.disk) > state.disk.deleted_to {
            actions.push(Action::Delete);
        }
    }

    /// Where the next range can end, on which shard.
    fn cut_actions(&self, state: &State, receiver: &Receiver, actions: &mut Vec<Action>) {
        if receiver.ranges.iter().filter(|live| !live.retried).count() >= self.in_flight {
            return;
        }
        let struggles = |shard: u8| receiver.ranges.iter().any(|l| l.retried && l.intent.shard == shard);
        let takes_new = |shard: &u8| !struggles(*shard) || !self.rules.settle_before_new_ranges;
        let shards: Vec<u8> = (0..self.shards).filter(takes_new).collect();
        let Some(first) = self.unnamed(&state.disk, receiver).map(|frame| frame.number).next() else {
            return;
        };
        let mut sent = receiver.ranges.iter().filter(|live| live.stage == Stage::Sent);
        if self.lead > 0 && sent.next().is_some_and(|lowest| ranges_since(&state.disk, lowest) >= self.lead) {
            return;
        }
        let mut last = first;
        for frame in self.unnamed(&state.disk, receiver) {
            if frame.number > last + 1 || frame.number - first >= self.longest_range {
                break;
            }
            last = frame.number;
            for shard in shards.iter().copied() {
                actions.push(Action::Cut { first, last, shard });
            }
        }
    }

    /// Readable frames that are neither done nor in a range we work on.
    fn unnamed<'a>(&self, disk: &'a Disk, receiver: &'a Receiver) -> impl Iterator<Item = &'a Frame> {
        disk.readable().filter(|frame| {
            let named = |live: &Live| (live.intent.first..=live.intent.last).contains(&frame.number);
            !disk.is_done(frame.number) && !receiver.ranges.iter().any(named)
        })
    }

    /// Segments may be deleted up to this frame.
    fn deletable_to(&self, disk: &Disk) -> u8 {
        let done =
            if self.rules.delete_below_checkpoint { disk.checkpoint.low_water } else { disk.low_water() };
        if !self.waiting_set || !self.rules.delete_keeps_waiting_sets {
            return done;
        }
        let number = |content: u8| disk.readable().find(|f| f.content == content).map(|f| f.number);
        match (number(WAITS), number(BRINGS)) {
            (Some(_), Some(brings)) if brings <= done => done,
            (Some(waits), _) => done.min(waits - 1),
            (None, _) => done,
        }
    }

    /// A frame arrives and is journaled.
    pub fn arrive(&self, state: &mut State) {
        let time = |content: u8| state.origins[usize::from(content)].received_at;
        let newest = state.disk.frames.iter().rfind(|frame| !frame.lost);
        let mut number = newest.map_or(0, |frame| frame.number);
        let mut newest_time = newest.map_or(0, |frame| time(frame.content));
        if self.rules.number_above_log {
            number = number.max(state.disk.highest_known());
            newest_time = members(state.disk.named_frames()).map(time).fold(newest_time, u8::max);
        }
        let disk = &mut state.disk;
        let content = state.origins.len() as u8;
        let received_at = state.clock.max(newest_time + 1);
        state.clock = received_at + 1;
        state.origins.push(Origin { identity: disk.identity, received_at });
        disk.frames.push(Frame { number: number + 1, content, lost: false });
    }

    /// A range is cut and its intent appended.
    pub fn cut(&self, state: &mut State, first: u8, last: u8, shard: u8) {
        let crc = state.disk.range(first, last);
        let intent = Intent {
            first,
            last,
            crc,
            version: state.version,
            server: state.server_version,
            shard,
            old: false,
        };
        self.append_intent(&mut state.disk, intent);
        let live = Live { intent, stage: Stage::Written, retried: false, earlier: false, decoded: 0 };
        if let Some(receiver) = &mut state.receiver {
            receiver.ranges.push(live);
            receiver.ranges.sort_by_key(|live| live.intent.first);
        }
    }

    /// Appends an intent and, by the rule, makes it and its frames durable.
    fn append_intent(&self, disk: &mut Disk, intent: Intent) {
        if !self.rules.intent_before_insert {
            return;
        }
        disk.log.push(Record::Intent(intent));
        if self.rules.sync_before_insert {
            disk.synced_to = disk.synced_to.max(intent.last);
            disk.synced_records = disk.log.len() as u8;
        }
    }

    /// The frames of a range, and those whose rows come out of decoding it.
    fn range_and_rows(&self, disk: &Disk, first: u8, last: u8) -> (Frames, Frames) {
        let frames = disk.range(first, last);
        (frames, decoded(self, frames, disk.range(0, u8::MAX)))
    }

    /// Decodes a range and sends it.
    pub fn send(&self, state: &mut State, first: u8) {
        let Some(receiver) = &mut state.receiver else { return };
        let Some(live) = receiver.ranges.iter_mut().find(|live| live.intent.first == first) else { return };
        let intent = live.intent;
        let (frames, rows) = self.range_and_rows(&state.disk, first, intent.last);
        let count = rows.count_ones() as u8 * (1 + state.version);
        receiver.decoded += count - live.decoded;
        live.decoded = count;
        live.stage = Stage::Sent;
        if rows == 0 {
            self.finish(state, first, 0);
            return;
        }
        if state.shards[usize::from(intent.shard)].away {
            Self::failed(state, first);
            return;
        }
        if !self.rules.done_after_acknowledgement && !state.disk.is_done(first) {
            let (last, released) = (intent.last, rows);
            state.disk.log.push(Record::Done { first, last, frames, released, rows: count });
            receiver.stored += count;
        }
        let by_frames = frames.count_ones() as u8;
        let rules = &self.rules;
        state.requests.push(Request {
            first,
            attached: true,
            answered: false,
            shard: intent.shard,
            token: Token {
                identity: if rules.token_names_identity { state.disk.identity } else { 0 },
                table: u8::from(
                    state.shards[usize::from(intent.shard)].renamed && !rules.token_names_declared_table,
                ),
                first: if rules.token_names_range { first } else { 0 },
                last: if rules.token_names_range { intent.last } else { 0 },
                crc: if rules.token_names_crc { intent.crc } else { 0 },
            },
            blocks: if rules.blocks_by_frames { by_frames } else { count },
            rows,
            version: state.version,
        });
        state.requests.sort();
    }

    /// Appends done; the range is resolved.
    pub fn finish(&self, state: &mut State, first: u8, rows: u8) {
        let Some(receiver) = &mut state.receiver else { return };
        let Some(at) = receiver.ranges.iter().position(|live| live.intent.first == first) else { return };
        let live = receiver.ranges.remove(at);
        receiver.decoded = receiver.decoded + rows - live.decoded;
        if !self.rules.done_after_acknowledgement && state.disk.is_done(first) {
            return;
        }
        receiver.stored += rows;
        let rows = if self.rules.ledger_in_log { rows } else { 0 };
        let last = live.intent.last;
        let (frames, released) = self.range_and_rows(&state.disk, first, last);
        state.disk.log.push(Record::Done { first, last, frames, released, rows });
    }

    /// The acknowledgement arrived.
    pub fn acknowledged(&self, state: &mut State, request: Request) {
        let Some(live) =
            state.receiver.iter().flat_map(|r| &r.ranges).find(|l| l.intent.first == request.first)
        else {
            return;
        };
        let (intent, earlier) = (live.intent, live.earlier);
        let mut rows = request.rows.count_ones() as u8 * (1 + request.version);
        if intent.version != request.version && self.rules.recount_after_old {
            rows = self.count_range(state, &intent, earlier);
        }
        self.finish(state, request.first, rows);
    }

    /// Counts the rows of an intent's frames.
    fn count_range(&self, state: &State, intent: &Intent, earlier: bool) -> u8 {
        let times = self.times(state, state.disk.range(intent.first, intent.last));
        let (from, to) = (times.iter().min().copied(), times.iter().max().copied());
        let mut rows = 0;
        for (index, shard) in (0u8..).zip(&state.shards) {
            if index != intent.shard && !(earlier && self.rules.count_asks_every_shard) {
                continue;
            }
            if self.rules.count_by_frame {
                rows += times.iter().map(|time| state.count(self, shard, *time, *time)).sum::<u8>();
            } else {
                rows += state.count(self, shard, from.unwrap_or(1), to.unwrap_or(0));
            }
        }
        rows
    }

    /// Arrival times of journal frames.
    fn times(&self, state: &State, frames: Frames) -> Vec<u8> {
        members(frames).map(|content| state.origins[usize::from(content)].received_at).collect()
    }

    /// Settles the lowest range of unknown fate: sends it again, or counts first.
    pub fn settle(&self, state: &mut State, first: u8) {
        let Some(receiver) = &mut state.receiver else { return };
        let Some(live) = receiver.ranges.iter_mut().find(|live| live.intent.first == first) else { return };
        if !self.rules.retry_keeps_range && live.intent.last > first {
            receiver.decoded -= live.decoded;
            live.decoded = 0;
            live.intent.last = first;
            live.intent.crc = state.disk.range(first, first);
            live.stage = Stage::Written;
            let intent = live.intent;
            self.append_intent(&mut state.disk, intent);
            return;
        }
        if !self.rules.retry_keeps_shard {
            live.intent.shard = (live.intent.shard + 1) % self.shards;
        }
        let (intent, earlier) = (live.intent, live.earlier);
        let server_changed = intent.server != state.server_version && self.rules.server_change_makes_old;
        let old = intent.old || server_changed || intent.version != state.version;
        let count = old && self.rules.count_old_intents || self.rules.count_young_intents;
        if !count {
            self.send(state, first);
            return;
        }
        self.count_and_settle(state, intent, earlier);
    }

    /// Asks the table for the frames of an intent.
    fn count_and_settle(&self, state: &mut State, intent: Intent, earlier: bool) {
        let rows = self.count_range(state, &intent, earlier);
        let Some(receiver) = &mut state.receiver else { return };
        let Some(at) = receiver.ranges.iter().position(|live| live.intent.first == intent.first) else {
            return;
        };
        if rows == 0 {
            receiver.ranges[at].stage = Stage::Absent;
            return;
        }
        if !self.rules.count_by_frame {
            self.finish(state, intent.first, rows);
            return;
        }
        let live = receiver.ranges.remove(at);
        receiver.decoded -= live.decoded;
        for number in intent.first..=intent.last {
            self.mark_stored(state, number);
        }
    }

    /// Marks a frame as done if the table holds it; else it is unnamed and will be cut anew.
    fn mark_stored(&self, state: &mut State, number: u8) {
        let (frames, released) = self.range_and_rows(&state.disk, number, number);
        let Some(time) = self.times(state, frames).first().copied() else { return };
        let rows: u8 = state.shards.iter().map(|shard| state.count(self, shard, time, time)).sum();
        if rows == 0 {
            return;
        }
        state.disk.log.push(Record::Done { first: number, last: number, frames, released, rows });
        if let Some(receiver) = &mut state.receiver {
            receiver.stored += rows;
            receiver.decoded += rows;
        }
    }

    /// Looks up frames that were there at start and that nothing names.
    pub fn resume_check(&self, state: &mut State) {
        let Some(receiver) = &mut state.receiver else { return };
        let known = std::mem::take(&mut receiver.to_check);
        let unnamed: Vec<u8> =
            self.unnamed(&state.disk, receiver).map(|f| f.number).filter(|number| *number <= known).collect();
        for number in unnamed {
            self.mark_stored(state, number);
        }
    }

    /// Writes a checkpoint and, in the same step, the log without the records it replaces.
    pub fn checkpoint(&self, state: &mut State) {
        let disk = &mut state.disk;
        let low_water = disk.low_water();
        let stored = state.receiver.as_ref().map_or(0, |receiver| receiver.stored);
        let mut checkpoint = disk.checkpoint;
        checkpoint.low_water = low_water;
        for record in &disk.log {
            match record {
                Record::Done { last, frames, released, rows, .. } if *last <= low_water => {
                    checkpoint.frames |= frames;
                    checkpoint.released |= released;
                    checkpoint.rows += rows;
                }
                _ => {}
            }
        }
        if !self.rules.ledger_in_log {
            checkpoint.rows = stored;
        }
        disk.checkpoint = checkpoint;
        disk.log.retain(|record| record.last() > low_water);
        disk.synced_records = disk.log.len() as u8;
    }

    /// Deletes what may be deleted.
    pub fn delete(&self, state: &mut State) {
        state.disk.deleted_to = self.deletable_to(&state.disk);
    }

    /// The receiver starts: checkpoint and log say what is unresolved.
    pub fn start(&self, state: &mut State) {
        let stored = state.disk.stored_rows();
        let mut ranges = Vec::new();
        for intent in state.disk.unresolved(self.rules.torn_intent_is_void) {
            ranges.push(Live { intent, stage: Stage::Unsettled, retried: true, earlier: true, decoded: 0 });
        }
        ranges.sort_by_key(|live| live.intent.first);
        let mut receiver = Receiver { to_check: 0, ranges, decoded: stored, stored };
        if self.rules.resume_check {
            let last = self.unnamed(&state.disk, &receiver).map(|frame| frame.number).max();
            receiver.to_check = last.unwrap_or(0);
        }
        state.receiver = Some(receiver);
    }

    /// Our request failed: its range has to be settled.
    pub fn failed(state: &mut State, first: u8) {
        let Some(receiver) = &mut state.receiver else { return };
        for live in &mut receiver.ranges {
            if live.intent.first == first {
                live.stage = Stage::Unsettled;
                live.retried = true;
            }
        }
    }
}

/// Ranges cut from this one on, itself included.
fn ranges_since(disk: &Disk, lowest: &Live) -> usize {
    let intents = disk.log.iter().filter(|record| matches!(record, Record::Intent(_)));
    intents.filter(|record| record.last() >= lowest.intent.last).count()
}
