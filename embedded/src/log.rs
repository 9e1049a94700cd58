//! The server's log: bounded, appended to by the engine itself through its standard error, so that
//! even its last words before a crash are kept. Never the terminal.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Above this many bytes the log is moved to `server.log.1`. Two of them are the most there is.
const MOST_BYTES: u64 = 8 << 20;

/// How many bytes of the end of the log are quoted at most in an error.
const TAIL_BYTES: u64 = 4 << 10;

/// How many lines of the end of the log are quoted at most in an error.
const TAIL_LINES: usize = 12;

/// Opens the log for appending.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    trim(path, MOST_BYTES)?;
    OpenOptions::new().create(true).append(true).open(path)
}

/// Keeps the log within its bound while the engine writes to it.
pub(crate) fn keep_bounded(path: &Path) {
    // A failure leaves a long log, which is not worth stopping a server for; the next call tries again.
    let _ = trim(path, MOST_BYTES);
}

/// Copies and truncates, because the engine's descriptor follows a rename. What it writes between the
/// two steps is lost; it is opened for appending, so it goes on at the new end.
fn trim(path: &Path, most: u64) -> std::io::Result<()> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if length <= most {
        return Ok(());
    }
    let mut from = File::open(path)?;
    from.seek(SeekFrom::Start(length - most))?;
    let mut to = File::create(path.with_extension("log.1"))?;
    std::io::copy(&mut from.take(most), &mut to)?;
    OpenOptions::new().write(true).open(path)?.set_len(0)
}

/// The current length in bytes, to tell later lines from those that are there; 0 if there is no log.
pub(crate) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Whether what was written after the log was `since` bytes long holds this text; false if there is no
/// log.
pub(crate) fn says(path: &Path, since: u64, text: &str) -> bool {
    read_since(path, since, MOST_BYTES).is_ok_and(|written| written.contains(text))
}

/// The last lines that were written after the log was `since` bytes long.
pub(crate) fn tail(path: &Path, since: u64) -> String {
    read_tail(path, since).unwrap_or_else(|error| format!("(cannot be read: {error})"))
}

fn read_tail(path: &Path, since: u64) -> std::io::Result<String> {
    let text = read_since(path, since, TAIL_BYTES)?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return Ok("(nothing was written)".to_owned());
    }
    let shown = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default();
    Ok(shown.join("\n"))
}

/// The last `most` bytes of what was written after the log was `since` bytes long.
fn read_since(path: &Path, since: u64, most: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    // A log that became shorter was trimmed: everything in it is new.
    let since = if since > length { 0 } else { since };
    file.seek(SeekFrom::Start(since.max(length.saturating_sub(most))))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_moved_aside_and_its_end_is_kept() {
        let dir = std::env::temp_dir().join(format!("qoe-log-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        let path = dir.join("server.log");
        fs::write(&path, "first line\nsecond line\nthird line\n").unwrap();
        assert_eq!(tail(&path, 0), "first line\nsecond line\nthird line");
        assert_eq!(tail(&path, 11), "second line\nthird line");
        assert!(says(&path, 11, "second") && !says(&path, 11, "first"));
        assert!(says(&path, 1000, "first"), "a log that became shorter is all new");
        trim(&path, 100).unwrap();
        assert_eq!(length(&path), 34);
        trim(&path, 11).unwrap();
        assert_eq!(length(&path), 0);
        assert_eq!(fs::read_to_string(dir.join("server.log.1")).unwrap(), "third line\n");
        assert_eq!(tail(&path, 34), "(nothing was written)");
        fs::remove_dir_all(&dir).unwrap();
    }
}
