//! What every reconcile shares. Holds no state of objects except what can be found out again.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use kube::Client;
use kube::runtime::reflector::Store;

use crate::collector::fits::Samples;
use crate::collector::losses::Losses;
use crate::controllers::GuardedCollector;
use crate::dictionaries::{Book, Loaders};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::options::Options;

/// The key of an owned object: kind, namespace, name.
pub type ObjectKey = (&'static str, String, String);

/// A volume of a server: uid of the collector, number of the shard, name of the volume.
type VolumeKey = (String, u32, String);

/// On which servers of a collector the tables are there, and ours.
struct Tables {
    generation: i64,
    ready: Vec<bool>,
}

/// What our last apply of an object sent and returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Hash of what was sent.
    pub hash: String,
    /// The resourceVersion that came back.
    pub resource_version: String,
}

/// Shared by all reconciles.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// How the process was started.
    pub options: Options,
    /// Tells people.
    pub events: Events,
    /// Tells machines.
    pub metrics: Arc<Metrics>,
    /// What became of dictionaries.
    pub book: Book,
    /// Who brings them into ClickHouse.
    pub loaders: Loaders,
    collectors: OnceLock<Store<GuardedCollector>>,
    applied: Mutex<HashMap<ObjectKey, Applied>>,
    losses: Mutex<HashMap<(String, u16), Losses>>,
    volumes: Mutex<HashMap<VolumeKey, Samples>>,
    tables: Mutex<HashMap<String, Tables>>,
    foreign: Mutex<HashSet<String>>,
    reconciles: AtomicU64,
}

impl Context {
    /// Nothing is remembered yet.
    pub fn new(client: Client, options: Options, metrics: Arc<Metrics>) -> Context {
        let events = Events::new(client.clone(), &options.identity);
        Context {
            client,
            options,
            events,
            metrics,
            book: Book::default(),
            loaders: Loaders::default(),
            collectors: OnceLock::new(),
            applied: Mutex::default(),
            losses: Mutex::default(),
            volumes: Mutex::default(),
            tables: Mutex::default(),
            foreign: Mutex::default(),
            reconciles: AtomicU64::new(1),
        }
    }

    /// Says where collectors are found.
    pub fn set_collectors(&self, collectors: Store<GuardedCollector>) {
        // There is one store for as long as we run.
        let _ = self.collectors.set(collectors);
    }

    /// All collectors that there are, once that is known.
    pub async fn collectors(&self) -> Vec<Arc<GuardedCollector>> {
        let Some(store) = self.collectors.get() else { return Vec::new() };
        match store.wait_until_ready().await {
            Ok(()) => store.state(),
            // The watch has ended, and the process does.
            Err(_) => Vec::new(),
        }
    }

    /// A number for the next reconcile, to find its lines in the log.
    pub fn reconcile_id(&self) -> u64 {
        self.reconciles.fetch_add(1, Ordering::Relaxed)
    }

    /// What the last apply of an object sent and returned, if this process has applied it.
    pub fn applied(&self, key: &ObjectKey) -> Option<Applied> {
        lock(&self.applied).get(key).cloned()
    }

    /// Remembers an apply.
    pub fn set_applied(&self, key: ObjectKey, applied: Applied) {
        lock(&self.applied).insert(key, applied);
    }

    /// Forgets an object that was deleted.
    pub fn forget_applied(&self, key: &ObjectKey) {
        lock(&self.applied).remove(key);
    }

    /// Records how many records the receiver of a DPI has lost in all; returns how many of them within the
    /// last hour.
    pub fn lost_lately(&self, uid: &str, dpi: u16, lost: u64) -> u64 {
        lock(&self.losses).entry((uid.to_owned(), dpi)).or_default().observe(Instant::now(), lost)
    }

    /// Records how many bytes are free on a volume.
    pub fn observe_free(&self, uid: &str, shard: u32, volume: &str, free: u64) {
        let key = (uid.to_owned(), shard, volume.to_owned());
        lock(&self.volumes).entry(key).or_default().observe(Instant::now(), free);
    }

    /// In how many hours a volume is full, if it fills.
    pub fn hours_left(&self, uid: &str, shard: u32, volume: &str) -> Option<f64> {
        lock(&self.volumes).get(&(uid.to_owned(), shard, volume.to_owned()))?.hours_left()
    }

    /// Notes on which servers the tables are there, by what an object said at some generation.
    pub fn set_tables(&self, uid: &str, generation: i64, ready: Vec<bool>) {
        lock(&self.tables).insert(uid.to_owned(), Tables { generation, ready });
    }

    /// On which servers the tables are there; `None`: nobody has looked since the object changed.
    pub fn tables(&self, uid: &str, generation: i64) -> Option<Vec<bool>> {
        let tables = lock(&self.tables);
        tables.get(uid).filter(|tables| tables.generation == generation).map(|tables| tables.ready.clone())
    }

    /// Nobody looks at the tables of a collector for now.
    pub fn forget_tables(&self, uid: &str) {
        lock(&self.tables).remove(uid);
    }

    /// Notes whether a database that a collector names was somebody else's when it said so last.
    pub fn set_foreign(&self, uid: &str, is_foreign: bool) {
        let mut foreign = lock(&self.foreign);
        if is_foreign {
            foreign.insert(uid.to_owned());
        } else {
            foreign.remove(uid);
        }
    }

    /// What was noted so.
    pub fn is_foreign(&self, uid: &str) -> bool {
        lock(&self.foreign).contains(uid)
    }

    /// Forgets which collectors are gone.
    pub fn retain_tables(&self, is_there: impl Fn(&str) -> bool) {
        lock(&self.tables).retain(|uid, _| is_there(uid));
        lock(&self.foreign).retain(|uid| is_there(uid));
    }

    /// Forgets a collector that was deleted.
    pub fn forget_collector(&self, uid: &str, namespace: &str, name: &str) {
        lock(&self.losses).retain(|key, _| key.0 != uid);
        lock(&self.volumes).retain(|key, _| key.0 != uid);
        let prefixes = [format!("{name}-dpi-"), format!("{name}-clickhouse")];
        let is_its_own = |key: &ObjectKey| {
            key.1 == namespace && prefixes.iter().any(|prefix| key.2.starts_with(prefix.as_str()))
        };
        lock(&self.applied).retain(|key, _| !is_its_own(key));
    }
}

/// A poisoned lock only means that another task panicked between two plain assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
