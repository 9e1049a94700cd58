//! Decodes a range and streams it as one insert. Which frames, which rows, which token and how many
//! blocks are all decided before and by the frames alone, so that doing it again is the same insert.

use std::collections::BTreeSet;
use std::ops::Range as RowRange;

use bytes::Bytes;
use ipfix::Column;
use schema::Stream;
use schema::native::Encoder;

use super::buffers::Buffers;
use super::failure::Failure;
use super::target::{Insert, Target};
use super::{MAX_BLOCK_ROWS, Range};
use crate::decode::Decoder;
use crate::enrich::{Enricher, Knowledge, keep_translated};
use crate::intent_log::Done;
use crate::journal::{Journal, JournalReader};

/// Where decoding goes on, and what its rows are enriched by.
pub struct Place<'a> {
    /// Reads the next frame.
    pub reader: &'a mut JournalReader,
    /// The decoder before it.
    pub decoder: &'a mut Decoder,
    /// Settings and dictionaries.
    pub knowledge: &'a Knowledge,
}

/// A thread's buffers, reused from range to range.
pub struct Workshop {
    columns: Vec<Column>,
    enricher: Enricher,
    /// Only rows with an address after translation are stored.
    only_translated: bool,
    encoder: Encoder,
    stream: &'static Stream,
    table: String,
    buffers: Buffers,
    /// Journal bytes of a block.
    block_bytes: usize,
}

/// Where an insert goes.
#[derive(Clone, Copy)]
pub struct To<'a> {
    /// The server.
    pub target: &'a Target,
    /// What it knows the insert by.
    pub token: &'a str,
}

