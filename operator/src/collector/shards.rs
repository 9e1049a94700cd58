//! Which servers a collector's rows are on, which get new ones, and which still have to go. Pure.
//!
//! A server takes rows from the moment when all servers have their tables, and from then on it is *in use*: it stays
//! in the configuration of receivers and in the cluster also while it is away, until it was emptied or given up. The
//! object's status remembers it. Servers in use are always the first so many: a shard's number is its place.

use std::collections::BTreeMap;

use crds::Dpi;
use crds::clickhouse::ClickHouseKind;
use crds::collector::QoeCollectorSpec;
use crds::managed::shard_url;
use crds::receiver::{ClickHouseTarget, ReceiverConfig, hash_of};
use crds::status::ShardState;
use k8s_openapi::api::core::v1::ConfigMap;

use super::build::CONFIG_KEY;
use super::receivers::Seen;
use super::validated::ClickHouseEndpoint;

/// The servers of a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shards {
    /// Addresses of all: those that are wanted, and behind them those that still have to go.
    pub urls: Vec<String>,
    /// How many the object asks for.
    pub wanted: u32,
    /// How many of them hold rows, or may.
    pub in_use: u32,
}

impl Shards {
    /// What the object asks for, and what its status remembers.
    pub fn of(spec: &QoeCollectorSpec, namespace: &str, name: &str, known: &[ShardState]) -> Shards {
        let mut urls: Vec<String> = match spec.clickhouse.kind() {
            Some(ClickHouseKind::Managed(managed)) => {
                (0..managed.shards).map(|shard| shard_url(name, namespace, shard)).collect()
            }
            Some(ClickHouseKind::External(external)) => external.endpoints.clone(),
            Some(ClickHouseKind::Embedded(_)) | None => Vec::new(),
        };
        let wanted = count(urls.len());
        let remembered = known.iter().take_while(|shard| shard.in_use);
        let in_use = count(remembered.clone().count()).max(1);
        for shard in remembered.skip(urls.len()) {
            urls.push(shard.url.clone().unwrap_or_default());
        }
        Shards { urls, wanted, in_use }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        count(self.urls.len())
    }

    /// Addresses of those that receivers know.
    pub fn urls_in_use(&self) -> impl Iterator<Item = &String> {
        self.urls.iter().take(self.in_use as usize)
    }

    /// Numbers of those that have to go.
    pub fn leaving(&self) -> impl Iterator<Item = u32> + use<> {
        self.wanted..self.in_use
    }

