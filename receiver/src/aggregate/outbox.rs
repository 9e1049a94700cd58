//! What is about to be inserted, on the disk: a flush with the bytes of all its inserts, and where the reader stands
//! after it. One file, complete or not there: so a flush and its position cannot disagree, and what is sent again
//! after a kill are the same bytes. Must never change a flush, or forget one that is not acknowledged.
//!
//! Layout: the inserts' bytes one behind the other, what they are as JSON, its length (8 bytes), its CRC32C (4), the
//! format's name (4).

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest};
use schema::LedgerRow;
use serde::{Deserialize, Serialize};

use super::gather::Filtered;
use crate::decode::DecoderState;
use crate::intent_log::Totals;
use crate::journal::Position;
use crate::journal::frame::crc32c;
use crate::ledger;

const FORMAT: [u8; 4] = *b"QOX1";
const TAIL: usize = 16;

/// Where a reader stands, and what it has accounted for up to there.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Standing {
    /// The journal's identity, its first four bytes.
    pub(super) journal: u32,
    /// The last frame that is gathered.
    pub(super) last: u64,
    /// Arrival of that frame, microseconds.
    pub(super) arrival_us: u64,
    /// Where the next frame begins.
    pub(super) position: Position,
    /// The decoder after that frame, its counters included.
    pub(super) decoder: DecoderState,
    /// Records that are in the tables.
    pub(super) stored: u64,
    /// Records left out by rule.
    pub(super) filtered: Filtered,
    /// Records that say they happened more than a day before or after they arrived.
    pub(super) clock_skew: u64,
}

impl Standing {
    /// All figures up to here, as the ledger has them.
    pub(super) fn balance(&self) -> LedgerRow {
        let totals = Totals { stored: self.stored, set_aside: 0, filtered: self.filtered.total() };
        ledger::balance(self.arrival_us, self.decoder.counters.decoded, &totals)
    }
}

/// One insert of a flush.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutboxInsert {
    pub(super) sql: String,
    pub(super) token: String,
    pub(super) rows: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) crc: u32,
}

/// A flush.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Flush {
    /// Where the reader stands once it is acknowledged.
    pub(super) after: Standing,
    pub(super) inserts: Vec<OutboxInsert>,
    /// The ledger's row about it, and its token.
    pub(super) ledger_row: LedgerRow,
    pub(super) ledger_token: String,
    /// The shard that all of it goes to. A flush of version 0.4 has none: there was one server.
    #[serde(default, skip_serializing_if = "is_first")]
    pub(super) shard: u32,
}

fn is_first(shard: &u32) -> bool {
    *shard == 0
}

/// The directory of one reader.
pub(super) struct Outbox {
    dir: PathBuf,
}

/// A flush that is being written.
pub(super) struct Writing {
    file: BufWriter<File>,
    path: PathBuf,
    length: u64,
    inserts: Vec<OutboxInsert>,
    /// Of the last insert.
    digest: Digest,
}

impl Writing {
    /// Appends a block to the insert of this token, which is a new one if the last has another.
    pub(super) fn block(&mut self, sql: &str, token: String, rows: u64, bytes: &[u8]) -> io::Result<()> {
        if self.inserts.last().is_none_or(|last| last.token != token) {
            let (sql, offset) = (sql.to_owned(), self.length);
            self.inserts.push(OutboxInsert { sql, token, rows: 0, offset, length: 0, crc: 0 });
            self.digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        }
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
        if let Some(insert) = self.inserts.last_mut() {
            insert.rows += rows;
            insert.length += bytes.len() as u64;
            insert.crc = self.digest.clone().finalize() as u32;
        }
        Ok(())
    }
}

