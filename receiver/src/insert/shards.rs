//! All servers that share the tables, and what is bound to each. A range and a flush are bound to one for ever:
//! whoever sends asks here by number. Must never bind anything new to a closed shard, nor forget what is bound; but
//! it does not stay without an open one for ever, whatever became of who closed the last.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use clickhouse::Client;
use crds::receiver::ShardStatus;
use schema::ConnectError;

use super::failure::Failure;
use super::target::{Access, Target};
use crate::journal::lock;

/// All shards are closed while one of them is restarted. Who closed them may be gone before it opens them again: they
/// stay so for so long, and then the first, which is never one that has to go, is open for the rest of an hour. In the
/// next hour whoever wants to restart it has another try.
const ALL_CLOSED_S: u64 = 600;
const CYCLE_S: u64 = 3_600;

/// The shards of a configuration. Clones are the same ones: what is replaced in one is in all.
#[derive(Clone)]
pub struct Shards {
    inner: Arc<Mutex<Inner>>,
    /// The database of all tables.
    pub database: String,
}

#[derive(Default)]
struct Inner {
    shards: Vec<Shard>,
    /// Since when the configuration has no open shard.
    all_closed_since: Option<Instant>,
    /// What is bound, by number: also of shards that are in the configuration no more.
    bound: BTreeMap<u32, Arc<AtomicU64>>,
}

struct Shard {
    access: Access,
    is_closed: bool,
    target: Target,
}

/// Something that is bound to a shard and not known to be stored; it counts as unsettled until it is dropped.
pub struct Bound {
    /// The shard's number.
    pub shard: u32,
    count: Arc<AtomicU64>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shards {
    /// The servers as these credentials reach them, in the order of their numbers; nothing is sent yet.
    pub fn new(accesses: &[Access], closed: &[u32], database: &str) -> Result<Shards, ConnectError> {
        let shards = Shards { inner: Arc::default(), database: database.to_string() };
        shards.replace(accesses, closed)?;
        Ok(shards)
    }

    /// Reaches the servers in these ways from the next request on, and binds nothing more to closed ones. What
    /// was bound before counts as unsettled by now. On an error nothing is changed.
    pub fn replace(&self, accesses: &[Access], closed: &[u32]) -> Result<(), ConnectError> {
        let clients: Vec<Client> = accesses.iter().map(Access::client).collect::<Result<_, _>>()?;
        let mut inner = lock(&self.inner);
        inner.shards.truncate(clients.len());
        for (number, (client, access)) in (0..).zip(clients.into_iter().zip(accesses)) {
            let (access, is_closed) = (access.clone(), closed.contains(&number));
            let Some(shard) = inner.shards.get_mut(number as usize) else {
                let target = Target::of(client, &self.database);
                inner.shards.push(Shard { access, is_closed, target });
                continue;
            };
            if shard.access != access {
                shard.target.replace(client);
                shard.access = access;
            }
            shard.is_closed = is_closed;
        }
        let all_closed = inner.shards.iter().all(|shard| shard.is_closed);
        inner.all_closed_since = all_closed.then(|| inner.all_closed_since.unwrap_or_else(Instant::now));
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(lock(&self.inner).shards.len()).unwrap_or(u32::MAX)
    }

    /// All of them, and whether each is open.
    pub fn all(&self) -> Vec<(Target, bool)> {
        let inner = lock(&self.inner);
        let of = |(number, shard): (u32, &Shard)| (shard.target.clone(), inner.is_open(number, shard));
        (0..).zip(&inner.shards).map(of).collect()
    }

    /// One of them.
    pub fn target(&self, number: u32) -> Result<Target, Failure> {
        match lock(&self.inner).shards.get(number as usize) {
            Some(shard) => Ok(shard.target.clone()),
            None => Err(Failure::Wait(format!(
                "shard {number} is in the configuration no more, but records are bound to it: put it back until they are stored"
            ))),
        }
    }

    /// The next in turn that is open and `may` take something new, and the binding to it.
    pub fn bind_next(&self, turn: &AtomicU32, may: impl Fn(u32, &Target) -> bool) -> Option<(Target, Bound)> {
        let mut inner = lock(&self.inner);
        let count = u32::try_from(inner.shards.len()).unwrap_or(u32::MAX);
        let first = turn.load(Ordering::Relaxed).checked_rem(count)?;
        let number =
            (0..count).map(|step| (first + step) % count).find(|number| inner.takes(*number, &may))?;
        let target = inner.shards.get(number as usize)?.target.clone();
        turn.store((number + 1) % count, Ordering::Relaxed);
        Some((target, inner.bind(number)))
    }

    /// Whether there is one that is open and `may` take something new.
    pub fn is_any_open(&self, may: impl Fn(u32, &Target) -> bool) -> bool {
        let inner = lock(&self.inner);
        (0..).zip(&inner.shards).any(|(number, _)| inner.takes(number, &may))
    }

    /// Binds what an earlier life has bound.
    pub fn bind(&self, number: u32) -> Bound {
        lock(&self.inner).bind(number)
    }

    /// How an error of this shard is told: by its number, if there are several.
    pub fn tell(&self, number: u32, failure: &Failure) -> Failure {
        if self.count() <= 1 {
            return failure.clone();
        }
        match failure {
            Failure::Wait(text) => Failure::Wait(format!("shard {number}: {text}")),
            Failure::Content(text) => Failure::Content(format!("shard {number}: {text}")),
        }
    }

    /// What is told of each, and of those that are gone while something is bound to them.
    pub fn states(&self) -> Vec<ShardStatus> {
        let inner = lock(&self.inner);
        let bound = |number: &u32| inner.bound.get(number).map_or(0, |count| count.load(Ordering::SeqCst));
        let mut states: Vec<ShardStatus> = (0..)
            .zip(&inner.shards)
            .map(|(number, shard)| ShardStatus {
                shard: number,
                url: shard.access.url.clone(),
                closed: !inner.is_open(number, shard),
                unsettled: bound(&number),
                last_error: shard.target.trouble(),
            })
            .collect();
        let known = states.len();
        for number in inner.bound.keys().filter(|number| **number as usize >= known && bound(number) > 0) {
            states.push(ShardStatus {
                shard: *number,
                url: String::new(),
                closed: true,
                unsettled: bound(number),
                last_error: Some("it is in the configuration no more".to_string()),
            });
        }
        states
    }
}

impl Inner {
    fn takes(&self, number: u32, may: impl Fn(u32, &Target) -> bool) -> bool {
        let shard = self.shards.get(number as usize);
        shard.is_some_and(|shard| self.is_open(number, shard) && may(number, &shard.target))
    }

