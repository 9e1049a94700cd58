//! Appends frames. Owned by the one listener of the stream. Must never overwrite what it has not
//! been told to forget, and never continue a segment of an earlier life, whose end may be torn.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crds::Transport;
use nix::sys::uio::pwritev;

use super::frame::{ALIGNMENT, HEADER_LEN, Header, Kind, padded};
use super::recover::Recovered;
use super::segment::SegmentFile;
use super::{Fsync, Journal, Published, lock};
use crate::sessions::{Peer, SessionTable};

/// How long to wait before a refused write is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// The writing end of a journal.
pub struct JournalWriter {
    journal: Arc<Journal>,
    /// The sessions in force and their templates, repeated at the head of each segment.
    pub sessions: SessionTable,
    segment: Option<Open>,
    next_number: u64,
    last_arrival_us: u64,
    /// Messages in all frames since the journal began.
    messages: u64,
    /// Sessions that have ended while there was no room to say so.
    ended: BTreeSet<u64>,
    stop: Arc<AtomicBool>,
}

/// The segment that is being written, and where its next frame goes.
struct Open {
    file: Arc<SegmentFile>,
    offset: u64,
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
        let (sessions, found) = journal.sessions_before(u64::MAX)?;
        if let Some(empty) = journal.empty_segment(&found) {
            journal.recycle(&empty)?;
            lock(&journal.segments).pop();
        }
        let last_number = found.last_number.max(floor.last_number);
        let last_arrival_us = found.last_arrival_us.max(floor.last_arrival_us);
        *lock(&journal.published) = Published { number: last_number, arrival_us: last_arrival_us, bytes: 0 };
        let mut writer = JournalWriter {
            journal,
            sessions,
            segment: None,
            next_number: last_number + 1,
            last_arrival_us,
            messages: found.messages,
            ended: BTreeSet::new(),
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
        let id = self.append(Kind::SessionOpened, 0, 0, arrival, &[&payload])?;
        self.sessions.open(id, peer.clone(), arrival);
        Some(id)
    }

    /// Closes a session, as soon as the journal has room to say so: until then it stays in force for
    /// whoever reads the journal, and so in our table too.
    pub fn close_session(&mut self, id: u64) {
        self.ended.insert(id);
        self.close_ended_sessions();
    }

    /// Says of sessions that have ended without room to say so that they have.
    pub fn close_ended_sessions(&mut self) {
        while let Some(id) = self.ended.first().copied() {
            if self.sessions.get(id).is_some() {
                if !self.has_room(0) {
                    return;
                }
                let arrival = self.next_arrival();
                if self.append(Kind::SessionClosed, id, 0, arrival, &[]).is_none() {
                    return;
                }
                self.sessions.close(id);
            }
            self.ended.pop_first();
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
        let needed = padded(HEADER_LEN + payload, ALIGNMENT) as u64;
        if self.fits(needed) {
            return true;
        }
        match self.begin_segment() {
            Ok(begun) => begun && self.fits(needed),
            Err(error) => {
                self.fail("no new journal segment can be made", &error);
                false
            }
        }
    }

    fn fits(&self, needed: u64) -> bool {
        let limit = self.journal.segment_bytes;
        self.segment.as_ref().is_some_and(|open| open.offset + needed <= limit)
    }

    /// Appends a frame and returns its number. [`JournalWriter::has_room`] must have said yes. A
    /// write that fails is tried again until it succeeds; readers see the frame only then. `None` if
    /// the process stops before.
    pub fn append(
        &mut self,
        kind: Kind,
        session: u64,
        messages: u32,
        arrival_us: u64,
        payload: &[&[u8]],
    ) -> Option<u64> {
        let number = self.next_number;
        let journal = self.journal.id();
        let mut header = Header { crc: 0, length: 0, kind, journal, number, arrival_us, session, messages };
        let written = self.write_until_done(&mut header, payload)?;
        self.next_number += 1;
        self.last_arrival_us = arrival_us;
        self.messages += u64::from(messages);
        let mut published = lock(&self.journal.published);
        *published = Published { number, arrival_us, bytes: published.bytes + written };
        drop(published);
        self.journal.grown.notify_all();
        Some(number)
    }

    fn write_until_done(&mut self, header: &mut Header, payload: &[&[u8]]) -> Option<u64> {
        let sealed = header.seal(payload);
        loop {
            let open = self.segment.as_mut()?;
            match write(&self.journal, open, &sealed, payload) {
                Ok(written) => {
                    self.journal.failing.store(false, Ordering::Relaxed);
                    return Some(written);
                }
                Err(error) => self.fail("the journal cannot be written", &error),
            }
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            std::thread::sleep(RETRY_AFTER);
        }
    }

    fn begin_segment(&mut self) -> io::Result<bool> {
        let journal = self.journal.clone();
        let size = journal.segment_bytes;
        let spare = lock(&journal.spares).pop();
        let full = spare.is_none() && !journal.quota.take(size);
        journal.full.store(full, Ordering::Relaxed);
        if full {
            return Ok(false);
        }
        let created = SegmentFile::create(&journal.dir, self.next_number, size, spare.as_deref());
        let begun = created.and_then(|file| {
            let mut open = Open { file, offset: 0 };
            self.write_heads(&mut open)?;
            Ok(open)
        });
        let open = match begun {
            Ok(open) => open,
            Err(error) => {
                journal.give_up_segment(self.next_number, spare);
                return Err(error);
            }
        };
        lock(&journal.segments).push(open.file.clone());
        self.segment = Some(open);
        journal.failing.store(false, Ordering::Relaxed);
        Ok(true)
    }

    fn write_heads(&self, open: &mut Open) -> io::Result<()> {
        for payload in self.sessions.heads(self.messages) {
            let mut header = Header {
                crc: 0,
                length: 0,
                kind: Kind::Head,
                journal: self.journal.id(),
                number: self.next_number,
                arrival_us: self.last_arrival_us,
                session: 0,
                messages: 0,
            };
            let sealed = header.seal(&[&payload]);
            write(&self.journal, open, &sealed, &[&payload])?;
        }
        Ok(())
    }

    fn fail(&self, what: &'static str, error: &io::Error) {
        if !self.journal.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(journal = %self.journal.dir.display(), %error, "{what}: nothing is accepted until it can; check the disk's space and health");
        }
    }
}

fn write(
    journal: &Journal,
    open: &mut Open,
    sealed: &[u8; HEADER_LEN],
    payload: &[&[u8]],
) -> io::Result<u64> {
    const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];
    let length = HEADER_LEN + payload.iter().map(|part| part.len()).sum::<usize>();
    let stored = padded(length, ALIGNMENT);
    let padding = ZEROS.get(..stored - length).unwrap_or_default();
    let mut parts: Vec<&[u8]> = Vec::with_capacity(payload.len() + 2);
    parts.push(sealed);
    parts.extend_from_slice(payload);
    parts.push(padding);
    write_all_at(&open.file, &parts, open.offset)?;
    match journal.options().fsync {
        Fsync::Always => open.file.file.sync_data()?,
        Fsync::Interval(_) => {
            let mut waiting = lock(&journal.needs_sync);
            if !waiting.iter().any(|other| other.first == open.file.first) {
                waiting.push(open.file.clone());
            }
        }
        Fsync::Never => {}
    }
    open.offset += stored as u64;
    Ok(stored as u64)
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
