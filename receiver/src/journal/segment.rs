//! Segment files: their names, how they are made, found and recycled. A segment's name is the number
//! of its first frame, so the order of names is the order of frames.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

/// Recycled files kept ready. Fresh files cost twice the time per byte.
pub const MAX_SPARES: usize = 2;

/// One segment, open for reading and writing at offsets.
#[derive(Debug)]
pub struct SegmentFile {
    /// Number of the first frame.
    pub first: u64,
    /// Where it lies.
    pub path: PathBuf,
    /// The open file.
    pub file: File,
    committed_at: OnceLock<Instant>,
}

impl SegmentFile {
    fn open(path: PathBuf, first: u64) -> io::Result<SegmentFile> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(SegmentFile { first, path, file, committed_at: OnceLock::new() })
    }

    /// Makes the segment whose first frame is `first`, from `spare` if there is one, else as a new
    /// file, with all its blocks allocated, so that a full disk shows here and not in an append.
    pub fn create(dir: &Path, first: u64, bytes: u64, spare: Option<&Path>) -> io::Result<Arc<Self>> {
        let path = path(dir, first);
        match spare {
            Some(spare) => fs::rename(spare, &path)?,
            None => drop(File::create(&path)?),
        }
        let segment = SegmentFile::open(path, first)?;
        allocate(&segment.file, bytes)?;
        File::open(dir)?.sync_all()?;
        Ok(Arc::new(segment))
    }

    /// Since when all its frames are below the low-water mark; zero if they are not.
    pub fn committed_for(&self) -> Duration {
        self.committed_at.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Notes that all its frames are below the low-water mark.
    pub fn mark_committed(&self) {
        self.committed_at.get_or_init(Instant::now);
    }

    /// Renames the file to that of a spare one and returns its new path.
    pub fn retire(&self) -> io::Result<PathBuf> {
        let spare = self.path.with_extension("spare");
        fs::rename(&self.path, &spare)?;
        Ok(spare)
    }
}

/// Where the segment whose first frame is `first` lies.
pub fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.segment"))
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    let length = i64::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(()),
        // Not every file system can; then a full disk shows in an append, which is tried again.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => file.set_len(bytes.max(file.metadata()?.len())),
        Err(error) => Err(error.into()),
    }
}

/// The segments (oldest first) and spare files of a journal's directory.
pub fn find(dir: &Path) -> io::Result<(Vec<Arc<SegmentFile>>, Vec<PathBuf>)> {
    let mut segments = Vec::new();
    let mut spares = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).map(str::parse::<u64>);
        match (path.extension().and_then(|extension| extension.to_str()), stem) {
            (Some("segment"), Some(Ok(first))) => segments.push(Arc::new(SegmentFile::open(path, first)?)),
            (Some("spare"), _) => spares.push(path),
            _ => {}
        }
    }
    segments.sort_by_key(|segment| segment.first);
    Ok((segments, spares))
}

/// The segments of a journal's directory, oldest first, for a look from outside.
pub fn segments_in(dir: &Path) -> io::Result<Vec<Arc<SegmentFile>>> {
    find(dir).map(|(segments, _)| segments)
}
