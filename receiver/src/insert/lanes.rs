//! What the workers of a pipeline have to do with each shard: which ranges struggle there, how many workers are at
//! it, when it is tried again. One worker at a time settles or asks for a shard, in the order of its ranges. Must
//! never drop a range, and never let the workers all wait for the same shard while there is another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::pipeline::Before;
use super::shards::{Bound, Shards};
use super::target::Target;
use crate::intent_log::Intent;
use crate::journal::lock;

/// Pauses between attempts grow from the first to so many times the first.
pub(super) const LAST_PAUSE: u32 = 50;
/// A shard that does not answer is asked again after so many times the first.
const ASK_PAUSE: u32 = 5;

/// A noted range that is not known to be stored.
pub(super) struct Unsettled {
    pub(super) intent: Intent,
    pub(super) before: Before,
    /// The shard it is bound to.
    pub(super) bound: Bound,
    /// An earlier life has noted it; this directory may be a copy, whose original went on.
    pub(super) is_earlier: bool,
    /// This life has sent it.
    pub(super) is_tried: bool,
}

/// What a worker is to do for a shard.
pub(super) enum Duty {
    /// Settle this range.
    Settle(Box<Unsettled>),
    /// Say which of the frames that arrived in this interval are stored.
    FindStored((u64, u64)),
    /// Ask whether it answers.
    Greet,
}

/// One shard.
#[derive(Default)]
struct Lane {
    /// In order of frames.
    waiting: VecDeque<Unsettled>,
    /// One worker settles or asks.
    is_tended: bool,
    /// The range that is being settled is not among the waiting.
    is_settling: bool,
    /// Workers that wait for this server, or soon will.
    workers: usize,
    not_before: Option<Instant>,
    pause: Duration,
    /// Arrivals of frames that are stored there, as asked at the start.
    stored: Option<BTreeSet<u64>>,
}

impl Lane {
    fn struggles(&self) -> bool {
        self.is_settling || !self.waiting.is_empty()
    }

    fn put(&mut self, range: Unsettled) {
        let first = range.intent.range.first;
        let place = self.waiting.partition_point(|waiting| waiting.intent.range.first < first);
        self.waiting.insert(place, range);
    }

    fn wait(&mut self, first_pause: Duration) {
        let pause = self.pause.max(first_pause);
        self.not_before = Some(Instant::now() + pause);
        self.pause = (pause * 2).min(first_pause * LAST_PAUSE);
    }

    fn go_on(&mut self) {
        (self.not_before, self.pause) = (None, Duration::ZERO);
    }
}

/// All shards of one pipeline.
pub(super) struct Lanes {
    lanes: Mutex<BTreeMap<u32, Lane>>,
    first_pause: Duration,
    /// Workers that the pipeline has with one shard.
    inserters: usize,
}

impl Lanes {
    /// Nothing struggles.
    pub(super) fn new(first_pause: Duration, inserters: usize) -> Lanes {
        Lanes { lanes: Mutex::default(), first_pause, inserters: inserters.max(1) }
    }

    /// Workers that the pipeline should have with so many shards.
    pub(super) fn workers(&self, shards: u32) -> usize {
        self.inserters + (shards as usize).saturating_sub(1)
    }

    /// How many of them may wait for one shard: so many that one is left if all shards but one are silent.
    fn most_at_one(&self, shards: u32) -> usize {
        match (shards as usize).saturating_sub(1) {
            0 => usize::MAX,
            others => ((self.workers(shards) - 1) / others).min(self.inserters),
        }
    }

    /// Whether a new range may go to a shard.
    pub(super) fn takes_new(&self, shards: u32, number: u32, target: &Target) -> bool {
        let lanes = lock(&self.lanes);
        let is_free = |lane: &Lane| !lane.struggles() && lane.workers < self.most_at_one(shards);
        target.is_known() && lanes.get(&number).is_none_or(is_free)
    }

    /// A new range is on its way to a shard.
    pub(super) fn begin(&self, number: u32) {
        lock(&self.lanes).entry(number).or_default().workers += 1;
    }

    /// What began has ended well, or comes to nothing.
    pub(super) fn end(&self, number: u32) {
        let mut lanes = lock(&self.lanes);
        let lane = lanes.entry(number).or_default();
        lane.workers = lane.workers.saturating_sub(1);
    }

