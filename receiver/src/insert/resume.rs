//! Where a pipeline goes on after a start: at the checkpoint, with the ranges that the intent log knows
//! above it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::{After, Book, Committed, Pipeline, PipelineOptions, Shards};
use crate::decode::{Decoder, DecoderState, Origin};
use crate::intent_log::{Checkpoint, IntentLog, LedgerMark, Recovered};
use crate::journal::{Journal, JournalReader, Position};

impl Pipeline {
    /// A pipeline that goes on where the log says; `newest_frame` is the last that earlier lives have
    /// left in the journal.
    pub fn resume(
        options: PipelineOptions,
        journal: &Arc<Journal>,
        shards: Shards,
        (log, recovered): (IntentLog, Recovered),
        newest_frame: u64,
    ) -> io::Result<Pipeline> {
        let origin = Origin { dpi: options.dpi, domains: options.domains.clone(), journal: journal.id() };
        let (committed, mark) = standing(journal, recovered.checkpoint);
        let position = committed.after.position;
        let state = committed.after.state.as_ref().clone();
        let decoder = Decoder::restore(journal, options.stream, origin, state, position)?;
        let reader = JournalReader::at(journal.clone(), position);
        let book = Book::new(log, committed, mark, recovered.ledger_row);
        let noted: VecDeque<_> = recovered.ranges.into_values().collect();
        if newest_frame > 0 {
            tracing::info!(stream = %options.label, newest_frame, open_ranges = noted.len(), "the journal was found");
        }
        let place = (reader, decoder);
        Ok(Pipeline::new(options, journal.clone(), shards, book, place, noted, newest_frame))
    }
}

/// Where the checkpoint stands, or the beginning of the journal.
fn standing(journal: &Journal, checkpoint: Option<Checkpoint>) -> (Committed, LedgerMark) {
    if let Some(checkpoint) = checkpoint {
        let after = After::at(checkpoint.decoder, checkpoint.position, checkpoint.low_water_arrival_us);
        let committed = Committed { low_water: checkpoint.low_water, after, totals: checkpoint.totals };
        return (committed, checkpoint.ledger);
    }
    let first = journal.segment_starts().first().copied().unwrap_or(1);
    let position = Position { segment: first, offset: 0, number: first };
    let after = After::at(DecoderState::default(), position, 0);
    let low_water = first.saturating_sub(1);
    (Committed { low_water, after, totals: Default::default() }, LedgerMark::default())
}
