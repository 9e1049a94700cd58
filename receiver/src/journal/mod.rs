//! The journal: every message as it came, on disk, before anything else is done with it. One per DPI
//! and stream; one writer (the listener), any number of readers by `pread`. Segments have a fixed
//! size and are recycled. This module must never look into messages and never delete a segment that
//! somebody still needs: it is told the low-water mark.

pub mod frame;
mod reader;
mod recover;
mod segment;
mod writer;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use frame::Kind;
use nix::fcntl::{Flock, FlockArg};
pub use reader::{Hole, JournalReader, Next, Position};
pub use recover::{Recovered, frames_of_segment};
pub use segment::{SegmentFile, segments_in};
pub use writer::JournalWriter;

/// How and how often appended frames are forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// The kernel decides: a power cut may lose half a minute.
    Never,
    /// Every so often, by a thread of its own: a power cut loses at most that much.
    Interval(Duration),
    /// Before the next frame is taken.
    Always,
}

/// What the journals of one DPI may occupy together.
#[derive(Debug)]
pub struct Quota {
    bytes: AtomicU64,
    used: AtomicU64,
}

impl Quota {
    /// A quota of so many bytes, nothing of it used.
    pub fn new(bytes: u64) -> Arc<Quota> {
        Arc::new(Quota { bytes: AtomicU64::new(bytes), used: AtomicU64::new(0) })
    }

