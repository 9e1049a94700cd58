//! Rows of natflow from fullflow records: another reader of the same journal, with notes and a balance of its own.
//! Must never share the notes of the stream's own reader.

use std::fs;
use std::io;
use std::path::Path;

use schema::{nat_from_fullflow, natflow};

use crate::insert::PipelineOptions;
use crate::intent_log::{IntentLog, Recovered};
use crate::journal::Journal;

/// Its directory, in that of the journal.
pub const DIRECTORY: &str = "natflow";

/// Opens the reader's notes if it is `wanted`. If not, notes of an earlier life are removed: they speak of frames
/// that will be gone when it is wanted again, and it then begins with those that are there.
pub fn notes(dir: &Path, journal: &Journal, wanted: bool) -> io::Result<Option<(IntentLog, Recovered)>> {
    let notes = dir.join(DIRECTORY);
    if !wanted {
        return match fs::remove_file(notes.join("intents")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(None),
        };
    }
    fs::create_dir_all(&notes)?;
    IntentLog::open(&notes, journal.id()).map(Some)
}

/// What differs from the stream's own reader.
pub fn options(own: &PipelineOptions, dir: &Path) -> PipelineOptions {
    let stream = nat_from_fullflow();
    PipelineOptions {
        stream,
        table: natflow().name.to_string(),
        dpi: own.dpi,
        domains: own.domains.clone(),
        known: own.known.clone(),
        max_delay: own.max_delay,
        label: format!("{} to {}", own.label, natflow().name),
        set_aside_in: Some(dir.join(DIRECTORY)),
        ..PipelineOptions::of(stream)
    }
}
