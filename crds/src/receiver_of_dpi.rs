//! Turns a DPI of a collector into the configuration of its receiver: the same on one machine and on
//! Kubernetes, which differ only in their [`Place`]. Must stay a pure function of the collector: whoever
//! writes it twice gets the same configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::collector::QoeCollectorSpec;
use crate::dpi::{Dpi, ReceiverSpec};
use crate::enrichment::CustomElement;
use crate::receiver::{DpiConfig, JournalConfig, StreamConfig, TlsConfig};
use crate::stream::Stream;
use crate::validate::FieldPath;

/// How long a record waits for others unless told otherwise, in milliseconds.
const DEFAULT_MAX_DELAY_MS: u64 = 1_000;

/// Inserts in flight unless told otherwise.
const DEFAULT_INSERTERS: usize = 2;

/// Where a receiver runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Address that listeners bind to.
    pub listen: IpAddr,
    /// Where the files of Secrets are.
    pub secrets: SecretFiles,
    /// How much of the journal's size may be used, in percent: a volume also holds the file system's own
    /// data, checkpoints and cursors.
    pub quota_percent: u64,
}

/// Directories with one directory per stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretFiles {
    /// Holds `{stream}/tls.crt` and `{stream}/tls.key`.
    pub tls: PathBuf,
    /// Holds `{stream}/ca.crt`.
    pub client_ca: PathBuf,
    /// Streams, by name, whose Secrets cannot be had, and why not.
    pub missing: BTreeMap<String, String>,
}

/// Something that is asked for and that this version does not do, or that does not matter in this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotYet {
    /// The field.
    pub path: FieldPath,
    /// What happens instead.
    pub message: String,
}

impl fmt::Display for NotYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// What was found to say, in order.
#[derive(Debug, Default)]
pub struct Notes(pub Vec<NotYet>);

impl Notes {
    /// One more.
    pub fn add(&mut self, path: FieldPath, message: impl Into<String>) {
        self.0.push(NotYet { path, message: message.into() });
    }
}

/// The configuration of one DPI, which stands at `path`; `elements` are those of the whole collector.
/// Streams that cannot be received as asked for are left out, with a note.
pub fn dpi_config(
    path: &FieldPath,
    dpi: &Dpi,
    elements: &[CustomElement],
    place: &Place,
    notes: &mut Notes,
) -> DpiConfig {
    let mut streams = Vec::new();
    for (index, stream) in dpi.streams.iter().enumerate() {
        let path = path.field("streams").index(index);
        if let Some(mut config) = stream_config(&path, stream, place, notes) {
            config.elements.extend(elements.iter().filter(|own| own.stream == config.stream).cloned());
            streams.push(config);
        }
    }
    let mut config = DpiConfig {
        id: dpi.id,
        name: dpi.name.clone(),
        streams,
        journal: JournalConfig::default(),
        max_delay_ms: DEFAULT_MAX_DELAY_MS,
        inserters: DEFAULT_INSERTERS,
        flush_interval_ms: None,
    };
    if let Some(receiver) = &dpi.receiver {
        apply_receiver(&path.field("receiver"), receiver, &mut config, notes);
    }
    let size = config.journal.quota_bytes;
    config.journal.quota_bytes = size / 100 * place.quota_percent + size % 100 * place.quota_percent / 100;
    config.journal.segment_bytes = segment_bytes(config.journal.quota_bytes);
    config
}