    /// What began has ended badly: it is settled later, or `at_once`.
    pub(super) fn struggle(&self, range: Unsettled, at_once: bool) {
        let mut lanes = lock(&self.lanes);
        let lane = lanes.entry(range.bound.shard).or_default();
        lane.workers = lane.workers.saturating_sub(1);
        if !lane.struggles() && !at_once {
            lane.wait(self.first_pause);
        }
        lane.put(range);
    }

    /// A range of an earlier life is to be settled.
    pub(super) fn put(&self, range: Unsettled) {
        lock(&self.lanes).entry(range.bound.shard).or_default().put(range);
    }

    /// The next duty that is due. `question` is what every shard has to answer before new ranges begin. Whoever
    /// takes a duty says how it ended.
    pub(super) fn take_due(&self, shards: &Shards, question: Option<(u64, u64)>) -> Option<(u32, Duty)> {
        let count = shards.count();
        // Asked before the lanes are locked: who binds a range asks the other way round.
        let servers = shards.all();
        let mut lanes = lock(&self.lanes);
        for number in 0..count {
            lanes.entry(number).or_default();
        }
        let now = Instant::now();
        let most = self.most_at_one(count);
        for (number, lane) in lanes.iter_mut() {
            let is_later = lane.not_before.is_some_and(|not_before| now < not_before);
            if lane.is_tended || is_later || lane.workers >= most {
                continue;
            }
            let server = servers.get(*number as usize);
            let is_silent = server.is_some_and(|(target, is_open)| *is_open && !target.is_known());
            let duty = match (lane.waiting.pop_front(), question, server) {
                (Some(range), _, _) => Duty::Settle(Box::new(range)),
                (None, Some(interval), Some(_)) if lane.stored.is_none() => Duty::FindStored(interval),
                _ if is_silent => Duty::Greet,
                _ => continue,
            };
            lane.is_settling = matches!(duty, Duty::Settle(_));
            lane.is_tended = true;
            lane.workers += 1;
            return Some((*number, duty));
        }
        None
    }

    /// A duty is done.
    pub(super) fn done(&self, number: u32) {
        self.tended(number, Lane::go_on);
    }

    /// A range could not be settled: it is tried again, after a pause or `at_once`.
    pub(super) fn not_settled(&self, range: Unsettled, at_once: bool) {
        self.tended(range.bound.shard, |lane| {
            if at_once {
                lane.go_on()
            } else {
                lane.wait(self.first_pause)
            }
            lane.put(range);
        });
    }

    /// A shard did not answer.
    pub(super) fn silent(&self, number: u32) {
        let pause = self.first_pause * ASK_PAUSE;
        self.tended(number, |lane| lane.not_before = Some(Instant::now() + pause));
    }

    /// A shard has said which frames are stored there.
    pub(super) fn found(&self, number: u32, stored: BTreeSet<u64>) {
        self.tended(number, |lane| {
            lane.go_on();
            lane.stored = Some(stored);
        });
    }

    fn tended(&self, number: u32, change: impl FnOnce(&mut Lane)) {
        let mut lanes = lock(&self.lanes);
        let lane = lanes.entry(number).or_default();
        lane.workers = lane.workers.saturating_sub(1);
        (lane.is_tended, lane.is_settling) = (false, false);
        change(lane);
    }

    /// The answers of all shards together, once all have answered.
    pub(super) fn all_stored(&self, shards: u32) -> Option<BTreeSet<u64>> {
        let mut lanes = lock(&self.lanes);
        let has_answered = |number| lanes.get(&number).is_some_and(|lane: &Lane| lane.stored.is_some());
        if !(0..shards).all(has_answered) {
            return None;
        }
        Some(lanes.values_mut().filter_map(|lane| lane.stored.take()).flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_shards_leave_a_worker_to_the_one_that_answers() {
        for inserters in 1..=8 {
            let lanes = Lanes::new(Duration::ZERO, inserters);
            assert_eq!((lanes.workers(1), lanes.most_at_one(1)), (inserters, usize::MAX));
            for shards in 2..=20 {
                let most = lanes.most_at_one(shards);
                assert!(most >= 1 && most <= inserters);
                assert!((shards as usize - 1) * most < lanes.workers(shards), "{inserters} {shards}");
            }
        }
    }
}
