//! Looks at a journal's directory from outside, for `qoe journal`. Changes nothing, except that
//! set-aside files that were stored after all are removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::insert::{Failure, SetAside, Target, read_set_aside};
use crate::journal::frame::Header;
use crate::journal::{SegmentFile, frames_of_segment, segments_in};
use crate::stream::NAT_DIRECTORY;

/// A journal on disk.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Its directory.
    pub directory: PathBuf,
    /// Its identity.
    pub identity: String,
    /// Number and arrival (microseconds since 1970) of the oldest frame.
    pub oldest: Option<(u64, u64)>,
    /// Number and arrival of the newest frame.
    pub newest: Option<(u64, u64)>,
    /// Whole messages.
    pub messages: u64,
    /// Segment files.
    pub segments: usize,
    /// Rows that are set aside, and why.
    pub set_aside: Vec<SetAside>,
}

/// The journals below a data directory.
pub fn journals(data_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    match fs::read_dir(data_dir.join("journal")) {
        Ok(entries) => {
            for entry in entries {
                let path = entry?.path();
                if path.join("identity").is_file() {
                    found.push(path);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    found.sort();
    Ok(found)
}

/// Reads through a journal.
pub fn summary(directory: &Path) -> io::Result<Summary> {
    let mut summary = Summary {
        directory: directory.to_path_buf(),
        identity: fs::read_to_string(directory.join("identity"))?.trim().to_string(),
        oldest: None,
        newest: None,
        messages: 0,
        segments: 0,
        set_aside: Vec::new(),
    };
    for segment in segments_in(directory)? {
        summary.segments += 1;
        visit(&segment, &summary.identity.clone(), |header, _| {
            let here = (header.number, header.arrival_us);
            summary.oldest.get_or_insert(here);
            summary.newest = Some(here);
            summary.messages += u64::from(header.messages);
        })?;
    }
    for path in set_aside_files(directory)? {
        if let Some((note, _)) = read_set_aside(&fs::read(path)?) {
            summary.set_aside.push(note);
        }
    }
    Ok(summary)
}

/// Shows each frame of a journal, oldest first.
pub fn frames(directory: &Path, mut show: impl FnMut(&Header, &[u8])) -> io::Result<()> {
    let identity = fs::read_to_string(directory.join("identity"))?;
    for segment in segments_in(directory)? {
        visit(&segment, identity.trim(), &mut show)?;
    }
    Ok(())
}

fn visit(segment: &Arc<SegmentFile>, identity: &str, show: impl FnMut(&Header, &[u8])) -> io::Result<()> {
    let journal = uuid::Uuid::parse_str(identity).map_err(io::Error::other)?.as_fields().0;
    frames_of_segment(segment, journal, show)
}

fn set_aside_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for reader in [directory.to_path_buf(), directory.join(NAT_DIRECTORY)] {
        let entries = match fs::read_dir(reader.join("set-aside")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What became of a set-aside file.
#[derive(Debug)]
pub struct Retried {
    /// What it says.
    pub note: SetAside,
    /// Stored, or refused again.
    pub outcome: Result<(), Failure>,
}

/// Sends set-aside rows again; files whose rows are stored now are removed.
pub async fn retry(directory: &Path, target: &Target) -> io::Result<Vec<Retried>> {
    let mut retried = Vec::new();
    for path in set_aside_files(directory)? {
        let bytes = fs::read(&path)?;
        let Some((note, blocks)) = read_set_aside(&bytes) else { continue };
        let outcome = send(target, &note, bytes::Bytes::copy_from_slice(blocks)).await;
        if outcome.is_ok() {
            fs::remove_file(&path)?;
        }
        retried.push(Retried { note, outcome });
    }
    Ok(retried)
}

async fn send(target: &Target, note: &SetAside, blocks: bytes::Bytes) -> Result<(), Failure> {
    target.greet_if_unknown().await?;
    let mut insert = target.begin(&target.physical_sql(&note.sql), &note.token);
    insert.send(blocks).await?;
    insert.end().await
}
