//! Reads frames in order of their numbers by `pread` into a reused buffer. Never goes beyond the
//! newest published frame; a damaged frame is stepped over and reported as a hole, never returned.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::frame::{ALIGNMENT, HEADER_LEN, Header, Kind};
use super::recover::read_payload;
use super::{Journal, SegmentFile, lock};

/// Where a frame begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// First frame of the segment.
    pub segment: u64,
    /// Byte offset in the segment.
    pub offset: u64,
    /// The frame's number.
    pub number: u64,
}

/// Frames that are not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// First missing number.
    pub first: u64,
    /// Last missing number.
    pub last: u64,
}

/// A frame's header and place.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// The header. After `peek` its CRC is not checked yet, after `read` it is.
    pub header: Header,
    /// Where the frame lies.
    pub position: Position,
}

/// A place in a journal that moves forward.
pub struct JournalReader {
    journal: Arc<Journal>,
    segment: Option<Arc<SegmentFile>>,
    offset: u64,
    number: u64,
    buffer: Vec<u8>,
}

impl Hole {
    /// How many frames it had.
    pub fn frames(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }
}

impl JournalReader {
    /// A reader that begins at `position`; a segment that is gone makes it begin at the oldest frame
    /// that is left.
    pub fn at(journal: Arc<Journal>, position: Position) -> JournalReader {
        let segments = lock(&journal.segments).clone();
        let segment = segments.iter().find(|segment| segment.first == position.segment).cloned();
        let offset = if segment.is_some() { position.offset } else { 0 };
        JournalReader { journal, segment, offset, number: position.number, buffer: Vec::new() }
    }

    /// The number of the frame that comes next.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where the next frame begins or will begin.
    pub fn position(&self) -> Position {
        let segment = self.segment.as_ref().map_or(0, |segment| segment.first);
        Position { segment, offset: self.offset, number: self.number }
    }

    /// Looks at the next frame without moving; `None` when all published frames were read. Holes on
    /// the way are added to `holes`.
    pub fn peek(&mut self, holes: &mut Vec<Hole>) -> std::io::Result<Option<Next>> {
        let published = self.journal.published().number;
        while self.number <= published {
            let Some(segment) = self.segment.clone() else {
                match self.following_segment(0) {
                    Some(first) => self.enter(first, holes),
                    None => return Ok(None),
                }
                continue;
            };
            // A segment ends where the next one begins, whatever a torn frame at its end says.
            let following = self.following_segment(segment.first);
            if let Some(next) = following.as_ref().filter(|next| next.first <= self.number) {
                self.enter(next.clone(), holes);
                continue;
            }
            if let Some(header) = read_header(&segment, self.offset, self.journal.id())? {
                if header.kind == Kind::Head {
                    self.offset += header.stored_len(ALIGNMENT);
                    continue;
                }
                if header.number == self.number {
                    return Ok(Some(Next { header, position: self.position() }));
                }
            }
            self.resynchronise(&segment, following, published, holes)?;
        }
        Ok(None)
    }

    /// Reads the next frame up to number `last` into the buffer and moves behind it;
    /// [`JournalReader::payload`] is its payload. A frame whose CRC is wrong becomes a hole.
    pub fn read(&mut self, last: u64, holes: &mut Vec<Hole>) -> std::io::Result<Option<Next>> {
        while self.number <= last {
            let Some(next) = self.peek(holes)?.filter(|next| next.header.number <= last) else { break };
            let Some(segment) = self.segment.clone() else { break };
            let sound = read_payload(&segment, self.offset, &next.header, &mut self.buffer)?;
            self.number += 1;
            if sound {
                self.offset += next.header.stored_len(ALIGNMENT);
                return Ok(Some(next));
            }
            // A damaged length is not believed: look for the following frame from here on.
            self.offset += ALIGNMENT as u64;
            holes.push(Hole { first: next.header.number, last: next.header.number });
        }
        Ok(None)
    }

    /// Moves behind the frame that `peek` has shown, without reading it.
    pub fn skip(&mut self, next: &Next) {
        self.offset += next.header.stored_len(ALIGNMENT);
        self.number = next.header.number + 1;
    }

    /// Another reader at the same place, to look ahead.
    pub fn scout(&self) -> JournalReader {
        JournalReader {
            journal: self.journal.clone(),
            segment: self.segment.clone(),
            offset: self.offset,
            number: self.number,
            buffer: Vec::new(),
        }
    }

    /// The payload of the frame that was read last.
    pub fn payload(&self) -> &[u8] {
        &self.buffer
    }

    fn following_segment(&self, first: u64) -> Option<Arc<SegmentFile>> {
        let segments = lock(&self.journal.segments);
        if self.segment.is_none() {
            // Begin in the newest segment that can hold the wanted frame, else in the oldest.
            let holding = segments.iter().rev().find(|segment| segment.first <= self.number);
            return holding.or(segments.first()).cloned();
        }
        segments.iter().find(|segment| segment.first > first).cloned()
    }

    fn enter(&mut self, segment: Arc<SegmentFile>, holes: &mut Vec<Hole>) {
        if segment.first > self.number {
            holes.push(Hole { first: self.number, last: segment.first - 1 });
            self.number = segment.first;
        }
        self.segment = Some(segment);
        self.offset = 0;
    }

    /// Steps over damage: to the next frame of this segment that is newer than the wanted one, else
    /// to the next segment, else behind the newest frame.
    fn resynchronise(
        &mut self,
        segment: &Arc<SegmentFile>,
        next: Option<Arc<SegmentFile>>,
        published: u64,
        holes: &mut Vec<Hole>,
    ) -> std::io::Result<()> {
        let limit = next.as_ref().map_or(published, |next| next.first - 1);
        let mut offset = self.offset + ALIGNMENT as u64;
        while offset + HEADER_LEN as u64 <= self.journal.segment_bytes {
            if let Some(header) = read_header(segment, offset, self.journal.id())?
                && header.kind != Kind::Head
                && header.number >= self.number
                && header.number <= limit
                && read_payload(segment, offset, &header, &mut self.buffer)?
            {
                if header.number > self.number {
                    holes.push(Hole { first: self.number, last: header.number - 1 });
                }
                self.number = header.number;
                self.offset = offset;
                return Ok(());
            }
            offset += ALIGNMENT as u64;
        }
        match next {
            Some(next) => self.enter(next, holes),
            None => {
                holes.push(Hole { first: self.number, last: published });
                self.number = published + 1;
            }
        }
        Ok(())
    }
}

impl Journal {
    /// Reads bytes of a segment; false if they are gone.
    pub fn read_bytes(
        &self,
        segment: u64,
        offset: u64,
        length: usize,
        into: &mut Vec<u8>,
    ) -> std::io::Result<bool> {
        let Some(segment) = self.segment(segment) else { return Ok(false) };
        into.resize(length, 0);
        match segment.file.read_exact_at(into, offset) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn segment(&self, first: u64) -> Option<Arc<SegmentFile>> {
        lock(&self.segments).iter().find(|segment| segment.first == first).cloned()
    }
}

/// The header at an offset; `None` if no frame of this journal begins there.
pub(super) fn read_header(
    segment: &SegmentFile,
    offset: u64,
    journal: u32,
) -> std::io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_LEN];
    match segment.file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(Header::parse(&bytes).ok().filter(|header| header.journal == journal)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
