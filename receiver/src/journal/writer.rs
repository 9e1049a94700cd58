//! Appends frames. Owned by the one listener of the stream. Must never overwrite what it has not
//! been told to forget, and never continue a segment of an earlier life, whose end may be torn.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crds::Transport;
use nix::sys::uio::pwritev;

use super::frame::{ALIGNMENT, HEADER_LEN, Header, Kind};
use super::reader::read_frame_at;
use super::segment::SegmentFile;
use super::{Fsync, Journal, Published, lock};
use crate::sessions::{Peer, SessionTable};

/// How long to wait before a refused write is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// What was found when the journal was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The newest frame of the earlier life; 0 if there is none.
    pub last_number: u64,
    /// Its arrival, microseconds.
    pub last_arrival_us: u64,
}

/// The writing end of a journal.
pub struct JournalWriter {
    journal: Arc<Journal>,
    /// The sessions in force and their templates, repeated at the head of each segment.
    pub sessions: SessionTable,
    segment: Option<Arc<SegmentFile>>,
    offset: u64,
    next_number: u64,
    last_arrival_us: u64,
    stop: Arc<AtomicBool>,
}

impl JournalWriter {
    /// Finds the end of the journal and the sessions in force there. `floor` is the newest frame
    /// that the intent log knows: after a power cut the log may know more than the segments hold,
    /// and its numbers must not be given twice. `stop` ends the retries of a write that fails.
    pub fn recover(
        journal: Arc<Journal>,
        floor: Recovered,
        stop: Arc<AtomicBool>,
    ) -> io::Result<(Self, Recovered)> {
        let mut sessions = SessionTable::new(journal.options.segment_bytes);
        let segments = lock(&journal.segments).clone();
        let mut found = Recovered { last_number: 0, last_arrival_us: 0 };
        if let Some(last) = segments.last() {
            found.last_number = last.first.saturating_sub(1);
            follow_segment(&journal, last, &mut sessions, &mut found)?;
        }
        let end = Recovered {
            last_number: found.last_number.max(floor.last_number),
            last_arrival_us: found.last_arrival_us.max(floor.last_arrival_us),
        };
        *lock(&journal.published) =
            Published { number: end.last_number, arrival_us: end.last_arrival_us, bytes: 0 };
        let mut writer = JournalWriter {
            journal,
            sessions,
            segment: None,
            offset: 0,
            next_number: end.last_number + 1,
            last_arrival_us: end.last_arrival_us,
            stop,
        };
        writer.close_broken_sessions();
        Ok((writer, found))
    }

    /// Opens a session and returns its number; `None` while the journal has no room.
    pub fn open_session(&mut self, peer: &Peer) -> Option<u64> {
        let payload = serde_json::to_vec(peer).ok()?;
        if !self.has_room(payload.len()) {
            return None;
        }
        let arrival = self.next_arrival();
        let id = self.append(Kind::SessionOpened, 0, 0, arrival, &[&payload]);
        self.sessions.open(id, peer.clone(), arrival);
        Some(id)
    }

    /// Closes a session; while the journal has no room it stays open for the decoder, which does no
    /// harm: its number is never given again.
    pub fn close_session(&mut self, id: u64) {
        if self.sessions.close(id).is_some() && self.has_room(0) {
            let arrival = self.next_arrival();
            self.append(Kind::SessionClosed, id, 0, arrival, &[]);
        }
    }

    /// TCP sessions do not survive us; UDP sessions and their templates do.
    fn close_broken_sessions(&mut self) {
        let broken: Vec<u64> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.peer.transport == Transport::Tcp)
            .map(|(id, _)| id)
            .collect();
        for id in broken {
            self.close_session(id);
        }
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The arrival time of the next frame: now, but later than the frame before.
    pub fn next_arrival(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        now.max(self.last_arrival_us + 1)
    }

    /// The number that the next frame will have.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Whether a frame with this much payload can be taken now; begins a new segment if needed.
    /// False while the quota is used up or the disk refuses a new segment.
    pub fn has_room(&mut self, payload: usize) -> bool {
        let needed = super::frame::padded(HEADER_LEN + payload, ALIGNMENT) as u64;
        if self.segment.is_some() && self.offset + needed <= self.journal.options.segment_bytes {
            return true;
        }
        match self.begin_segment() {
            Ok(begun) => begun,
            Err(error) => {
                self.fail("no new journal segment can be made", &error);
                false
            }
        }
    }

    /// Appends a frame and returns its number. [`JournalWriter::has_room`] must have said yes. A
    /// write that fails is tried again until it succeeds or the process stops; readers see the frame
    /// only then.
    pub fn append(
        &mut self,
        kind: Kind,
        session: u64,
        messages: u32,
        arrival_us: u64,
        payload: &[&[u8]],
    ) -> u64 {
        let number = self.next_number;
        let mut header = Header {
            crc: 0,
            length: 0,
            kind,
            journal: self.journal.id(),
            number,
            arrival_us,
            session,
            messages,
        };
        let written = self.write_until_done(&mut header, payload);
        self.next_number += 1;
        self.last_arrival_us = arrival_us;
        let mut published = lock(&self.journal.published);
        *published = Published { number, arrival_us, bytes: published.bytes + written };
        drop(published);
        self.journal.grown.notify_all();
        number
    }

