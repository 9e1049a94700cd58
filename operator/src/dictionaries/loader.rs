//! The loader of each collector, kept between reconciles: it remembers what was tried. It computes for a while
//! where files are large, so it never runs on a thread that others wait for. A password stays in here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dictionaries::{Gatherer, Loader, LoaderError, Object, Report};
use tokio::runtime::Handle;

use super::objects::Wanted;
use crate::collector::dereference::Credentials;

/// The longest that one look may take: a version that is not complete by then is begun again.
const WITHIN: Duration = Duration::from_secs(1_800);
/// Pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause after failures.
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// Why nothing was looked at.
#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    /// The address or the certificates.
    #[error(transparent)]
    Connect(#[from] schema::ConnectError),
    /// ClickHouse's answer.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The server took too long.
    #[error("ClickHouse has not taken the dictionaries within {} s", WITHIN.as_secs())]
    TimedOut,
    /// The thread is gone: the process ends.
    #[error("the look at dictionaries was broken off: {0}")]
    BrokenOff(#[from] tokio::task::JoinError),
}

/// Which database, and how to log in to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Address of the server.
    pub url: String,
    /// The database.
    pub database: String,
    /// User, password and authority.
    pub credentials: Credentials,
}

struct Kept {
    login: Login,
    loader: Loader,
    gatherer: Gatherer,
}

type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// A server of a collector: its uid, number of the shard.
type ServerKey = (String, u32);

/// The loaders of all collectors, one for each server.
#[derive(Default)]
pub struct Loaders {
    slots: Mutex<HashMap<ServerKey, Slot>>,
    loaded: Mutex<HashSet<ServerKey>>,
    failures: Mutex<HashMap<String, u32>>,
}

impl Loaders {
    /// Makes the dictionaries on one server of a collector what `wanted` says.
    ///
    /// # Errors
    /// Nothing could be looked at; what is wrong with single objects is in their reports.
    pub async fn cycle(
        &self,
        collector: &str,
        shard: u32,
        login: Login,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<Report>, CycleError> {
        let key = (collector.to_owned(), shard);
        let slot = lock(&self.slots).entry(key.clone()).or_default().clone();
        let handle = Handle::current();
        let computing = tokio::task::spawn_blocking(move || {
            handle.block_on(async {
                match tokio::time::timeout(WITHIN, cycle(slot, login, wanted)).await {
                    Ok(reports) => reports,
                    Err(_) => Err(CycleError::TimedOut),
                }
            })
        });
        let reports = computing.await??;
        // What is wrong with an object is wrong on every server: nobody waits for it.
        lock(&self.loaded).insert(key);
        Ok(reports)
    }

    /// Whether a server of a collector has had its dictionaries since we run.
    pub fn is_loaded(&self, collector: &str, shard: u32) -> bool {
        lock(&self.loaded).contains(&(collector.to_owned(), shard))
    }

    /// A server has gone: one that comes in its place has nothing yet.
    pub fn forget(&self, collector: &str, shard: u32) {
        let key = (collector.to_owned(), shard);
        lock(&self.loaded).remove(&key);
        lock(&self.slots).remove(&key);
    }

    /// Another failure of a collector: how long to wait.
    pub fn pause_after_failure(&self, collector: &str) -> Duration {
        let mut failures = lock(&self.failures);
        let count = failures.entry(collector.to_owned()).or_default();
        *count = count.saturating_add(1);
        pause(*count)
    }

    /// A collector's dictionaries were looked at.
    pub fn succeeded(&self, collector: &str) {
        lock(&self.failures).remove(collector);
    }

    /// Forgets collectors that are gone, and what their sources held.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        lock(&self.slots).retain(|(collector, _), _| is_there(collector));
        lock(&self.loaded).retain(|(collector, _)| is_there(collector));
        lock(&self.failures).retain(|collector, _| is_there(collector));
    }
}

async fn cycle(slot: Slot, login: Login, wanted: Vec<Wanted>) -> Result<Vec<Report>, CycleError> {
    let mut slot = slot.lock().await;
    let kept = match slot.take() {
        Some(kept) if kept.login == login => kept,
        _ => new(login)?,
    };
    let kept = slot.insert(kept);
    kept.gatherer.retain(|name| wanted.iter().any(|object| object.name == name));
    let mut objects: BTreeMap<&'static str, Vec<Object>> = BTreeMap::new();
    for Wanted { name, dictionary, dpis, on_error, origin, .. } in wanted {
        let content = kept.gatherer.content(&name, dictionary, origin).await;
        objects.entry(dictionary.name).or_default().push(Object { name, dpis, on_error, content });
    }
    Ok(kept.loader.cycle(&objects).await?)
}

fn new(login: Login) -> Result<Kept, CycleError> {
    let Credentials { user, password, ca } = &login.credentials;
    let client = schema::connect(&login.url, user, password, ca.as_deref())?;
    let loader = Loader::new(client.clone(), &login.database, user, password);
    Ok(Kept { loader, gatherer: Gatherer::new(client), login })
}

fn pause(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    FIRST_PAUSE.saturating_mul(doubled).min(LAST_PAUSE)
}

/// A poisoned lock only means that another task panicked between two plain assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let seconds: Vec<u64> = [1, 2, 3, 4, 5, u32::MAX].map(|count| pause(count).as_secs()).to_vec();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn failures_are_counted_for_each_collector() {
        let loaders = Loaders::default();
        assert_eq!(loaders.pause_after_failure("a"), FIRST_PAUSE);
        assert_eq!(loaders.pause_after_failure("a"), FIRST_PAUSE * 2);
        assert_eq!(loaders.pause_after_failure("b"), FIRST_PAUSE);
        loaders.succeeded("a");
        assert_eq!(loaders.pause_after_failure("a"), FIRST_PAUSE);
        loaders.retain(|collector| collector == "a");
        assert_eq!(loaders.pause_after_failure("b"), FIRST_PAUSE);
    }
}
