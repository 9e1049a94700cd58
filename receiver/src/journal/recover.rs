//! The end of a journal after an earlier life, and the sessions in force at some frame. Must never
//! take a frame for gone because one before it is damaged: what is sound is found.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::frame::{ALIGNMENT, HEADER_LEN, Header, Kind};
use super::reader::read_header;
use super::{Journal, SegmentFile, lock};
use crate::sessions::{HeadNote, SessionTable};

/// What was found when the journal was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest frame of the earlier life; 0 if there is none.
    pub last_number: u64,
    /// Its arrival, microseconds.
    pub last_arrival_us: u64,
    /// Messages in all frames since the journal began; 0 if nothing says.
    pub messages: u64,
}

impl Journal {
    /// The sessions in force before the frame `number`, and the end of what was followed to know them.
    pub fn sessions_before(&self, number: u64) -> io::Result<(SessionTable, Recovered)> {
        let mut segments = lock(&self.segments).clone();
        let behind = segments.partition_point(|segment| segment.first <= number);
        segments.truncate(behind.max(1));
        let mut sessions = SessionTable::new(self.segment_bytes);
        let mut found = Recovered::default();
        let Some(last) = segments.last() else { return Ok((sessions, found)) };
        found.last_number = last.first.saturating_sub(1);
        // The head of a segment says everything, unless we died while it was written.
        let mut from = segments.len() - 1;
        while from > 0 && !segments.get(from).map_or(Ok(true), |segment| self.has_head(segment))? {
            from -= 1;
        }
        for (index, segment) in segments.iter().enumerate().skip(from) {
            let limit = segments.get(index + 1).map_or(number, |next| next.first.min(number));
            found.last_number = segment.first.saturating_sub(1);
            walk(segment, self.id(), |header, payload| {
                if header.kind == Kind::Head {
                    if let Some(note) = sessions.restore(payload) {
                        found.messages = note.messages_before;
                    }
                } else if header.number < limit {
                    sessions.follow(header, payload);
                    found.last_number = header.number;
                    found.messages += u64::from(header.messages);
                } else {
                    return false;
                }
                found.last_arrival_us = found.last_arrival_us.max(header.arrival_us);
                true
            })?;
        }
        Ok((sessions, found))
    }

    /// Whether the head of a segment is there to its end.
    fn has_head(&self, segment: &SegmentFile) -> io::Result<bool> {
        let mut scratch = SessionTable::new(self.segment_bytes);
        let mut note: Option<HeadNote> = None;
        walk(segment, self.id(), |header, payload| {
            if header.kind != Kind::Head {
                return false;
            }
            note = scratch.restore(payload);
            note.is_some_and(|note| note.following > 0)
        })?;
        Ok(note.is_some_and(|note| note.following == 0))
    }

    /// The newest segment, if there is not one numbered frame in it: its life ended before the first.
    pub(super) fn empty_segment(&self, found: &Recovered) -> Option<Arc<SegmentFile>> {
        let segments = lock(&self.segments);
        segments.last().filter(|segment| segment.first > found.last_number).cloned()
    }
}

/// Shows the sound frames of a segment, the head first, then those with increasing numbers, while
/// `show` says to go on. Steps over damage; frames of the segment's life before it was recycled have
/// smaller numbers and are passed over.
pub(super) fn walk(
    segment: &SegmentFile,
    journal: u32,
    mut show: impl FnMut(&Header, &[u8]) -> bool,
) -> io::Result<()> {
    let end = segment.file.metadata()?.len();
    let mut buffer = Vec::new();
    let mut expected = segment.first;
    let mut in_head = true;
    let mut offset = 0;
    while offset + HEADER_LEN as u64 <= end {
        let header = read_header(segment, offset, journal)?.filter(|header| match header.kind {
            Kind::Head => in_head && header.number == segment.first,
            _ => header.number >= expected,
        });
        let Some(header) = header else {
            offset += ALIGNMENT as u64;
            continue;
        };
        if !read_payload(segment, offset, &header, &mut buffer)? {
            offset += ALIGNMENT as u64;
            continue;
        }
        if !show(&header, &buffer) {
            return Ok(());
        }
        if header.kind != Kind::Head {
            in_head = false;
            expected = header.number + 1;
        }
        offset += header.stored_len(ALIGNMENT);
    }
    Ok(())
}

/// Shows the numbered frames of a segment to its end, for a look from outside.
pub fn frames_of_segment(
    segment: &SegmentFile,
    journal: u32,
    mut show: impl FnMut(&Header, &[u8]),
) -> io::Result<()> {
    walk(segment, journal, |header, payload| {
        if header.kind != Kind::Head {
            show(header, payload);
        }
        true
    })
}

/// Reads the payload of the frame at an offset; false if it is not what its header's CRC says.
pub(super) fn read_payload(
    segment: &SegmentFile,
    offset: u64,
    header: &Header,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    buffer.resize(header.length as usize, 0);
    match segment.file.read_exact_at(buffer, offset + HEADER_LEN as u64) {
        Ok(()) => Ok(header.check(buffer).is_ok()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
