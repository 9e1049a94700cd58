//! Takes over what changes in the configuration file, and in the files that it names, while records flow.
//!
//! Content is compared, not times: a mounted ConfigMap or Secret is replaced by a symbolic link. What cannot be
//! used changes nothing, what takes a restart is said and left, and neither stops the rest. Must never wait for
//! the network or hold a lock that the way of a record needs while it reads a file.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crds::collector::NodePolicy;
use crds::receiver::{DpiConfig, ReceiverConfig, TAKES_A_RESTART, hash_of};

use crate::config::{self, ConfigError};
use crate::dictionaries::Follower;
use crate::insert::{Access, Shards};
use crate::journal::lock;
use crate::listen::TlsPem;
use crate::stream::{StreamHandle, durability, flush_after};
use crate::{cpu, log_limit};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Files that are just being written are looked at once more after this.
const WRITTEN_WITHIN: Duration = Duration::from_millis(300);

/// What the status and the metrics say about the configuration.
#[derive(Debug, Clone, Default)]
pub struct ConfigState {
    /// Hash of the newest file of which everything is in force.
    pub hash: String,
    /// Why the files are not in force as they are now.
    pub error: Option<String>,
    /// Wanted CPU features that are missing.
    pub cpu_missing: Vec<String>,
    /// Changes that were taken over.
    pub applied: u64,
    /// Changes that could not be used.
    pub invalid: u64,
    /// Changes of which a part takes a restart.
    pub restart: u64,
}

/// All files as they were at one moment.
#[derive(PartialEq, Eq)]
struct Seen {
    file: Result<Vec<u8>, String>,
    accesses: Result<Vec<Access>, String>,
    /// Of each stream.
    tls: Vec<Option<Result<TlsPem, String>>>,
}

impl Seen {
    fn has_failed(&self) -> bool {
        let tls = self.tls.iter().flatten().any(Result::is_err);
        self.file.is_err() || self.accesses.is_err() || tls
    }
}

/// Looks at the files of a running receiver.
pub struct Watcher {
    path: PathBuf,
    /// As the process started with it.
    started: ReceiverConfig,
    /// The newest that could be used.
    current: ReceiverConfig,
    accesses: Vec<Access>,
    streams: Vec<Arc<StreamHandle>>,
    shards: Shards,
    follower: Follower,
    state: Arc<Mutex<ConfigState>>,
    seen: Option<Seen>,
}

impl Watcher {
    /// A watcher of a receiver that has just started with this configuration.
    pub fn new(
        path: PathBuf,
        started: ReceiverConfig,
        accesses: Vec<Access>,
        streams: Vec<Arc<StreamHandle>>,
        (shards, follower): (Shards, Follower),
        state: Arc<Mutex<ConfigState>>,
    ) -> Watcher {
        let current = started.clone();
        let mut watcher =
            Watcher { path, current, started, accesses, streams, shards, follower, state, seen: None };
        let seen = watcher.read();
        // What has changed since the start is seen as a change by the first look.
        let hash = seen.file.as_ref().map(|bytes| hash_of(bytes));
        if hash.as_ref() == Ok(&lock(&watcher.state).hash) && seen.accesses.as_ref() == Ok(&watcher.accesses)
        {
            watcher.seen = Some(seen);
        }
        watcher
    }