/// What is done with the rows of a range.
pub enum Purpose<'a> {
    /// They are inserted.
    Insert(To<'a>),
    /// Those are whose frames did not arrive at one of these times: the others are stored already.
    InsertRest(To<'a>, &'a BTreeSet<u64>),
    /// Only these of them are, by their position in the range.
    InsertRows(To<'a>, RowRange<u64>),
    /// They are encoded only, and returned: to be set aside.
    Encode(RowRange<u64>),
    /// Nothing: only the decoder's state is of interest.
    Discard,
}

/// What a range came to.
#[derive(Default)]
pub struct Decoded {
    /// Rows of its frames, without those that [`Purpose::InsertRest`] leaves out.
    pub rows: u64,
    /// Records that are left out on purpose, of all its frames.
    pub filtered: u64,
    /// `Native` blocks made of them.
    pub blocks: u64,
    /// Blocks made for [`Purpose::Encode`].
    pub encoded: Vec<u8>,
}

impl Decoded {
    /// The range is settled: its rows are stored.
    pub fn done(&self, range: Range) -> Done {
        Done { range, stored: self.rows, set_aside: 0, filtered: self.filtered }
    }
}

/// An insert whose body is sent or has failed.
pub enum Sent {
    /// There was nothing to send.
    Nothing,
    /// To be acknowledged.
    Open(Box<Insert>),
    /// It broke off.
    Failed(Failure),
}

impl Workshop {
    /// Buffers for a stream whose rows go to a table.
    pub fn new(stream: &'static Stream, table: &str, block_bytes: usize) -> Workshop {
        Workshop {
            columns: stream.new_columns(),
            enricher: Enricher::new(stream),
            only_translated: std::ptr::eq(stream, schema::nat_from_fullflow()),
            encoder: Encoder::new(stream),
            stream,
            table: table.to_string(),
            buffers: Buffers::default(),
            block_bytes,
        }
    }

    /// Decodes the frames of `range` from `place`, which is its first frame. Whatever the server does, the range is decoded to its end: who comes next needs the
    /// decoder there.
    pub async fn send(
        &mut self,
        journal: &Journal,
        place: Place<'_>,
        range: Range,
        purpose: &Purpose<'_>,
    ) -> std::io::Result<(Decoded, Sent)> {
        let Place { reader, decoder, knowledge } = place;
        let mut decoded = Decoded::default();
        let mut sent = Sent::Nothing;
        let mut holes = Vec::new();
        let mut block_bytes = 0;
        // An earlier range may have ended in an error.
        self.columns.iter_mut().for_each(Column::clear);
        let mut holes_before = 0;
        while let Some(next) = reader.read(range.last, &mut holes)? {
            if matches!(purpose, Purpose::InsertRest(..)) {
                decoded.filtered += self.leave_out();
            }
            let before = self.gathered();
            if holes.len() > holes_before {
                decoder.cross_hole(journal, next.position)?;
                holes_before = holes.len();
            }
            decoder.frame(&next, reader, journal, &mut self.columns)?;
            if let Purpose::InsertRest(_, stored) = purpose
                && stored.contains(&next.header.arrival_us)
            {
                decoded.filtered += self.leave_out();
                self.columns.iter_mut().for_each(|column| column.truncate(before));
            }
            block_bytes += next.header.length as usize;
            if block_bytes >= self.block_bytes || self.gathered() >= MAX_BLOCK_ROWS {
                self.block(knowledge, purpose, &mut decoded, &mut sent).await?;
                block_bytes = 0;
            }
        }
        self.block(knowledge, purpose, &mut decoded, &mut sent).await?;
        if holes.len() > holes_before {
            decoder.cross_hole(journal, reader.position())?;
        }
        let unique: BTreeSet<(u64, u64)> = holes.iter().map(|hole| (hole.first, hole.last)).collect();
        decoder.state.counters.lost_frames +=
            unique.iter().map(|(first, last)| (last + 1).saturating_sub(*first)).sum::<u64>();
        Ok((decoded, sent))
    }

    /// Leaves out what is not to be stored; returns how many records.
    fn leave_out(&mut self) -> u64 {
        if self.only_translated { keep_translated(&mut self.columns) } else { 0 }
    }

    /// Rows that are decoded and in no block yet.
    fn gathered(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    async fn block(
        &mut self,
        knowledge: &Knowledge,
        purpose: &Purpose<'_>,
        decoded: &mut Decoded,
        sent: &mut Sent,
    ) -> std::io::Result<()> {
        decoded.filtered += self.leave_out();
        let gathered = self.gathered() as u64;
        if gathered == 0 {
            return Ok(());
        }
        let here = decoded.rows..decoded.rows + gathered;
        decoded.rows = here.end;
        decoded.blocks += 1;
        let wanted = match purpose {
            Purpose::Insert(_) | Purpose::InsertRest(..) => 0..gathered,
            Purpose::InsertRows(_, rows) | Purpose::Encode(rows) => {
                let first = rows.start.clamp(here.start, here.end) - here.start;
                first..(rows.end.clamp(here.start, here.end) - here.start).max(first)
            }
            Purpose::Discard => 0..0,
        };
        let failed = matches!(sent, Sent::Failed(_));
        if !wanted.is_empty() && !failed {
            self.enricher.enrich(&mut self.columns, knowledge);
            let mut bytes = self.buffers.take();
            self.encoder
                .encode_rows(&self.columns, wanted.start as usize..wanted.end as usize, &mut bytes)
                .map_err(std::io::Error::other)?;
            match purpose {
                Purpose::Insert(to) | Purpose::InsertRest(to, _) | Purpose::InsertRows(to, _) => {
                    let block = self.buffers.lend(bytes);
                    self.transmit(*to, block, sent).await;
                }
                Purpose::Encode(_) | Purpose::Discard => {
                    decoded.encoded.extend_from_slice(&bytes);
                    self.buffers.give_back(bytes);
                }
            }
        }
        self.columns.iter_mut().for_each(Column::clear);
        Ok(())
    }

    async fn transmit(&self, To { target, token }: To<'_>, block: Bytes, sent: &mut Sent) {
        if matches!(sent, Sent::Nothing) {
            // Which table holds the rows on this server may have changed since the last insert.
            let sql = self.stream.insert_sql(&target.database, &target.physical(&self.table));
            *sent = Sent::Open(Box::new(target.begin(&sql, token)));
        }
        if let Sent::Open(insert) = sent
            && let Err(failure) = insert.send(block).await
        {
            *sent = Sent::Failed(failure);
        }
    }
}