    /// Rows are on several servers, or are to be.
    pub fn is_shared(&self) -> bool {
        self.wanted.max(self.in_use) > 1
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// What a receiver was told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Hash of its configuration, as it will report it.
    pub hash: String,
    /// Where it stores.
    pub target: ClickHouseTarget,
}

/// Reads what a receiver was told from the ConfigMap that is mounted.
pub fn told(config_map: &ConfigMap) -> Option<Told> {
    let json = config_map.data.as_ref()?.get(CONFIG_KEY)?;
    let config = serde_json::from_str::<ReceiverConfig>(json).ok()?;
    Some(Told { hash: hash_of(json.as_bytes()), target: config.clickhouse })
}

/// Whether receivers have to stay as they are: what is wanted would send one to other servers than it stores on now,
/// and it is not known yet (`ready`) that these have our tables. What is bound to a server must not go to one that
/// happens to have its number, nor to a database that is not ours.
pub fn are_held(
    config_maps: &BTreeMap<String, ConfigMap>,
    wanted: &ClickHouseEndpoint,
    ready: &[bool],
) -> bool {
    let known = 1 + count(wanted.further_shards.len());
    let goes_elsewhere = |live: &ClickHouseTarget| {
        let addresses = (&live.url, &live.further_shards, &live.database);
        addresses != (&wanted.url, &wanted.further_shards, &wanted.database)
    };
    !are_ours(ready, known) && config_maps.values().filter_map(told).any(|told| goes_elsewhere(&told.target))
}

/// Whether the first `known` servers have our tables.
pub fn are_ours(ready: &[bool], known: u32) -> bool {
    let known = known as usize;
    ready.len() >= known && ready.iter().take(known).all(|ready| *ready)
}

/// The first receiver that should answer and does not, in words.
pub fn silent(
    dpis: &[Dpi],
    seen: &BTreeMap<u16, Seen>,
    has_receiver: impl Fn(u16) -> bool,
) -> Option<String> {
    for dpi in dpis.iter().filter(|dpi| has_receiver(dpi.id)) {
        let answer = seen.get(&dpi.id).and_then(|seen| seen.status.as_ref());
        if !matches!(answer, Some(Ok(_))) {
            return Some(format!("the receiver of DPI {} does not answer", dpi.id));
        }
    }
    None
}

/// Why something may still be sent to a shard, in words; `None`: every receiver has taken over that it is closed, and
/// all that was bound to it is settled.
pub fn under_way(
    dpis: &[Dpi],
    seen: &BTreeMap<u16, Seen>,
    has_receiver: impl Fn(u16) -> bool,
    told: impl Fn(u16) -> Option<Told>,
    shard: u32,
) -> Option<String> {
    if let Some(silent) = silent(dpis, seen, &has_receiver) {
        return Some(silent);
    }
    for dpi in dpis.iter().filter(|dpi| has_receiver(dpi.id)) {
        let answer = seen.get(&dpi.id).and_then(|seen| seen.status.as_ref());
        let Some(Ok(status)) = answer else { continue };
        // Receivers before 0.5 know one server and cannot tell.
        if status.shards.is_empty() {
            continue;
        }
        // What it says may be older than what it was told.
        let state = status.shards.iter().find(|state| state.shard == shard);
        let is_told = told(dpi.id).is_some_and(|told| told.hash == status.config_hash);
        if !is_told || state.is_some_and(|state| !state.closed) {
            return Some(format!("the receiver of DPI {} has not closed it yet", dpi.id));
        }
        let unsettled = state.map_or(0, |state| state.unsettled);
        if unsettled > 0 {
            return Some(format!("the receiver of DPI {} has {unsettled} inserts under way", dpi.id));
        }
    }
    None
}

/// Shards that receivers are told to bind nothing new to, by their live configurations.
pub fn closed(config_maps: &BTreeMap<String, ConfigMap>) -> Vec<u32> {
    config_maps.values().filter_map(told).flat_map(|told| told.target.closed_shards).collect()
}

/// Whether what is bound to a shard waits because the server takes nothing.
pub fn takes_nothing(seen: &BTreeMap<u16, Seen>, shard: u32) -> bool {
    let answers = seen.values().filter_map(|seen| seen.status.as_ref()?.as_ref().ok());
    let mut states = answers.flat_map(|status| &status.shards).filter(|state| state.shard == shard);
    states.any(|state| state.unsettled > 0 && state.last_error.is_some())
}

/// How what is said of one of several servers begins.
pub fn prefix(servers: usize, shard: u32) -> String {
    if servers > 1 { format!("shard {shard}: ") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use crds::receiver::{ShardStatus, Status};

    use super::*;

    fn spec(clickhouse: &str) -> QoeCollectorSpec {
        let text = format!(
            "{{apiVersion: qoeplane.io/v1alpha1, kind: QoeCollector, metadata: {{name: main}}, spec: {{dpis: [{{id: 0, \
             streams: [{{type: Fullflow, port: 1500, transport: TCP}}]}}], clickhouse: {clickhouse}}}}}"
        );
        crds::load::documents(&text, "test").unwrap().collectors.remove(0).spec
    }

    fn state(shard: u32, in_use: bool) -> ShardState {
        ShardState { shard, in_use, url: Some(format!("http://old-{shard}:8123")), ..ShardState::default() }
    }

    #[test]
    fn a_shard_is_remembered_until_it_is_given_up() {
        let managed = |shards: u32| spec(&format!("{{managed: {{shards: {shards}}}}}"));
        let new = Shards::of(&managed(1), "qoe", "main", &[]);
        let first = "http://main-clickhouse-0-0.main-clickhouse-shards.qoe.svc:8123".to_owned();
        assert_eq!((new.urls, new.wanted, new.in_use), (vec![first], 1, 1));

        let growing = Shards::of(&managed(3), "qoe", "main", &[state(0, true), state(1, false)]);
        assert_eq!((growing.count(), growing.in_use, growing.is_shared()), (3, 1, true));
        assert_eq!(growing.leaving().count(), 0);

        let all = [state(0, true), state(1, true), state(2, true)];
        let fewer = Shards::of(&managed(1), "qoe", "main", &all);
        assert_eq!((fewer.count(), fewer.in_use), (3, 3));
        assert_eq!(fewer.leaving().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(fewer.urls[2], "http://old-2:8123");
    }

    fn target(urls: &[&str]) -> ClickHouseTarget {
        ClickHouseTarget {
            url: urls[0].to_owned(),
            user: String::new(),
            password_file: "password".into(),
            database: "qoestor".to_owned(),
            ca_file: None,
            further_shards: urls[1..].iter().map(|url| (*url).to_owned()).collect(),
            closed_shards: Vec::new(),
        }
    }

    #[test]
    fn receivers_follow_addresses_that_were_found_to_be_ours() {
        let live = |urls: &[&str]| {
            let target = serde_json::to_value(target(urls)).unwrap();
            let config = serde_json::json!({
                "collector": "main", "version": "0.5.0", "data_dir": "/data", "http": "0.0.0.0:1",
                "clickhouse": target, "dpis": [],
            });
            ConfigMap {
                data: Some([(CONFIG_KEY.to_owned(), config.to_string())].into()),
                ..ConfigMap::default()
            }
        };
        let wanted = |urls: &[&str]| {
            let ClickHouseTarget { url, further_shards, database, .. } = target(urls);
            ClickHouseEndpoint {
                url,
                further_shards,
                closed_shards: Vec::new(),
                user: "qoe".to_owned(),
                database,
                credentials_secret: "login".to_owned(),
                ca_secret: None,
            }
        };
        let maps = |all: &[&[&str]]| -> BTreeMap<String, ConfigMap> {
            all.iter().enumerate().map(|(number, urls)| (number.to_string(), live(urls))).collect()
        };
        let held =
            |all: &[&[&str]], urls: &[&str], ready: &[bool]| are_held(&maps(all), &wanted(urls), ready);
        assert!(maps(&[&["a"]]).values().all(|map| told(map).is_some()));
        assert!(!held(&[&["a", "b"]], &["a", "b"], &[false, false]), "they stay where they are");
        assert!(held(&[&["a", "b"]], &["b", "a"], &[false, true]));
        assert!(!held(&[&["a", "b"]], &["b", "a"], &[true, true]));
        assert!(held(&[&["a", "b"], &["c"]], &["a", "b"], &[true, false]), "one is elsewhere");
        assert!(held(&[&["a"]], &["a", "b"], &[true]), "a second that nobody has looked at");
        assert!(!held(&[], &["a"], &[false]), "nobody is anywhere");
    }

    #[test]
    fn a_shard_is_drained_when_every_receiver_says_so() {
        let dpis = spec("{managed: {}}").dpis;
        let answer = |closed: bool, unsettled: u64| Seen {
            pod: None,
            status: Some(Ok(Status {
                config_hash: "new".to_owned(),
                shards: vec![ShardStatus { shard: 1, closed, unsettled, ..ShardStatus::default() }],
                ..Status::default()
            })),
        };
        let told = |hash: &str| Some(Told { hash: hash.to_owned(), target: target(&["a", "b"]) });
        let why = |seen: Seen, told: Option<Told>| {
            under_way(&dpis, &[(0, seen)].into(), |_| true, |_| told.clone(), 1)
        };
        let says =
            |why: Option<String>, words: &str| assert!(why.is_some_and(|why| why.contains(words)), "{words}");
        says(why(answer(false, 0), told("new")), "not closed");
        says(why(answer(true, 0), told("newer")), "not closed");
        says(why(answer(true, 2), told("new")), "2 inserts");
        assert_eq!(why(answer(true, 0), told("new")), None);
        says(why(Seen::default(), told("new")), "DPI 0 does not answer");
        let nobody = |has_receiver: bool| under_way(&dpis, &BTreeMap::new(), |_| has_receiver, |_| None, 1);
        says(nobody(true), "does not answer");
        assert_eq!(nobody(false), None, "it has no receiver yet");
    }
}
