//! What a reader of aggregates is given, what it finds of an earlier life, and what it tells of itself.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schema::Stream;
use schema::aggregate::Family;

use super::gather::Filtered;
use super::outbox::{Flush, Outbox, Standing};
use crate::dictionaries::Known;
use crate::journal;

/// Fixed facts of one family of one stream.
pub struct AggregatorOptions {
    /// The family.
    pub family: &'static Family,
    /// The stream that is decoded: the family's, with the user's elements.
    pub stream: Stream,
    /// The keys that are switched on; `None`: all.
    pub switches: Option<Vec<String>>,
    /// Interval of the wide table, minutes.
    pub minutes: u32,
    /// How long records are gathered, if there are enough.
    pub flush_after: Duration,
    /// For the column `dpi_id`.
    pub dpi: u16,
    /// Observation domains that are another DPI's.
    pub domains: Arc<BTreeMap<u32, u16>>,
    /// What records are enriched by, as of now.
    pub known: Arc<Known>,
    /// Name of the collector, for the ledger.
    pub collector: String,
    /// Name of the listener, for the ledger.
    pub listener: String,
    /// The journal's directory.
    pub journal_dir: PathBuf,
}

impl AggregatorOptions {
    /// The wide table.
    pub(super) fn table(&self) -> &'static str {
        self.family.tables.first().map_or("", |table| table.name)
    }
}

/// The outbox of a reader, read before the journal is.
pub struct Opened {
    pub(super) outbox: Outbox,
    pub(super) standing: Option<Standing>,
    pub(super) flush: Option<Flush>,
}

impl Opened {
    /// Opens the outbox.
    ///
    /// # Errors
    /// It cannot be read, or was written by a version that we do not understand.
    pub fn new(options: &AggregatorOptions) -> io::Result<Opened> {
        let (outbox, standing, flush) = Outbox::open(&options.journal_dir.join(options.table()))?;
        Ok(Opened { outbox, standing, flush })
    }

    /// The newest frame and arrival that it knows.
    pub fn newest(&self) -> journal::Recovered {
        let standings = self.standing.iter().chain(self.flush.iter().map(|flush| &flush.after));
        let mut newest = journal::Recovered::default();
        for standing in standings {
            newest.last_number = newest.last_number.max(standing.last);
            newest.last_arrival_us = newest.last_arrival_us.max(standing.arrival_us);
        }
        newest
    }
}

/// What is counted of a reader, in records.
#[derive(Clone, Debug, Default)]
pub struct AggregatorStatus {
    /// The wide table.
    pub table: &'static str,
    /// Records decoded.
    pub decoded: u64,
    /// Records that are in the tables.
    pub stored: u64,
    /// Records left out by rule.
    pub filtered: Filtered,
    /// Records counted at their arrival, because they say they happened more than a day before or after.
    pub clock_skew: u64,
    /// Groups gathered and not sent yet.
    pub groups: u64,
    /// Inserts tried again since the process began.
    pub retries: u64,
    /// What the journal may forget: frames below the number, except in these segments.
    pub(super) releasable: (u64, Vec<u64>),
}

impl AggregatorStatus {
    /// Records on their way.
    pub fn waiting(&self) -> u64 {
        self.decoded.saturating_sub(self.stored + self.filtered.total())
    }
}