impl Outbox {
    /// Opens or makes the directory; says where its reader stood, and what it was about to send.
    pub(super) fn open(dir: &Path) -> io::Result<(Outbox, Option<Standing>, Option<Flush>)> {
        fs::create_dir_all(dir)?;
        // A power cut must not take the directory and leave what was sent from it.
        if let Some(parent) = dir.parent() {
            File::open(parent)?.sync_all()?;
        }
        let outbox = Outbox { dir: dir.to_path_buf() };
        let standing = match fs::read(outbox.standing_path()) {
            Ok(bytes) => {
                Some(serde_json::from_slice::<Standing>(&bytes).map_err(|error| outbox.strange(&error))?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let flush = outbox.read_flush()?;
        // A flush that is acknowledged and was to be removed when we were killed.
        let flush = flush.filter(|flush| {
            standing.as_ref().is_none_or(|standing| {
                standing.journal != flush.after.journal || standing.last < flush.after.last
            })
        });
        Ok((outbox, standing, flush))
    }

    /// Begins a flush.
    pub(super) fn begin(&self) -> io::Result<Writing> {
        let path = self.dir.join("flush.new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        let file = BufWriter::with_capacity(1 << 20, file);
        let digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        Ok(Writing { file, path, length: 0, inserts: Vec::new(), digest })
    }

    /// Completes a flush: from here on it is going to be sent, whatever happens to us.
    pub(super) fn complete(
        &self,
        writing: Writing,
        after: Standing,
        (ledger_row, ledger_token): (LedgerRow, String),
        shard: u32,
    ) -> io::Result<Flush> {
        let Writing { mut file, path, inserts, .. } = writing;
        let flush = Flush { after, inserts, ledger_row, ledger_token, shard };
        let text = serde_json::to_vec(&flush)?;
        file.write_all(&text)?;
        file.write_all(&(text.len() as u64).to_le_bytes())?;
        file.write_all(&crc32c(&text).to_le_bytes())?;
        file.write_all(&FORMAT)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(path, self.flush_path())?;
        self.sync_directory()?;
        Ok(flush)
    }

    /// The bytes of an insert.
    pub(super) fn bytes(&self, insert: &OutboxInsert) -> io::Result<Vec<u8>> {
        let file = File::open(self.flush_path())?;
        let mut bytes = vec![0; insert.length as usize];
        file.read_exact_at(&mut bytes, insert.offset)?;
        if crc32c(&bytes) != insert.crc {
            return Err(self.strange(&"an insert's CRC is wrong"));
        }
        Ok(bytes)
    }

    /// A flush is acknowledged: the reader stands behind it.
    pub(super) fn acknowledged(&self, flush: &Flush) -> io::Result<()> {
        let fresh = self.dir.join("standing.new");
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(&flush.after)?)?;
        file.sync_all()?;
        fs::rename(fresh, self.standing_path())?;
        self.sync_directory()?;
        self.remove_flush()
    }

    /// Forgets a flush that is acknowledged.
    pub(super) fn remove_flush(&self) -> io::Result<()> {
        match fs::remove_file(self.flush_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn read_flush(&self) -> io::Result<Option<Flush>> {
        let file = match File::open(self.flush_path()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let mut tail = [0; TAIL];
        let Some(tail_at) = length.checked_sub(TAIL as u64) else {
            return Err(self.strange(&"it is too short"));
        };
        file.read_exact_at(&mut tail, tail_at)?;
        let (text_length, rest) = tail.split_first_chunk::<8>().ok_or_else(|| self.strange(&"no tail"))?;
        let (crc, format) = rest.split_first_chunk::<4>().ok_or_else(|| self.strange(&"no tail"))?;
        let text_length = u64::from_le_bytes(*text_length);
        let Some(text_at) = tail_at.checked_sub(text_length).filter(|_| format == FORMAT) else {
            return Err(self.strange(&"another format"));
        };
        let mut text = vec![0; text_length as usize];
        file.read_exact_at(&mut text, text_at)?;
        if crc32c(&text) != u32::from_le_bytes(*crc) {
            return Err(self.strange(&"its CRC is wrong"));
        }
        Ok(Some(serde_json::from_slice(&text).map_err(|error| self.strange(&error))?))
    }

    fn standing_path(&self) -> PathBuf {
        self.dir.join("standing")
    }

    fn flush_path(&self) -> PathBuf {
        self.dir.join("flush")
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn strange(&self, problem: &dyn std::fmt::Display) -> io::Error {
        io::Error::other(format!(
            "the outbox {} cannot be understood ({problem}): start the version that wrote it. Without the directory \
             the reader begins at the oldest frame of the journal, and counts again what it has counted of it",
            self.dir.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(last: u64) -> Standing {
        Standing {
            journal: 7,
            last,
            arrival_us: 5,
            position: Position::default(),
            decoder: DecoderState::default(),
            stored: 3,
            filtered: Filtered::default(),
            clock_skew: 0,
        }
    }

    fn flush(outbox: &Outbox, last: u64) -> Flush {
        let mut writing = outbox.begin().unwrap();
        writing.block("INSERT a", "t/1".to_owned(), 2, b"fi").unwrap();
        writing.block("INSERT a", "t/1".to_owned(), 3, b"rst").unwrap();
        writing.block("INSERT b", "t/2".to_owned(), 1, b"second block").unwrap();
        outbox.complete(writing, standing(last), (LedgerRow::default(), "ledger".to_owned()), 2).unwrap()
    }

    #[test]
    fn a_flush_is_there_until_it_is_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let (outbox, none, nothing) = Outbox::open(dir.path()).unwrap();
        assert!(none.is_none() && nothing.is_none());
        let written = flush(&outbox, 9);
        let (outbox, none, found) = Outbox::open(dir.path()).unwrap();
        let found = found.unwrap();
        assert!(none.is_none());
        assert_eq!(found.inserts, written.inserts);
        assert_eq!((found.inserts.len(), found.inserts[0].rows), (2, 5));
        assert_eq!(outbox.bytes(&found.inserts[0]).unwrap(), b"first");
        assert_eq!(outbox.bytes(&found.inserts[1]).unwrap(), b"second block");

        // Killed after the position was written and before the flush was removed.
        let copy = fs::read(dir.path().join("flush")).unwrap();
        outbox.acknowledged(&found).unwrap();
        fs::write(dir.path().join("flush"), copy).unwrap();
        let (outbox, stands, nothing) = Outbox::open(dir.path()).unwrap();
        assert_eq!(stands.unwrap().last, 9);
        assert!(nothing.is_none());
        flush(&outbox, 12);
        assert_eq!(Outbox::open(dir.path()).unwrap().2.unwrap().after.last, 12);
    }

    #[test]
    fn half_a_flush_is_none_and_a_damaged_one_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let (outbox, _, _) = Outbox::open(dir.path()).unwrap();
        let mut writing = outbox.begin().unwrap();
        writing.block("", "t".to_owned(), 1, b"never completed").unwrap();
        drop(writing);
        assert!(Outbox::open(dir.path()).unwrap().2.is_none());

        let written = flush(&outbox, 1);
        let path = dir.path().join("flush");
        let whole = fs::read(&path).unwrap();
        for at in [0, 5, whole.len() - 20, whole.len() - 9, whole.len() - 5, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let found = Outbox::open(dir.path()).map(|(outbox, _, _)| {
                written.inserts.iter().map(|insert| outbox.bytes(insert)).collect::<io::Result<Vec<_>>>()
            });
            assert!(!matches!(found, Ok(Ok(_))), "a changed byte {at} was not seen");
        }
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(Outbox::open(dir.path()).is_err(), "{length} bytes");
        }
    }
}
