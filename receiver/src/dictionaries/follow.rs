//! Follows the database: a thread that asks for the newest versions again and again, and at once when told to. A
//! set of dictionaries is put in force as a whole or not at all; what cannot be fetched is tried again and what is
//! in force stays.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Error as ClickHouseError;
use crds::receiver::EnrichmentConfig;
use schema::{Dictionary, DictionaryVersion};
use tokio::runtime::Handle;

use super::build::{LookUp, build, is_limited};
use super::cache::{Cache, List};
use super::fetch::{FetchError, fetch};
use super::{DictionariesState, Known, NEEDED};
use crate::enrich::Knowledge;
use crate::insert::Shards;
use crate::journal::lock;

/// How often the database is asked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long an answer may take before records stop waiting for it; fetching may take longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long fetching all rows may take.
const FETCH_WITHIN: Duration = Duration::from_secs(600);

/// What the thread is told.
enum Told {
    /// Look now.
    Look,
    /// The settings have changed.
    Settings(EnrichmentConfig),
}

/// Tells the thread.
#[derive(Clone)]
pub struct Follower(Sender<Told>);

/// A dictionary in memory.
struct Held {
    version: DictionaryVersion,
    /// By DPI; one for all under `None` if no row is limited.
    look_ups: BTreeMap<Option<u16>, LookUp>,
}

struct Thread {
    shards: Shards,
    cache: Cache,
    known: BTreeMap<u16, Arc<Known>>,
    settings: EnrichmentConfig,
    list: List,
    held: BTreeMap<&'static str, Held>,
    state: Arc<Mutex<DictionariesState>>,
    runtime: Handle,
}

