//! Content that the server refuses: the range is halved until only the guilty rows are left, and
//! those are set aside in files that can be sent again. Everything else of the range is stored.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range as RowRange;

use serde::{Deserialize, Serialize};

use super::Failure;
use super::pipeline::{Before, Pipeline};
use super::send::{Decoded, Place, Purpose, Sent, To, Workshop};
use super::target::Target;
use crate::intent_log::{Done, Intent, Piece, PieceFate};
use crate::journal::frame::{Header, Kind};
use crate::journal::lock;

/// Pieces set aside one row at a time; beyond, guilty halves are set aside whole.
const MAX_SINGLE_ROWS: u64 = 256;

/// What a set-aside file says about the rows that follow it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Where they were to go.
    pub table: String,
    /// The statement that inserts them.
    pub sql: String,
    /// The token under which they were refused; a retry uses it again.
    pub token: String,
    /// How many.
    pub rows: u64,
    /// What the server said.
    pub error: String,
}

impl Pipeline {
    /// Stores what can be stored of a range whose content was refused.
    pub(super) async fn halve(
        &self,
        target: &Target,
        intent: &Intent,
        before: &Before,
        workshop: &mut Workshop,
    ) -> Result<Done, Failure> {
        let Decoded { rows, filtered, .. } = self.piece(intent, before, workshop, &Purpose::Discard).await?.0;
        let mut done = Done { range: intent.range, stored: 0, set_aside: 0, filtered };
        let noted: HashMap<(u64, u64), PieceFate> = lock(&self.book)
            .pieces(intent.range.first)
            .iter()
            .map(|piece| ((piece.start, piece.end), piece.fate))
            .collect();
        let mut open: Vec<RowRange<u64>> = Vec::new();
        open.push(0..rows);
        let mut singles = 0;
        while let Some(piece) = open.pop() {
            let fate = match noted.get(&(piece.start, piece.end)) {
                Some(fate) => *fate,
                None => self.try_piece(target, intent, before, workshop, &piece, singles).await?,
            };
            let length = piece.end - piece.start;
            match fate {
                PieceFate::Stored => done.stored += length,
                PieceFate::SetAside => {
                    singles += 1;
                    done.set_aside += length;
                }
                PieceFate::Refused => {
                    let middle = piece.start + length / 2;
                    // The first half is tried first: pieces go in order of their rows.
                    open.push(middle..piece.end);
                    open.push(piece.start..middle);
                }
            }
        }
        Ok(done)
    }

    /// Sends a piece of which nothing is known yet and notes what becomes of it.
    async fn try_piece(
        &self,
        target: &Target,
        intent: &Intent,
        before: &Before,
        workshop: &mut Workshop,
        piece: &RowRange<u64>,
        singles: u64,
    ) -> Result<PieceFate, Failure> {
        let token = format!("{}/rows {}-{}", self.token(intent), piece.start, piece.end);
        let purpose = Purpose::InsertRows(To { target, token: &token }, piece.clone());
        let fate = match self.piece(intent, before, workshop, &purpose).await?.1 {
            Ok(()) => PieceFate::Stored,
            Err(Failure::Content(_)) if piece.end - piece.start > 1 && singles < MAX_SINGLE_ROWS => {
                PieceFate::Refused
            }
            Err(Failure::Content(error)) => {
                self.set_aside(intent, before, workshop, piece.clone(), token, error).await?;
                PieceFate::SetAside
            }
            Err(wait) => return Err(wait),
        };
        let noted = Piece { first: intent.range.first, start: piece.start, end: piece.end, fate };
        lock(&self.book).piece(noted)?;
        Ok(fate)
    }

    /// Decodes the range again from its first frame and does with it what is asked; returns what it came
    /// to, and whether the server has taken what was sent.
    pub(super) async fn piece(
        &self,
        intent: &Intent,
        before: &Before,
        workshop: &mut Workshop,
        purpose: &Purpose<'_>,
    ) -> io::Result<(Decoded, Result<(), Failure>)> {
        let (mut reader, mut decoder) = (before.reader.scout(), before.decoder.clone());
        let place = Place { reader: &mut reader, decoder: &mut decoder, knowledge: &before.knowledge };
        let (decoded, sent) = workshop.send(&self.journal, place, intent.range, purpose).await?;
        let acknowledged = match sent {
            Sent::Nothing => Ok(()),
            Sent::Open(insert) => insert.end().await,
            Sent::Failed(failure) => Err(failure),
        };
        Ok((decoded, acknowledged))
    }

    async fn set_aside(
        &self,
        intent: &Intent,
        before: &Before,
        workshop: &mut Workshop,
        rows: RowRange<u64>,
        token: String,
        error: String,
    ) -> io::Result<()> {
        let (mut reader, mut decoder) = (before.reader.scout(), before.decoder.clone());
        let place = Place { reader: &mut reader, decoder: &mut decoder, knowledge: &before.knowledge };
        let purpose = Purpose::Encode(rows.clone());
        let (decoded, _) = workshop.send(&self.journal, place, intent.range, &purpose).await?;
        let note = SetAside {
            table: intent.table.clone(),
            sql: self.options.stream.insert_sql(&self.shards.database, &intent.table),
            token,
            rows: rows.end - rows.start,
            error,
        };
        tracing::error!(stream = %self.options.label, rows = note.rows, error = note.error, "rows are set aside: see `qoe journal ls`, repair the cause, then `qoe journal retry`");
        let beside = self.options.set_aside_in.as_deref().unwrap_or(self.journal.dir());
        let directory = beside.join("set-aside");
        fs::create_dir_all(&directory)?;
        // The name says what it is, so a range that is halved again after a crash writes it again.
        let name = format!("{:020}-{}-{}", intent.range.first, rows.start, rows.end);
        write_set_aside(&directory.join(name), self.journal.id(), &note, &decoded.encoded)
    }
}

fn write_set_aside(path: &std::path::Path, journal: u32, note: &SetAside, blocks: &[u8]) -> io::Result<()> {
    let json = serde_json::to_vec(note)?;
    let length = u32::try_from(json.len()).unwrap_or(0).to_le_bytes();
    let payload: [&[u8]; 3] = [&length, &json, blocks];
    let mut header = Header {
        crc: 0,
        length: 0,
        kind: Kind::SetAside,
        journal,
        number: 0,
        arrival_us: 0,
        session: 0,
        messages: 0,
    };
    let sealed = header.seal(&payload);
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(&sealed)?;
    for part in payload {
        file.write_all(part)?;
    }
    file.sync_all()?;
    fs::rename(&fresh, path)
}

/// Reads a set-aside file: what it says and the blocks.
pub fn read_set_aside(bytes: &[u8]) -> Option<(SetAside, &[u8])> {
    let header = Header::parse(bytes).ok().filter(|header| header.kind == Kind::SetAside)?;
    let payload = bytes.get(crate::journal::frame::HEADER_LEN..)?.get(..header.length as usize)?;
    header.check(payload).ok()?;
    let (length, rest) = payload.split_first_chunk::<4>()?;
    let (json, blocks) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((serde_json::from_slice(json).ok()?, blocks))
}
