//! A dictionary in a file. A look at its stamp costs nothing, so a change is found soon; a file that is being
//! written must not be taken for a finished one, see [`read`].

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::MAX_CONTENT;

/// How long a file must have been left alone.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refuses.
    #[error("{} cannot be read: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A directory, a pipe.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// What it is called.
        path: PathBuf,
    },
    /// See [`MAX_CONTENT`].
    #[error("{} is larger than {limit} bytes: leave out what is not needed", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is taken.
        limit: u64,
    },
}

/// What changes when a file does: another stamp is another content, as far as a look from outside can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// The file, whole.
    Content {
        /// What is in it.
        content: Vec<u8>,
        /// Its stamp while it was read.
        stamp: Stamp,
    },
    /// It was written to less than a second ago, or while it was read: look again in a second.
    Again,
}

/// The stamp of the file that is there now.
///
/// # Errors
/// There is no such file, or it may not be looked at.
pub fn stamp(path: &Path) -> Result<Stamp, FileError> {
    let metadata = fs::metadata(path).map_err(|error| FileError::Read { path: path.to_path_buf(), error })?;
    stamp_of(path, &metadata)
}

/// Reads the file if it has been left alone for a second and nobody writes to it meanwhile. A writer that pauses
/// for longer is not recognised: who writes slowly writes to another name and renames the file in the end.
///
/// # Errors
/// There is no such file, it may not be read, or it is too large.
pub fn read(path: &Path) -> Result<Look, FileError> {
    read_at(path, SystemTime::now(), MAX_CONTENT)
}

fn read_at(path: &Path, now: SystemTime, limit: u64) -> Result<Look, FileError> {
    let failed = |error| FileError::Read { path: path.to_path_buf(), error };
    // Before it is opened: opening a pipe waits for its writer.
    let before = stamp(path)?;
    // A time in the future tells nothing: it is another clock's. The second stamp must do.
    if now.duration_since(before.modified).is_ok_and(|age| age < SETTLED_AFTER) {
        return Ok(Look::Again);
    }
    if before.length > limit {
        return Err(FileError::TooLarge { path: path.to_path_buf(), limit });
    }
    let file = File::open(path).map_err(failed)?;
    let mut content = Vec::with_capacity(usize::try_from(before.length).unwrap_or_default());
    // One more than it may have: a file without a length, as in /proc, may never end.
    (&file).take(limit + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > limit {
        return Err(FileError::TooLarge { path: path.to_path_buf(), limit });
    }
    // Of the file that was read, whatever has its name by now.
    let after = stamp_of(path, &file.metadata().map_err(failed)?)?;
    if after != before || content.len() as u64 != after.length {
        return Ok(Look::Again);
    }
    Ok(Look::Content { content, stamp: after })
}

fn stamp_of(path: &Path, metadata: &Metadata) -> Result<Stamp, FileError> {
    if !metadata.is_file() {
        return Err(FileError::NotAFile { path: path.to_path_buf() });
    }
    let modified =
        metadata.modified().map_err(|error| FileError::Read { path: path.to_path_buf(), error })?;
    Ok(Stamp { modified, length: metadata.len(), inode: metadata.ino() })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Dir {
            Dir(tempfile::tempdir().unwrap())
        }

        /// Writes a file that was last written so long ago.
        fn write(&self, name: &str, content: &str, age: Duration) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, content).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
            path
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_file_is_read_when_it_has_settled() {
        let dir = Dir::new();
        let path = dir.write("a.txt", "1\tone\n", MINUTE);
        let Look::Content { content, stamp: read_stamp } = read(&path).unwrap() else {
            panic!("not settled")
        };
        assert_eq!(content, b"1\tone\n");
        assert_eq!(read_stamp, stamp(&path).unwrap());

        let modified = read_stamp.modified;
        let again =
            |after| read_at(&path, modified + Duration::from_millis(after), 100).unwrap() == Look::Again;
        assert!(again(0) && again(999));
        assert!(!again(1000));
        assert_ne!(read_at(&path, modified - MINUTE, 100).unwrap(), Look::Again, "another clock's time");
    }

    #[test]
    fn a_stamp_shows_every_change() {
        let dir = Dir::new();
        let path = dir.write("a.txt", "1\tone\n", MINUTE);
        let first = stamp(&path).unwrap();
        assert_eq!(stamp(&path).unwrap(), first);
        dir.write("a.txt", "1\ttwo\n", MINUTE / 2);
        assert_ne!(stamp(&path).unwrap(), first, "written later");
        let set_time = |path: &Path| {
            File::options().write(true).open(path).unwrap().set_modified(first.modified).unwrap();
        };
        dir.write("a.txt", "1\tthree\n", MINUTE);
        set_time(&path);
        assert_ne!(stamp(&path).unwrap(), first, "another length");
        let other = dir.write("b.txt", "1\tsix\n", MINUTE);
        set_time(&other);
        fs::rename(&other, &path).unwrap();
        assert_ne!(stamp(&path).unwrap(), first, "another file by the same name");
    }

    #[test]
    fn what_cannot_be_read_is_an_error_with_the_name() {
        let dir = Dir::new();
        let missing = dir.0.path().join("missing.txt");
        let error = read(&missing).unwrap_err();
        assert!(
            matches!(error, FileError::Read { .. }) && error.to_string().contains("missing.txt"),
            "{error}"
        );
        assert!(matches!(read(dir.0.path()).unwrap_err(), FileError::NotAFile { .. }));
        assert!(matches!(read(Path::new("/dev/zero")).unwrap_err(), FileError::NotAFile { .. }));
    }

    #[test]
    fn a_file_has_a_limit() {
        let dir = Dir::new();
        let path = dir.write("a.txt", "12345", MINUTE);
        let error = read_at(&path, SystemTime::now(), 4).unwrap_err();
        assert!(matches!(error, FileError::TooLarge { limit: 4, .. }), "{error}");
        assert!(matches!(read_at(&path, SystemTime::now(), 5).unwrap(), Look::Content { .. }));
    }
}
