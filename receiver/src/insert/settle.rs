//! Settles ranges that were noted and are not known to be stored: after a start, and when an answer
//! was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::Failure;
use super::book::After;
use super::pipeline::{Baton, Before, Pipeline, now_us};
use super::range::Survey;
use super::send::{Place, Purpose, Workshop};
use crate::enrich::Knowledge;
use crate::intent_log::{Done, Intent};
use crate::journal::lock;

/// The server remembers tokens only so long; an older intent is settled by counting first.
const TRUST_TOKEN_US: u64 = 10 * 60 * 1_000_000;

impl Pipeline {
    /// Settles one range: by its token while the server surely remembers it. An older intent, and one
    /// whose frames are not all there any more, is settled by asking for its frames one by one: if
    /// none is stored it is sent with its token all the same, because the first attempt may still be
    /// running; else the rest is sent.
    pub(super) async fn settle(
        &self,
        intent: &Intent,
        before: &Before,
        workshop: &mut Workshop,
    ) -> Result<Done, Failure> {
        let server_version = self.target.version().await?;
        *lock(&self.server_version) = server_version.clone();
        if intent.halving {
            return self.halve(intent, before, workshop).await;
        }
        let survey = Survey::of(&before.reader, intent.range)?;
        let intact = survey.crc == intent.crc;
        // Written in the future: the clock was set back, and nobody knows how old it is.
        let age = now_us().checked_sub(intent.written_us);
        let old = age.is_none_or(|age| age > TRUST_TOKEN_US)
            || intent.version != self.version
            || intent.server_version != server_version;
        let token = self.token(intent);
        if !old && intact {
            let (decoded, acknowledged) =
                self.piece(intent, before, workshop, &Purpose::Insert(&token)).await?;
            return acknowledged.map(|()| decoded.done(intent.range));
        }
        let stored: BTreeSet<u64> = self.stored_of(&survey).await?.into_keys().collect();
        let rest = format!("{token}/rest-{:08x}", survey.crc_without(&stored));
        let purpose = if intact && stored.is_empty() {
            Purpose::Insert(&token)
        } else {
            Purpose::InsertRest(&rest, &stored)
        };
        let (decoded, acknowledged) = self.piece(intent, before, workshop, &purpose).await?;
        acknowledged?;
        // Another version of ours may have made other rows of the same frames, and they may be the ones
        // that the server has kept.
        let rows = self.stored_of(&survey).await?.into_values().sum();
        Ok(Done { range: intent.range, stored: rows, set_aside: 0, filtered: decoded.filtered })
    }

    /// How many rows of these frames are in the table, by the frames' arrival times. Rows of another
    /// life of a restored journal may lie between them, so a span of time would tell nothing.
    async fn stored_of(&self, survey: &Survey) -> Result<BTreeMap<u64, u64>, Failure> {
        let arrivals: BTreeSet<u64> = survey.frames.iter().map(|(arrival, _)| *arrival).collect();
        let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else {
            return Ok(BTreeMap::new());
        };
        let journal = self.journal.id();
        let mut found = self.target.stored_rows(&self.options.table, journal, *first, *last).await?;
        found.retain(|arrival, _| arrivals.contains(arrival));
        Ok(found)
    }

    /// Whether the server has said its version; if it does not, that is told, after a pause.
    pub(super) async fn is_greeted(&self) -> bool {
        if !lock(&self.server_version).is_empty() {
            return true;
        }
        match self.target.version().await {
            Ok(version) => {
                *lock(&self.server_version) = version;
                true
            }
            Err(failure) => {
                self.report(&failure);
                self.pause(self.options.first_pause * 5).await;
                false
            }
        }
    }

    /// Brings everything into the present that earlier lives have left: ranges that are done are
    /// decoded for the decoder's state only, ranges that are noted are settled in order, and of the
    /// frames behind them it is asked which are stored already. Only then may new ranges begin.
    pub(super) async fn settle_earlier_life(
        &self,
        baton: &mut Baton,
        knowledge: &Arc<Knowledge>,
        workshop: &mut Workshop,
    ) -> io::Result<()> {
        if !self.is_greeted().await {
            return Ok(());
        }
        while let Some((intent, done)) = baton.noted.front().cloned() {
            if self.given_up() {
                return Ok(());
            }
            let before = Before {
                reader: baton.reader.scout(),
                decoder: baton.decoder.clone(),
                knowledge: knowledge.clone(),
            };
            let place = Place {
                reader: &mut baton.reader,
                decoder: &mut baton.decoder,
                knowledge: &before.knowledge,
            };
            let passing = workshop.send(&self.target, &self.journal, place, intent.range, &Purpose::Discard);
            let decoded = match passing.await {
                Ok((decoded, _)) => decoded,
                Err(error) => {
                    // Begun again from its first frame.
                    (baton.reader, baton.decoder) = (before.reader, before.decoder);
                    return Err(error);
                }
            };
            lock(&self.book).resume(intent.clone());
            self.passed(&intent, &baton.reader, &baton.decoder);
            baton.noted.pop_front();
            match done {
                Some(done) => lock(&self.book).settled(done),
                None if intent.already_stored || decoded.rows == 0 => {
                    self.note_done(decoded.done(intent.range));
                }
                None => {
                    tracing::info!(stream = %self.options.label, first = intent.range.first, last = intent.range.last, "settling a range of an earlier life");
                    // However young: this directory may be a copy, whose original has settled it since.
                    let intent = Intent { written_us: 0, ..intent };
                    match self.settle(&intent, &before, workshop).await {
                        Ok(done) => self.note_done(done),
                        Err(failure) => self.retry(intent, before, failure, workshop).await,
                    }
                }
            }
        }
        self.find_stored_frames(baton).await
    }

    /// Frames that no intent speaks of may be stored all the same: the journal may be a restored
    /// copy, or a power cut may have taken the intents. Their arrival times tell.
    async fn find_stored_frames(&self, baton: &mut Baton) -> io::Result<()> {
        let Some(newest) = baton.to_resume else { return Ok(()) };
        let mut scout = baton.reader.scout();
        let mut interval: Option<(u64, u64)> = None;
        while let Some(next) = scout.peek(&mut Vec::new())? {
            if next.header.number > newest {
                break;
            }
            let arrival = next.header.arrival_us;
            interval = Some(interval.map_or((arrival, arrival), |(first, _)| (first, arrival)));
            scout.skip(&next);
        }
        if let Some((first, last)) = interval {
            let journal = self.journal.id();
            match self.target.stored_rows(&self.options.table, journal, first, last).await {
                Ok(stored) => {
                    baton.already_stored = stored.into_keys().collect();
                    if !baton.already_stored.is_empty() {
                        tracing::warn!(stream = %self.options.label, frames = baton.already_stored.len(), "frames of this journal are stored already although it does not know: it was restored from a copy, lost its newest notes, or is read for this table again; they are not sent again");
                    }
                }
                Err(failure) => {
                    self.report(&failure);
                    self.pause(self.options.first_pause * 5).await;
                    return Ok(());
                }
            }
        }
        baton.to_resume = None;
        Ok(())
    }
}

impl After {
    /// The beginning of a journal, or where a checkpoint stands.
    pub fn at(
        state: crate::decode::DecoderState,
        position: crate::journal::Position,
        arrival_us: u64,
    ) -> After {
        After { state: std::sync::Arc::new(state), position, arrival_us }
    }
}
