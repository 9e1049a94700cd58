//! Which aggregates a stream feeds.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crds::desired::family;
use crds::receiver::{AggregatesConfig, Aggregation, DpiConfig, StreamConfig};
use schema::{Family, Stream};

use crate::aggregate::{AggregatorOptions, Opened};
use crate::dictionaries::Known;

/// How long records are gathered unless told otherwise.
const FLUSH_AFTER: Duration = Duration::from_secs(60);

/// What the readers of a stream have in common.
pub struct Of<'a> {
    pub config: &'a AggregatesConfig,
    pub dpi: &'a DpiConfig,
    pub stream: &'a StreamConfig,
    /// As declared, with the user's elements.
    pub declared: &'static Stream,
    /// Whether its records become rows of natflow too.
    pub with_nat: bool,
    pub domains: &'a Arc<BTreeMap<u32, u16>>,
    pub known: &'a Arc<Known>,
    pub collector: &'a str,
    pub dir: &'a Path,
}

/// How long records of a DPI are gathered.
pub fn flush_after(dpi: &DpiConfig) -> Duration {
    dpi.flush_interval_ms.map_or(FLUSH_AFTER, Duration::from_millis)
}

/// Options of each reader.
pub fn options(of: &Of<'_>) -> Vec<AggregatorOptions> {
    let own = of.config.of(of.stream.stream).map(|aggregation| {
        let family = family(of.stream.stream);
        one(of, aggregation, family, of.declared.clone())
    });
    let nat = of.config.natflow.as_ref().filter(|_| of.with_nat).map(|aggregation| {
        let family = schema::aggregates::nat_from_fullflow();
        one(of, aggregation, family, family.stream.clone())
    });
    own.into_iter().chain(nat).collect()
}

fn one(of: &Of<'_>, aggregation: &Aggregation, family: &'static Family, stream: Stream) -> AggregatorOptions {
    AggregatorOptions {
        family,
        stream,
        switches: aggregation.keys.clone(),
        minutes: aggregation.interval.minutes(),
        flush_after: flush_after(of.dpi),
        dpi: of.dpi.id,
        domains: of.domains.clone(),
        known: of.known.clone(),
        collector: of.collector.to_owned(),
        listener: of.stream.name.clone(),
        journal_dir: of.dir.to_path_buf(),
    }
}

/// Opens the outbox of each.
pub fn open(readers: Vec<AggregatorOptions>) -> io::Result<Vec<(AggregatorOptions, Opened)>> {
    readers
        .into_iter()
        .map(|options| {
            let opened = Opened::new(&options)?;
            Ok((options, opened))
        })
        .collect()
}
