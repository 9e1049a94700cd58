//! Settles ranges that were noted and are not known to be stored: after a start, and when an answer
//! was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::Failure;
use super::book::After;
use super::lanes::Unsettled;
use super::pipeline::{Baton, Before, Noted, Pipeline, now_us};
use super::range::Survey;
use super::send::{Place, Purpose, To, Workshop};
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
    pub(super) async fn settle(&self, range: &Unsettled, workshop: &mut Workshop) -> Result<Done, Failure> {
        let Unsettled { intent, before, .. } = range;
        let target = &self.shards.target(intent.shard)?;
        target.greet().await?;
        if intent.halving {
            return self.halve(target, intent, before, workshop).await;
        }
        let survey = Survey::of(&before.reader, intent.range)?;
        let intact = survey.crc == intent.crc;
        // Written in the future: the clock was set back, and nobody knows how old it is.
        let age = now_us().checked_sub(intent.written_us);
        let old = age.is_none_or(|age| age > TRUST_TOKEN_US)
            || intent.version != self.version
            || intent.server_version != target.version();
        let token = self.token(intent);
        if !old && intact {
            let (decoded, acknowledged) =
                self.piece(intent, before, workshop, &Purpose::Insert(To { target, token: &token })).await?;
            return acknowledged.map(|()| decoded.done(intent.range));
        }
        let stored: BTreeSet<u64> = self.stored_of(range, &survey).await?.into_keys().collect();
        let rest = format!("{token}/rest-{:08x}", survey.crc_without(&stored));
        let purpose = if intact && stored.is_empty() {
            Purpose::Insert(To { target, token: &token })
        } else {
            Purpose::InsertRest(To { target, token: &rest }, &stored)
        };
        let (decoded, acknowledged) = self.piece(intent, before, workshop, &purpose).await?;
        acknowledged?;
        // Another version of ours may have made other rows of the same frames, and they may be the ones
        // that the server has kept.
        let rows = self.stored_of(range, &survey).await?.into_values().sum();
        Ok(Done { range: intent.range, stored: rows, set_aside: 0, filtered: decoded.filtered })
    }

    /// How many rows of these frames are in the table, by the frames' arrival times. Rows of another
    /// life of a restored journal may lie between them, so a span of time would tell nothing. An intent of an
    /// earlier life is asked for on every shard: this directory may be a copy, whose original lost the intent
    /// and has bound the frames to another one.
    async fn stored_of(&self, range: &Unsettled, survey: &Survey) -> Result<BTreeMap<u64, u64>, Failure> {
        let arrivals: BTreeSet<u64> = survey.frames.iter().map(|(arrival, _)| *arrival).collect();
        let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else {
            return Ok(BTreeMap::new());
        };
        let own = range.intent.shard;
        let mut found: BTreeMap<u64, u64> = BTreeMap::new();
        for number in (0..self.shards.count()).filter(|number| *number == own || range.is_earlier) {
            let target = self.shards.target(number)?;
            let rows = target.stored_rows(&self.options.table, self.journal.id(), *first, *last).await;
            let rows = rows.map_err(|failure| match number == own {
                true => failure,
                false => Failure::Wait(format!("shard {number} has to say what it holds: {failure}")),
            })?;
            for (arrival, rows) in rows.into_iter().filter(|(arrival, _)| arrivals.contains(arrival)) {
                // A frame's rows are on one shard; two that tell of them tell of the same.
                let most = found.entry(arrival).or_default();
                *most = rows.max(*most);
            }
        }
        Ok(found)
    }

    /// Brings everything into the present that earlier lives have left: ranges that are done are
    /// decoded for the decoder's state only, ranges that are noted are to be settled at their shards, and of
    /// the frames behind them it is asked which are stored already. Only then may new ranges begin.
    pub(super) async fn take_over_earlier_life(
        &self,
        baton: &mut Baton,
        knowledge: &Arc<Knowledge>,
        workshop: &mut Workshop,
    ) -> io::Result<()> {
        while let Some(noted) = baton.noted.front() {
            if self.given_up() {
                return Ok(());
            }
            let intent = noted.intent.clone();
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
            let passing = workshop.send(&self.journal, place, intent.range, &Purpose::Discard);
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
            let Some(Noted { done, bound, .. }) = baton.noted.pop_front() else { break };
            match (done, bound) {
                (Some(done), _) => lock(&self.book).settled(done),
                (None, Some(bound)) if !intent.already_stored && decoded.rows > 0 => {
                    // However young: this directory may be a copy, whose original has settled it since.
                    let intent = Intent { written_us: 0, ..intent };
                    self.lanes.put(Unsettled { intent, before, bound, is_earlier: true, is_tried: false });
                }
                (None, _) => self.note_in_book(decoded.done(intent.range)),
            }
        }
        self.know_stored_frames(baton)
    }

    /// Frames that no intent speaks of may be stored all the same: the journal may be a restored
    /// copy, or a power cut may have taken the intents. Their arrival times tell, and every shard is asked.
    fn know_stored_frames(&self, baton: &mut Baton) -> io::Result<()> {
        let Some(newest) = baton.to_resume else { return Ok(()) };
        let asked = *lock(&self.question);
        if asked.is_none() {
            let question = self.unnoted(baton, newest)?;
            *lock(&self.question) = question;
            if question.is_none() {
                baton.to_resume = None;
            }
            return Ok(());
        }
        let Some(stored) = self.lanes.all_stored(self.shards.count()) else { return Ok(()) };
        if !stored.is_empty() {
            tracing::warn!(stream = %self.options.label, frames = stored.len(), "frames of this journal are stored already although it does not know: it was restored from a copy, lost its newest notes, or is read for this table again; they are not sent again");
        }
        baton.already_stored = stored;
        baton.to_resume = None;
        *lock(&self.question) = None;
        Ok(())
    }

    /// When the frames arrived, from first to last, that no intent speaks of and that were there at the start.
    fn unnoted(&self, baton: &Baton, newest: u64) -> io::Result<Option<(u64, u64)>> {
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
        Ok(interval)
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