    /// Looks for the life of the process: every two seconds, and at once when `wake` says so.
    pub fn watch(mut self, wake: &Receiver<()>) {
        loop {
            match wake.recv_timeout(LOOK_EVERY) {
                Ok(()) => {
                    tracing::info!("SIGHUP: looking at the configuration and the dictionaries");
                    self.follower.look();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK_EVERY),
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let mut seen = self.read();
        if self.seen.as_ref() == Some(&seen) {
            return;
        }
        if seen.has_failed() || self.check(&seen).is_err() {
            std::thread::sleep(WRITTEN_WITHIN);
            seen = self.read();
        }
        self.take_over(&seen);
        self.seen = Some(seen);
    }

    fn read(&self) -> Seen {
        let file = config::read(&self.path).map_err(|error| error.to_string());
        let parsed = file.as_ref().ok().and_then(|bytes| config::parse(&self.path, bytes).ok());
        let clickhouse = parsed.as_ref().map_or(&self.current.clickhouse, |(config, _)| &config.clickhouse);
        let tls_of = |stream: &Arc<StreamHandle>| {
            let tls = stream.config.tls.as_ref().filter(|_| stream.tls.is_some())?;
            Some(TlsPem::read(tls).map_err(|error| error.to_string()))
        };
        Seen {
            accesses: config::accesses(clickhouse).map_err(|error| error.to_string()),
            tls: self.streams.iter().map(tls_of).collect(),
            file,
        }
    }

    /// Everything that the file says, if all of it can be used.
    fn check(&self, seen: &Seen) -> Result<Checked, String> {
        let text = |error: ConfigError| error.to_string();
        let bytes = seen.file.clone()?;
        let (config, unknown) = config::parse(&self.path, &bytes).map_err(text)?;
        let networks = config::networks(&config).map_err(text)?;
        let cpu_missing =
            cpu::missing(&config.cpu_features, config.cpu_policy).map_err(|error| error.to_string())?;
        let accesses = seen.accesses.clone()?;
        Ok(Checked { config, unknown, networks, cpu_missing, accesses, hash: hash_of(&bytes) })
    }

    fn take_over(&mut self, seen: &Seen) {
        let mut problems = Vec::new();
        let mut restart = Vec::new();
        let mut hash = None;
        match self.check(seen).and_then(|checked| self.reach(&checked).map(|()| checked)) {
            Ok(checked) => {
                restart = config::restart_differences(&self.started, &checked.config);
                hash = Some(checked.hash.clone());
                self.apply(checked, &mut problems);
            }
            Err(problem) => problems.push(problem),
        }
        self.take_over_certificates(seen, &mut problems);
        self.tell(&problems, &restart, hash);
    }

    /// Goes to the servers in the new way from now on, if there is one. What is closed gets nothing new from
    /// here on, so before the hash says so.
    fn reach(&self, checked: &Checked) -> Result<(), String> {
        let closed = &checked.config.clickhouse.closed_shards;
        if checked.accesses == self.accesses && *closed == self.current.clickhouse.closed_shards {
            return Ok(());
        }
        let replaced = self.shards.replace(&checked.accesses, closed);
        replaced.map_err(|error| ConfigError::from(error).to_string())
    }

    fn apply(&mut self, checked: Checked, problems: &mut Vec<String>) {
        let Checked { config, unknown, mut networks, cpu_missing, accesses, hash: _ } = checked;
        if accesses != self.accesses {
            for (shard, access) in accesses.iter().enumerate() {
                tracing::info!(
                    shard,
                    url = access.url,
                    user = access.user,
                    "ClickHouse is reached in another way from now on"
                );
            }
            self.accesses = accesses;
        }
        for stream in &self.streams {
            let of = (stream.dpi, stream.config.name.clone());
            if let Some(networks) = networks.remove(&of) {
                stream.allowed.replace(networks);
            }
            let Some(dpi) = config.dpis.iter().find(|dpi| dpi.id == stream.dpi) else { continue };
            if let Err(error) = apply_dpi(stream, dpi) {
                problems.push(format!(
                    "dpi {} {}: the journal cannot be forced to the disk: {error}",
                    of.0, of.1
                ));
            }
            if let Err(error) = stream.start_inserters() {
                problems.push(format!("dpi {} {}: a thread cannot be started: {error}", of.0, of.1));
            }
        }
        if config.enrichment != self.current.enrichment {
            self.follower.set_settings(config.enrichment);
        }
        note_unknown(&unknown);
        warn_of_missing(config.cpu_policy, &cpu_missing);
        lock(&self.state).cpu_missing = shown(config.cpu_policy, cpu_missing);
        self.current = config;
    }

    fn take_over_certificates(&self, seen: &Seen, problems: &mut Vec<String>) {
        let before = self.seen.as_ref().map(|seen| seen.tls.as_slice()).unwrap_or_default();
        for (index, (stream, pem)) in self.streams.iter().zip(&seen.tls).enumerate() {
            let (Some(tls), Some(pem)) = (&stream.tls, pem) else { continue };
            let in_force = before.get(index).and_then(Option::as_ref) == Some(pem);
            let replaced = match pem {
                // Tried again also if it has not changed: it may be why we are here.
                Ok(pem) => tls.replace(pem).map_err(|error| error.to_string()),
                Err(error) => Err(error.clone()),
            };
            match replaced {
                Ok(()) if in_force => {}
                Ok(()) => tracing::info!(
                    dpi = stream.dpi,
                    stream = stream.config.name,
                    "the certificate files have changed: new connections get the new ones"
                ),
                Err(error) => problems.push(format!("dpi {} {}: {error}", stream.dpi, stream.config.name)),
            }
        }
    }

    fn tell(&self, problems: &[String], restart: &[String], hash: Option<String>) {
        let mut state = lock(&self.state);
        let mut errors = problems.to_vec();
        if !restart.is_empty() {
            errors.push(format!("{TAKES_A_RESTART}{}", restart.join(", ")));
        }
        state.error = (!errors.is_empty()).then(|| errors.join("; "));
        match (problems.is_empty(), restart.is_empty()) {
            (false, _) => {
                state.invalid += 1;
                tracing::error!(
                    problem = problems.join("; "),
                    "the configuration cannot be used as it is now: what was in force stays"
                );
            }
            (true, false) => {
                state.restart += 1;
                tracing::warn!(
                    fields = restart.join(", "),
                    "a part of the configuration takes a restart; the rest is in force"
                );
            }
            (true, true) => {
                state.applied += 1;
                tracing::info!("the configuration was taken over");
            }
        }
        if let Some(hash) = hash
            && errors.is_empty()
        {
            state.hash = hash;
        }
    }
}

/// A configuration of which everything can be used.
struct Checked {
    config: ReceiverConfig,
    unknown: Vec<String>,
    networks: std::collections::BTreeMap<(u16, String), Vec<crds::Network>>,
    cpu_missing: Vec<String>,
    accesses: Vec<Access>,
    hash: String,
}

fn apply_dpi(stream: &StreamHandle, dpi: &DpiConfig) -> std::io::Result<()> {
    let max_delay = Duration::from_millis(dpi.max_delay_ms);
    stream.pipelines().for_each(|pipeline| pipeline.set_max_delay(max_delay));
    stream.aggregators.iter().for_each(|aggregator| aggregator.set_flush_after(flush_after(dpi)));
    stream.journal.quota().resize(dpi.journal.quota_bytes);
    let (fsync, keep_after_commit) = durability(&dpi.journal);
    stream.journal.set_durability(fsync, keep_after_commit)
}

/// Says once what a newer program has said to us in vain.
pub fn note_unknown(unknown: &[String]) {
    if !unknown.is_empty() && log_limit::allow("unknown configuration") {
        tracing::warn!(
            fields = unknown.join(", "),
            "fields of the configuration are not known to this version and are ignored"
        );
    }
}

/// Missing features as the status shows them.
pub fn shown(policy: NodePolicy, missing: Vec<String>) -> Vec<String> {
    if policy == NodePolicy::Ignore { Vec::new() } else { missing }
}

/// Warns of missing features unless they do not count.
pub fn warn_of_missing(policy: NodePolicy, missing: &[String]) {
    if policy != NodePolicy::Ignore && !missing.is_empty() {
        let cpu: &dyn Display = &cpu::model();
        tracing::warn!(%cpu, missing = missing.join(", "), "the CPU lacks features that are wanted");
    }
}