    fn write_until_done(&mut self, header: &mut Header, payload: &[&[u8]]) -> u64 {
        let sealed = header.seal(payload);
        loop {
            match self.write(&sealed, payload) {
                Ok(written) => {
                    self.journal.failing.store(false, Ordering::Relaxed);
                    return written;
                }
                Err(error) => self.fail("the journal cannot be written", &error),
            }
            if self.stop.load(Ordering::Relaxed) {
                return 0;
            }
            std::thread::sleep(RETRY_AFTER);
        }
    }

    fn write(&mut self, sealed: &[u8; HEADER_LEN], payload: &[&[u8]]) -> io::Result<u64> {
        const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];
        let segment = self.segment.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let length = HEADER_LEN + payload.iter().map(|part| part.len()).sum::<usize>();
        let stored = super::frame::padded(length, ALIGNMENT);
        let padding = ZEROS.get(..stored - length).unwrap_or_default();
        let mut parts: Vec<&[u8]> = Vec::with_capacity(payload.len() + 2);
        parts.push(sealed);
        parts.extend_from_slice(payload);
        parts.push(padding);
        write_all_at(segment, &parts, self.offset)?;
        match self.journal.options.fsync {
            Fsync::Always => segment.file.sync_data()?,
            Fsync::Interval(_) => {
                let mut waiting = lock(&self.journal.needs_sync);
                if !waiting.iter().any(|other| other.first == segment.first) {
                    waiting.push(segment.clone());
                }
            }
            Fsync::Never => {}
        }
        self.offset += stored as u64;
        Ok(stored as u64)
    }

    fn begin_segment(&mut self) -> io::Result<bool> {
        let options = self.journal.options;
        let spare = lock(&self.journal.spares).pop();
        let full = spare.is_none() && !self.journal.quota.take(options.segment_bytes);
        self.journal.full.store(full, Ordering::Relaxed);
        if full {
            return Ok(false);
        }
        let fresh = spare.is_none();
        let created = SegmentFile::create(&self.journal.dir, self.next_number, options.segment_bytes, spare);
        if created.is_err() && fresh {
            self.journal.quota.give_back(options.segment_bytes);
        }
        let segment = created?;
        self.segment = Some(segment.clone());
        self.offset = 0;
        self.write_heads()?;
        let mut segments = lock(&self.journal.segments);
        // A life that ended before its first frame left a segment of the same name.
        segments.retain(|other| other.first != segment.first);
        segments.push(segment);
        drop(segments);
        self.journal.failing.store(false, Ordering::Relaxed);
        Ok(true)
    }

    fn write_heads(&mut self) -> io::Result<()> {
        let heads: Vec<(u64, Vec<u8>)> =
            self.sessions.iter().map(|(id, session)| (id, SessionTable::head(session))).collect();
        for (session, payload) in heads {
            let mut header = Header {
                crc: 0,
                length: 0,
                kind: Kind::Head,
                journal: self.journal.id(),
                number: self.next_number,
                arrival_us: self.last_arrival_us,
                session,
                messages: 0,
            };
            let sealed = header.seal(&[&payload]);
            self.write(&sealed, &[&payload])?;
        }
        Ok(())
    }

    fn fail(&self, what: &'static str, error: &io::Error) {
        if !self.journal.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(journal = %self.journal.dir.display(), %error, "{what}: nothing is accepted until it can; check the disk's space and health");
        }
    }
}

/// `pwritev` until everything is written, also after short writes.
fn write_all_at(segment: &SegmentFile, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
    let mut parts: Vec<&[u8]> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    while !parts.is_empty() {
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let position = i64::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut written = match pwritev(segment.file.as_fd(), &slices, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        offset += written as u64;
        parts.retain_mut(|part| {
            let taken = written.min(part.len());
            written -= taken;
            *part = part.get(taken..).unwrap_or_default();
            !part.is_empty()
        });
    }
    Ok(())
}

/// Follows the frames of one segment to its end: for recovery.
fn follow_segment(
    journal: &Journal,
    segment: &SegmentFile,
    sessions: &mut SessionTable,
    found: &mut Recovered,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut offset = 0;
    while let Some(header) = read_frame_at(segment, offset, journal.id(), &mut buffer)? {
        let expected = if header.kind == Kind::Head { segment.first } else { found.last_number + 1 };
        if header.number != expected {
            break;
        }
        sessions.follow(&header, &buffer);
        if header.kind != Kind::Head {
            found.last_number = header.number;
        }
        found.last_arrival_us = found.last_arrival_us.max(header.arrival_us);
        offset += header.stored_len(ALIGNMENT);
    }
    Ok(())
}
