//! Which server a flush goes to, and sending it there until it is acknowledged. Must never send any other bytes than
//! those in the outbox, nor to any other shard than the flush names.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::outbox::OutboxInsert;
use super::reader::{Aggregator, FIRST_PAUSE, LAST_PAUSE, Work};
use crate::insert::{Bound, Failure, Target};

/// A shard that does not answer within this gets no flush: it would hold up all that follow.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A flush is sent in pieces of this size.
const PIECE: usize = 1 << 20;

impl Aggregator {
    /// The shard that gets the next flush: the next in turn among those that answer now. With one shard it is that
    /// one, whether it answers or not.
    pub(super) fn next_shard(&self, runtime: &tokio::runtime::Handle) -> Option<Bound> {
        let count = self.shards.count();
        let mut silent = BTreeSet::new();
        for _ in 0..count {
            let (target, bound) = self.shards.bind_next(&self.turn, |shard, _| !silent.contains(&shard))?;
            if count == 1 {
                return Some(bound);
            }
            let greeting = async { tokio::time::timeout(ANSWER_WITHIN, target.greet()).await };
            match runtime.block_on(greeting) {
                Ok(Ok(())) => return Some(bound),
                Ok(Err(failure)) => self.report(&self.shards.tell(bound.shard, &failure)),
                Err(_) => target.doubt(),
            }
            silent.insert(bound.shard);
        }
        None
    }

    /// Sends the pending flush until every insert of it is acknowledged, or the process stops.
    pub(super) fn send(&self, work: &mut Work, runtime: &tokio::runtime::Handle) -> io::Result<()> {
        let Some((flush, _)) = &work.pending else { return Ok(()) };
        let shard = flush.shard;
        for insert in &flush.inserts {
            let bytes = Bytes::from(work.outbox.bytes(insert)?);
            let settled =
                self.until_acknowledged(shard, || runtime.block_on(self.insert(shard, insert, &bytes)));
            if !settled {
                return Ok(());
            }
        }
        let (row, token) = (&flush.ledger_row, &flush.ledger_token);
        // To the same shard: another one that is away must not hold this flush up.
        let is_told = || {
            let target = self.shards.target(shard)?;
            runtime.block_on(target.insert_ledger_row(row, token))
        };
        if !self.until_acknowledged(shard, is_told) {
            return Ok(());
        }
        if flush.after.journal == self.journal.id() {
            work.outbox.acknowledged(flush)?;
            work.standing = flush.after.clone();
        } else {
            work.outbox.remove_flush()?;
        }
        work.pending = None;
        self.show(work);
        Ok(())
    }

    /// Whether it was acknowledged before the process stops.
    fn until_acknowledged(&self, shard: u32, mut attempt: impl FnMut() -> Result<(), Failure>) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            match attempt() {
                Ok(()) => return true,
                Err(failure) => self.report(&self.shards.tell(shard, &failure)),
            }
            self.pause(pause);
            pause = (pause * 2).min(LAST_PAUSE);
            if self.given_up() {
                return false;
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn insert(&self, shard: u32, insert: &OutboxInsert, bytes: &Bytes) -> Result<(), Failure> {
        let target = self.shards.target(shard)?;
        target.greet_if_unknown().await?;
        let sent = self.send_bytes(&target, insert, bytes).await;
        sent.inspect(|()| target.has_taken(0)).inspect_err(|failure| target.has_failed(failure))
    }

    /// The outbox names the table as it was declared; its rows may lie in another one on this server.
    async fn send_bytes(&self, target: &Target, insert: &OutboxInsert, bytes: &Bytes) -> Result<(), Failure> {
        let mut request = target.begin(&target.physical_sql(&insert.sql), &insert.token);
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            request.send(rest.split_to(PIECE.min(rest.len()))).await?;
        }
        request.end().await
    }
}