fn stream_config(
    path: &FieldPath,
    stream: &Stream,
    place: &Place,
    notes: &mut Notes,
) -> Option<StreamConfig> {
    let label =
        format!("{} on {} port {}", stream.stream_type.as_str(), stream.transport.as_str(), stream.port);
    let files = &place.secrets;
    let tls = match (&stream.tls, files.missing.get(stream.name())) {
        (None, _) => None,
        (Some(tls), None) => {
            let directory = files.tls.join(stream.name());
            let client_ca = files.client_ca.join(stream.name()).join("ca.crt");
            Some(TlsConfig {
                certificate: directory.join("tls.crt"),
                key: directory.join("tls.key"),
                client_ca: tls.client_ca_secret_ref.as_ref().map(|_| client_ca),
            })
        }
        (Some(_), Some(reason)) => {
            // Listening without TLS where TLS was asked for would be worse than not listening.
            notes.add(path.field("tls"), format!("{reason}: without TLS, {label} is not received"));
            return None;
        }
    };
    if stream.export.is_some() {
        notes.add(path.field("export"), format!("not yet: {label} is stored but not sent on"));
    }
    Some(StreamConfig {
        name: stream.name().to_owned(),
        stream: stream.stream_type,
        listen: SocketAddr::new(place.listen, stream.port.get()),
        transport: stream.transport,
        allow_from: stream.allow_from.clone(),
        tls,
        domains: stream.domains.clone(),
        elements: Vec::new(),
    })
}

fn apply_receiver(path: &FieldPath, receiver: &ReceiverSpec, config: &mut DpiConfig, notes: &mut Notes) {
    if let Some(journal) = &receiver.journal {
        if let Some(bytes) = journal.size.as_ref().and_then(|size| size.bytes()) {
            config.journal.quota_bytes = bytes;
        }
        config.journal.fsync = journal.fsync;
        if let Some(interval) = journal.fsync_interval {
            config.journal.fsync_interval_ms = interval.as_millis();
        }
        if let Some(keep) = journal.keep_after_commit {
            config.journal.keep_after_commit_ms = keep.as_millis();
        }
    }
    let Some(tuning) = &receiver.tuning else { return };
    if let Some(delay) = tuning.max_delay {
        config.max_delay_ms = delay.as_millis();
    }
    config.flush_interval_ms = tuning.flush_interval.map(|interval| interval.as_millis());
    if let Some(inserters) = tuning.inserters {
        config.inserters = usize::try_from(inserters).unwrap_or(DEFAULT_INSERTERS).max(1);
    }
    let path = path.field("tuning");
    for (field, given) in [
        ("segmentInterval", tuning.segment_interval.is_some()),
        ("segmentDelay", tuning.segment_delay.is_some_and(|delay| delay.as_millis() > 0)),
        ("queueMessages", tuning.queue_messages.is_some()),
    ] {
        if given {
            notes.add(path.field(field), "not yet: chosen automatically");
        }
    }
}

/// Notes what no receiver and no table of this version does, of the spec that stands at `path`.
pub fn note_collector(path: &FieldPath, spec: &QoeCollectorSpec, notes: &mut Notes) {
    if spec.time_zone.is_some() {
        notes.add(path.field("timeZone"), "not yet: there are no reports; storage is UTC");
    }
}

/// At least eight segments fit into the quota; whole pages; between 1 MiB and 64 MiB.
fn segment_bytes(quota: u64) -> u64 {
    let eighth = quota / 8 / 4_096 * 4_096;
    eighth.clamp(1 << 20, JournalConfig::default().segment_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_fit_their_quota() {
        for quota in [16 << 20, 100 << 20, 10 << 30, u64::MAX] {
            let segment = segment_bytes(quota);
            assert!(segment * 8 <= quota && segment.is_multiple_of(4_096), "{quota}");
        }
        assert_eq!(segment_bytes(10 << 30), 64 << 20);
    }

    #[test]
    fn a_journal_leaves_room_on_its_volume() {
        let dpi = Dpi { id: 1, name: None, streams: Vec::new(), receiver: None };
        for (percent, quota) in [(100, 10 << 30), (90, 9_663_676_416)] {
            let secrets = SecretFiles::default();
            let place = Place { listen: [127, 0, 0, 1].into(), secrets, quota_percent: percent };
            let config = dpi_config(&FieldPath::root(), &dpi, &[], &place, &mut Notes::default());
            assert_eq!(config.journal.quota_bytes, quota);
        }
    }
}
