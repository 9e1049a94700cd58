//! What a worker does for a shard that struggles, or that has not answered yet: settles one of its ranges, asks it.
//! Never holds the baton meanwhile, so that the other shards go on.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::Failure;
use super::lanes::{Duty, Unsettled};
use super::pipeline::Pipeline;
use super::send::Workshop;
use crate::journal::lock;

impl Pipeline {
    /// Does for some shard what is due; whether there was anything.
    pub(super) async fn tend(&self, workshop: &mut Workshop) -> bool {
        let question = *lock(&self.question);
        let Some((number, duty)) = self.lanes.take_due(&self.shards, question) else { return false };
        match duty {
            Duty::Settle(range) => self.try_again(*range, workshop).await,
            Duty::Greet => match self.greet(number).await {
                Ok(()) => self.lanes.done(number),
                Err(failure) => self.is_silent(number, &failure),
            },
            Duty::FindStored(interval) => match self.find_stored(number, interval).await {
                Ok(stored) => self.lanes.found(number, stored),
                Err(failure) => self.is_silent(number, &failure),
            },
        }
        true
    }

    async fn greet(&self, number: u32) -> Result<(), Failure> {
        self.shards.target(number)?.greet().await
    }

    /// Arrivals of frames of an interval whose rows one shard has.
    async fn find_stored(&self, number: u32, (first, last): (u64, u64)) -> Result<BTreeSet<u64>, Failure> {
        let target = self.shards.target(number)?;
        let stored = target.stored_rows(&self.options.table, self.journal.id(), first, last).await?;
        Ok(stored.into_keys().collect())
    }

    fn is_silent(&self, number: u32, failure: &Failure) {
        self.report(&self.shards.tell(number, failure));
        self.lanes.silent(number);
    }

    /// A range that was sent has failed: from now on it is settled.
    pub(super) fn struggle(&self, mut range: Unsettled, failure: &Failure) {
        let at_once = self.take_in(&mut range, failure);
        self.lanes.struggle(range, at_once);
    }

    async fn try_again(&self, mut range: Unsettled, workshop: &mut Workshop) {
        if !std::mem::replace(&mut range.is_tried, true) {
            let (first, last) = (range.intent.range.first, range.intent.range.last);
            tracing::info!(stream = %self.options.label, shard = range.bound.shard, first, last, "settling a range of an earlier life");
        } else {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        match self.settle(&range, workshop).await {
            Ok(done) => {
                let number = range.bound.shard;
                if let Ok(target) = self.shards.target(number) {
                    target.has_taken(done.stored);
                }
                self.note_done(done, range.bound);
                self.lanes.done(number);
            }
            Err(failure) => {
                let at_once = self.take_in(&mut range, &failure);
                self.lanes.not_settled(range, at_once);
            }
        }
    }

    /// Tells of a failure; whether the next attempt is another one, because the range is halved from now on.
    fn take_in(&self, range: &mut Unsettled, failure: &Failure) -> bool {
        let number = range.bound.shard;
        self.report(&self.shards.tell(number, failure));
        if let Ok(target) = self.shards.target(number) {
            target.has_failed(failure);
        }
        let content = matches!(failure, Failure::Content(_));
        if !content || range.intent.halving {
            return false;
        }
        match lock(&self.book).halving(range.intent.range.first) {
            Ok(()) => {
                range.intent.halving = true;
                true
            }
            Err(error) => {
                self.report(&error.into());
                false
            }
        }
    }
}