    /// Takes a part of it; false if too little is left.
    fn take(&self, bytes: u64) -> bool {
        let quota = self.bytes();
        let taken = |used: u64| Some(used + bytes).filter(|used| *used <= quota);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The whole of it.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Makes it larger or smaller. What is used stays used, also beyond a smaller quota: journals shrink
    /// as their frames are stored.
    pub fn resize(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether more is used than it has: it was made smaller.
    fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.bytes()
    }

    /// Bytes that are left.
    pub fn left(&self) -> u64 {
        self.bytes().saturating_sub(self.used.load(Ordering::Relaxed))
    }
}

/// Size and durability of a journal.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// When frames are forced to the disk.
    pub fsync: Fsync,
    /// How long a segment is kept after everything in it was stored.
    pub keep_after_commit: Duration,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the journal {0} is in use by another receiver: stop that one, or use another --data directory")]
    InUse(PathBuf),
    /// Its identity file is there but is not one.
    #[error(
        "the journal's identity {path} is damaged ({reason}): restore the file, or move the directory {dir} away to begin a new journal"
    )]
    Identity {
        /// The identity file.
        path: PathBuf,
        /// The journal's directory.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused something.
    #[error("the journal {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// The newest frame that readers may see.
#[derive(Clone, Copy, Debug, Default)]
pub struct Published {
    /// Its number; 0 when there is none.
    pub number: u64,
    /// Its arrival, microseconds.
    pub arrival_us: u64,
    /// Bytes appended since the process began, padding included.
    pub bytes: u64,
}

/// What the writer, the readers and the syncing thread share.
pub struct Journal {
    dir: PathBuf,
    identity: uuid::Uuid,
    segment_bytes: u64,
    options: Mutex<Options>,
    quota: Arc<Quota>,
    segments: Mutex<Vec<Arc<SegmentFile>>>,
    spares: Mutex<Vec<PathBuf>>,
    published: Mutex<Published>,
    grown: Condvar,
    needs_sync: Mutex<Vec<Arc<SegmentFile>>>,
    syncing: Mutex<()>,
    failing: AtomicBool,
    full: AtomicBool,
    _lock: Flock<File>,
}

impl Journal {
    /// Opens or creates the journal in `dir`, finds its segments and takes its lock.
    pub fn open(dir: &Path, options: Options, quota: Arc<Quota>) -> Result<Arc<Journal>, OpenError> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| OpenError::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(io(dir))?;
        let lock_path = dir.join("lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|_| OpenError::InUse(dir.to_path_buf()))?;
        let identity = load_or_create_identity(dir)?;
        let (segments, spares) = segment::find(dir).map_err(io(dir))?;
        // What is there counts, also beyond the quota: it is never thrown away to make room.
        let there = (segments.len() + spares.len()) as u64 * options.segment_bytes;
        quota.used.fetch_add(there, Ordering::Relaxed);
        Ok(Arc::new(Journal {
            dir: dir.to_path_buf(),
            identity,
            segment_bytes: options.segment_bytes,
            options: Mutex::new(options),
            quota,
            segments: Mutex::new(segments),
            spares: Mutex::new(spares),
            published: Mutex::new(Published::default()),
            grown: Condvar::new(),
            needs_sync: Mutex::new(Vec::new()),
            syncing: Mutex::new(()),
            failing: AtomicBool::new(false),
            full: AtomicBool::new(false),
            _lock: lock,
        }))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The random identity made with the directory.
    pub fn identity(&self) -> uuid::Uuid {
        self.identity
    }

    /// The first four bytes of the identity: the column `journal_id`.
    pub fn id(&self) -> u32 {
        self.identity.as_fields().0
    }

    /// Size and durability, as of now.
    pub fn options(&self) -> Options {
        *lock(&self.options)
    }

    /// Changes how durable frames are and how long segments are kept. When it returns, every frame that was
    /// appended before is as durable as new ones are.
    pub fn set_durability(&self, fsync: Fsync, keep_after_commit: Duration) -> std::io::Result<()> {
        let before = {
            let mut options = lock(&self.options);
            options.keep_after_commit = keep_after_commit;
            std::mem::replace(&mut options.fsync, fsync)
        };
        if before == fsync || fsync == Fsync::Never {
            return Ok(());
        }
        // Frames that were nobody's to force to the disk are in any of them.
        let written = lock(&self.segments).clone();
        *lock(&self.needs_sync) = written;
        self.sync()
    }

    /// The quota that it shares with the DPI's other journals.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// The newest frame.
    pub fn published(&self) -> Published {
        *lock(&self.published)
    }

    /// Waits until there is a frame newer than `number`, at most `timeout`.
    pub fn wait_beyond(&self, number: u64, timeout: Duration) -> Published {
        let deadline = Instant::now() + timeout;
        let mut published = lock(&self.published);
        while published.number <= number {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            published = self.grown.wait_timeout(published, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *published
    }

    /// Bytes of all segments, spare ones included.
    pub fn bytes_on_disk(&self) -> u64 {
        (lock(&self.segments).len() + lock(&self.spares).len()) as u64 * self.segment_bytes
    }

    /// Whether the journal takes frames now: neither full nor refused by the disk.
    pub fn accepts(&self) -> bool {
        !self.is_full() && !self.failing.load(Ordering::Relaxed)
    }

    /// Whether a segment was refused for lack of room, and no room has come back since: nobody may be
    /// sending any more who would notice.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
            && self.quota.left() < self.segment_bytes
            && lock(&self.spares).is_empty()
    }

    /// The first frame's number of each segment, oldest first.
    pub fn segment_starts(&self) -> Vec<u64> {
        lock(&self.segments).iter().map(|segment| segment.first).collect()
    }

    /// Recycles segments whose frames are all below `keep_from` and that were so for longer than
    /// `keep_after_commit`, or at once while the journal is full: rather that than to refuse what
    /// arrives. `pinned` are first frames of segments that must stay.
    pub fn release(&self, keep_from: u64, pinned: &[u64]) -> std::io::Result<()> {
        let mut segments = lock(&self.segments);
        while let [oldest, next, ..] = segments.as_slice() {
            let needed = next.first > keep_from || pinned.contains(&oldest.first);
            let kept = oldest.committed_for() < self.options().keep_after_commit && !self.is_full();
            if needed || kept {
                break;
            }
            self.recycle(&oldest.clone())?;
            segments.remove(0);
        }
        for pair in segments.windows(2) {
            if let [segment, next] = pair
                && next.first <= keep_from
            {
                segment.mark_committed();
            }
        }
        Ok(())
    }

    /// Makes a segment that nobody needs a spare one, or removes it.
    fn recycle(&self, retired: &SegmentFile) -> std::io::Result<()> {
        let mut spares = lock(&self.spares);
        if spares.len() < segment::MAX_SPARES && !self.quota.is_exceeded() {
            spares.push(retired.retire()?);
        } else {
            fs::remove_file(&retired.path)?;
            self.quota.give_back(self.segment_bytes);
        }
        Ok(())
    }

    /// Takes back a segment that could not be begun: its file serves as a spare one again.
    fn give_up_segment(&self, first: u64, spare: Option<PathBuf>) {
        let begun = segment::path(&self.dir, first);
        let kept = match &spare {
            Some(spare) => spare.exists() || fs::rename(&begun, spare).is_ok(),
            None => false,
        };
        if let (true, Some(spare)) = (kept, spare) {
            lock(&self.spares).push(spare);
            return;
        }
        // What cannot be removed now is found at the next start.
        let _ = fs::remove_file(&begun);
        self.quota.give_back(self.segment_bytes);
    }

    /// Forces what was appended to the disk; nothing with [`Fsync::Never`]. Two calls do not overlap,
    /// so when it returns, everything appended before is there.
    pub fn sync(&self) -> std::io::Result<()> {
        let _one_at_a_time = lock(&self.syncing);
        let files = std::mem::take(&mut *lock(&self.needs_sync));
        for (done, segment) in files.iter().enumerate() {
            if let Err(error) = segment.file.sync_data() {
                lock(&self.needs_sync).extend(files.iter().skip(done).cloned());
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A mutex's content, also after a thread panicked while it held it: every section below leaves
/// its data consistent at each step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load_or_create_identity(dir: &Path) -> Result<uuid::Uuid, OpenError> {
    let path = dir.join("identity");
    let io = |source| OpenError::Io { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(text) => uuid::Uuid::parse_str(text.trim()).map_err(|error| OpenError::Identity {
            path: path.clone(),
            dir: dir.to_path_buf(),
            reason: error.to_string(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let identity = uuid::Uuid::new_v4();
            let fresh = dir.join("identity.new");
            let mut file = File::create(&fresh).map_err(io)?;
            writeln!(file, "{identity}").and_then(|()| file.sync_all()).map_err(io)?;
            fs::rename(&fresh, &path).map_err(io)?;
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
            Ok(identity)
        }
        Err(error) => Err(io(error)),
    }
}