/// Why the newest versions are not in force.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("the dictionaries' versions cannot be read: {0}")]
    Versions(ClickHouseError),
    #[error("the database does not answer")]
    Silent,
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{dictionary}: its rows cannot be used: {source}")]
    Build { dictionary: &'static str, source: io::Error },
    #[error("the list of files cannot be written: {0}")]
    List(#[source] io::Error),
}

impl Follower {
    /// Puts in force what an earlier life has left beside the journal, and starts the thread.
    pub fn start(
        data_dir: &Path,
        shards: Shards,
        known: BTreeMap<u16, Arc<Known>>,
        settings: EnrichmentConfig,
        state: Arc<Mutex<DictionariesState>>,
        runtime: Handle,
    ) -> io::Result<Follower> {
        let cache = Cache::open(data_dir)?;
        let mut thread = Thread {
            shards,
            cache,
            known,
            settings,
            list: List::default(),
            held: BTreeMap::new(),
            state,
            runtime,
        };
        thread.start_from_files();
        let (sender, told) = channel();
        std::thread::Builder::new().name("dictionaries".to_string()).spawn(move || thread.follow(&told))?;
        Ok(Follower(sender))
    }

    /// Asks the database now.
    pub fn look(&self) {
        // The thread lives as long as the process.
        let _ = self.0.send(Told::Look);
    }

    /// Enriches by these settings from now on.
    pub fn set_settings(&self, settings: EnrichmentConfig) {
        let _ = self.0.send(Told::Settings(settings));
    }
}

impl Thread {
    fn follow(mut self, told: &Receiver<Told>) {
        loop {
            self.look();
            match told.recv_timeout(LOOK_EVERY) {
                Ok(Told::Settings(settings)) => {
                    self.settings = settings;
                    self.put_in_force();
                }
                Ok(Told::Look) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    fn start_from_files(&mut self) {
        let list = match self.cache.read() {
            Ok(list) => list,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                tracing::warn!(%error, "the dictionaries' files cannot be used and are fetched again");
                return;
            }
        };
        match self.hold(&list) {
            Ok(held) => {
                self.held.extend(held);
                self.list = list;
                self.put_in_force();
            }
            Err(error) => tracing::warn!(%error, "the dictionaries' files are fetched again"),
        }
    }

    fn look(&mut self) {
        let result = self.try_look();
        let error = result.err();
        if let Some(error) = &error {
            // The server has spoken: records are not for it to hold back, and are stored without what it does
            // not give us. One that does not answer takes no records either.
            let answered = matches!(error, LookError::Versions(ClickHouseError::BadResponse(_)));
            if answered && self.known.values().any(|known| known.get().is_none()) {
                self.put_in_force();
            }
            if crate::log_limit::allow("dictionaries") {
                tracing::warn!(%error, "the newest dictionaries are not in force; those before stay");
            }
        }
        lock(&self.state).error = error.map(|error| error.to_string());
    }

    fn try_look(&mut self) -> Result<(), LookError> {
        // Every server has all dictionaries.
        let target = self.shards.target(0).map_err(|_| LookError::Silent)?;
        let (client, database) = (target.client(), target.database.clone());
        let asked = self.runtime.block_on(async {
            tokio::time::timeout(ANSWER_WITHIN, schema::current_versions(&client, &database)).await
        });
        let newest = asked.map_err(|_| LookError::Silent)?.map_err(LookError::Versions)?.unwrap_or_default();
        let number = newest.values().map(|version| version.version).max().unwrap_or(0);
        let never = self.known.values().any(|known| known.get().is_none());
        let is_held = |dictionary: &&Dictionary| {
            let kept = self.list.kept.get(dictionary.name).map(|kept| &kept.version);
            kept == newest.get(dictionary.name)
        };
        if number == self.list.newest && !never && NEEDED.iter().all(is_held) {
            return Ok(());
        }
        let mut list = List { newest: number, kept: BTreeMap::new() };
        for dictionary in NEEDED {
            let Some(version) = newest.get(dictionary.name) else { continue };
            let kept = match self.list.kept.get(dictionary.name) {
                Some(kept) if kept.version == *version => kept.clone(),
                _ => self.fetch(&client, dictionary, version)?,
            };
            list.kept.insert(dictionary.name.to_owned(), kept);
        }
        let held = self.hold(&list)?;
        self.cache.write(&list).map_err(LookError::List)?;
        self.held.extend(held);
        self.held.retain(|name, _| list.kept.contains_key(*name));
        self.list = list;
        self.put_in_force();
        Ok(())
    }

    fn fetch(
        &self,
        client: &Client,
        dictionary: &'static Dictionary,
        version: &DictionaryVersion,
    ) -> Result<super::cache::Kept, LookError> {
        let fetched = fetch(client, &self.shards.database, dictionary, version, &self.cache);
        let fetched = self.runtime.block_on(async { tokio::time::timeout(FETCH_WITHIN, fetched).await });
        Ok(fetched.map_err(|_| LookError::Silent)??)
    }

    /// The look-ups of what is on the list and not held yet.
    fn hold(&self, list: &List) -> Result<BTreeMap<&'static str, Held>, LookError> {
        let mut all = BTreeMap::new();
        for dictionary in NEEDED {
            let Some(kept) = list.kept.get(dictionary.name) else { continue };
            if self.held.get(dictionary.name).is_some_and(|held| held.version == kept.version) {
                continue;
            }
            let path = kept.file.as_deref().map(|file| self.cache.path(file));
            let path = path.as_deref();
            let wrong = |source| LookError::Build { dictionary: dictionary.name, source };
            let limited = match path {
                Some(path) => is_limited(dictionary, path).map_err(wrong)?,
                None => false,
            };
            let dpis: Vec<Option<u16>> =
                if limited { self.known.keys().copied().map(Some).collect() } else { vec![None] };
            let mut look_ups = BTreeMap::new();
            for dpi in dpis {
                look_ups.insert(dpi, build(dictionary, path, kept.version.rows, dpi).map_err(wrong)?);
            }
            all.insert(dictionary.name, Held { version: kept.version.clone(), look_ups });
        }
        Ok(all)
    }

    /// From the next range on, records are enriched by what is held.
    fn put_in_force(&mut self) {
        for (dpi, known) in &self.known {
            let mut knowledge =
                Knowledge { settings: self.settings, version: self.list.newest, ..Knowledge::default() };
            for (name, held) in &self.held {
                let look_up = held.look_ups.get(&Some(*dpi)).or_else(|| held.look_ups.get(&None));
                if let Some(look_up) = look_up {
                    take(&mut knowledge, name, look_up.clone());
                }
            }
            known.set(knowledge);
        }
        let mut state = lock(&self.state);
        state.version = self.list.newest;
        state.rows = self.held.iter().map(|(name, held)| (*name, held.version.rows)).collect();
        state.swaps += 1;
    }
}

fn take(knowledge: &mut Knowledge, name: &str, look_up: LookUp) {
    match (name, look_up) {
        ("asnum_local", LookUp::AsNumbers(numbers)) => knowledge.asnum_local = numbers,
        ("asnum_exclude", LookUp::AsNumbers(numbers)) => knowledge.asnum_exclude = numbers,
        ("subnets_local", LookUp::Prefixes(prefixes)) => knowledge.subnets_local = prefixes,
        ("subnets_exclude", LookUp::Prefixes(prefixes)) => knowledge.subnets_exclude = prefixes,
        (_, LookUp::Logins(logins)) => knowledge.subscribers = logins,
        (_, LookUp::Hosts(hosts)) => knowledge.hosts = hosts,
        (_, LookUp::Channels(channels)) => knowledge.channels = channels,
        (_, LookUp::AsNumbers(_) | LookUp::Prefixes(_)) => {}
    }
}