    fn is_open(&self, number: u32, shard: &Shard) -> bool {
        let too_long =
            self.all_closed_since.is_some_and(|since| since.elapsed().as_secs() % CYCLE_S >= ALL_CLOSED_S);
        !shard.is_closed || (number == 0 && too_long)
    }

    fn bind(&mut self, shard: u32) -> Bound {
        let count = self.bound.entry(shard).or_default().clone();
        count.fetch_add(1, Ordering::SeqCst);
        Bound { shard, count }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn access(number: u32) -> Access {
        let url = format!("http://127.0.0.1:{}", 1000 + number);
        Access { url, user: "qoe".to_string(), password: String::new(), ca: None }
    }

    fn accesses(count: u32) -> Vec<Access> {
        (0..count).map(access).collect()
    }

    fn unsettled(shards: &Shards) -> Vec<(u32, bool, u64)> {
        shards.states().iter().map(|state| (state.shard, state.closed, state.unsettled)).collect()
    }

    #[test]
    fn what_is_new_goes_to_open_shards_in_turn() {
        let shards = Shards::new(&accesses(3), &[1], "d").unwrap();
        let turn = AtomicU32::new(1);
        let mut bound = Vec::new();
        for expected in [2, 0, 2, 0] {
            let (_, next) = shards.bind_next(&turn, |_, _| true).unwrap();
            assert_eq!(next.shard, expected);
            bound.push(next);
        }
        assert_eq!(shards.bind_next(&turn, |number, _| number == 0).unwrap().1.shard, 0);
        assert!(shards.bind_next(&turn, |number, _| number == 1).is_none());
        assert_eq!(unsettled(&shards), [(0, false, 2), (1, true, 0), (2, false, 2)]);
        bound.clear();
        assert_eq!(unsettled(&shards), [(0, false, 0), (1, true, 0), (2, false, 0)]);
    }

    #[test]
    fn what_is_bound_is_told_when_its_shard_is_closed_or_gone() {
        let shards = Shards::new(&accesses(2), &[], "d").unwrap();
        let bound = shards.bind(1);
        shards.replace(&accesses(2), &[1]).unwrap();
        assert_eq!(unsettled(&shards), [(0, false, 0), (1, true, 1)]);
        shards.replace(&accesses(1), &[]).unwrap();
        assert_eq!(unsettled(&shards), [(0, false, 0), (1, true, 1)]);
        assert!(shards.target(1).is_err_and(|failure| failure.to_string().starts_with("shard 1 ")));
        shards.replace(&accesses(3), &[]).unwrap();
        assert!(shards.target(1).is_ok());
        drop(bound);
        assert_eq!(unsettled(&shards), [(0, false, 0), (1, false, 0), (2, false, 0)]);
    }

    #[test]
    fn nobody_keeps_all_closed_for_ever() {
        let shards = Shards::new(&accesses(2), &[0, 1], "d").unwrap();
        let turn = AtomicU32::new(0);
        assert!(shards.bind_next(&turn, |_, _| true).is_none());
        let closed_for = |seconds: u64| {
            lock(&shards.inner).all_closed_since = Instant::now().checked_sub(Duration::from_secs(seconds));
            shards.replace(&accesses(2), &[0, 1]).unwrap();
            shards.bind_next(&turn, |_, _| true).is_none()
        };
        assert!(closed_for(ALL_CLOSED_S - 5) && closed_for(CYCLE_S + 5));
        assert!(!closed_for(ALL_CLOSED_S) && !closed_for(CYCLE_S - 5));
        assert_eq!(shards.bind_next(&turn, |_, _| true).unwrap().1.shard, 0);
        assert_eq!(unsettled(&shards), [(0, false, 0), (1, true, 0)]);
        shards.replace(&accesses(2), &[1]).unwrap();
        shards.replace(&accesses(2), &[0, 1]).unwrap();
        assert!(shards.bind_next(&turn, |_, _| true).is_none(), "it has begun anew");
    }

    #[test]
    fn a_configuration_that_cannot_be_used_changes_nothing() {
        let shards = Shards::new(&accesses(1), &[], "d").unwrap();
        let wrong = Access { url: String::new(), ..access(1) };
        assert!(shards.replace(&[access(0), wrong], &[0]).is_err());
        assert_eq!(unsettled(&shards), [(0, false, 0)]);
    }
}
