//! The ClickHouse side of one reconcile: looks at every server, makes the tables true, and decides which servers take
//! rows, which may be changed, and which may go. What was decided about Kubernetes objects is applied by the caller.

use std::collections::BTreeMap;

use crds::clickhouse::{ClickHouseKind, Managed, OLDEST_SERVER, server_version};
use crds::kubernetes::Collector;
use crds::managed;
use crds::status::{MAX_PENDING_STEPS, MAX_STATEMENT, PendingStep, QoeCollectorStatus, shorten};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::ResourceExt;

use super::build::object_name;
use super::dereference::Found;
use super::facts::{self, is_ready, trouble};
use super::fits::shortages;
use super::leave::{Leave, leave};
use super::receivers::Seen;
use super::schema_step::{self, Servers as SchemaServers};
use super::servers::resources::{IMAGE_ANNOTATION, Servers, ServersResources, in_cluster};
use super::servers::roll::{self, Decision, Server};
use super::servers::{self, SHARD_LABEL};
use super::shards::{self, Shards, Told};
use super::status::{SchemaReport, ServersFacts, ShardFacts};
use super::storage::{self, Policy, Storage};
use crate::context::Context;

/// What was found and decided.
pub struct Step {
    /// The servers, with what was decided about them.
    pub shards: Shards,
    /// Shards that receivers shall bind nothing new to.
    pub closed: Vec<u32>,
    /// The tables.
    pub schema: SchemaReport,
    /// For the status.
    pub facts: ServersFacts,
    /// What our servers become, and what to do with each; `None`: they are somebody else's.
    pub servers: Option<(ServersResources, Vec<Decision>)>,
    /// No server asks those any more that are not wanted.
    pub surplus_may_go: bool,
}

/// Looks, changes tables, decides.
pub async fn step(
    context: &Context,
    object: &Collector,
    about: &ObjectReference,
    found: &Found,
    seen: &BTreeMap<u16, Seen>,
) -> Step {
    let previous = object.status.as_ref();
    let mut shards = shards_of(object);
    let down = down(object, found, &shards);
    let servers = SchemaServers { shards: &shards, credentials: found.clickhouse.as_ref(), down: &down };
    let before = previous.and_then(|previous: &QoeCollectorStatus| previous.schema.as_ref());
    let mut schema = schema_step::converge(context, object, about, servers, before).await;
    let (uid, generation) =
        (object.uid().unwrap_or_default(), object.metadata.generation.unwrap_or_default());
    context.set_tables(&uid, generation, schema.ready_shards.clone());
    let storages = measure(context, object, found, &shards, &schema).await;
    let has_receiver =
        |dpi: u16| found.owned.stateful_sets.contains_key(&object_name(&object.name_any(), dpi));
    let under_way = |shard: u32| {
        shards::under_way(&object.spec.dpis, seen, has_receiver, |dpi| told(found, object, dpi), shard)
    };

    let tables_are_there = admit(context, object, &mut shards, &schema, &storages);
    let mut facts = ServersFacts {
        are_ours: managed_of(object).is_some(),
        shortages: shortages_of(object, &storages),
        ..ServersFacts::default()
    };
    let mut messages = BTreeMap::new();
    give_up(
        context,
        object,
        found,
        &mut shards,
        &storages,
        under_way,
        &mut facts,
        &mut schema,
        &mut messages,
    );

    let mut closed: Vec<u32> = shards.leaving().collect();
    let servers = our_servers(context, object, found, &shards, tables_are_there).map(|built| {
        let states = states(&built, found, &shards, seen, under_way);
        let decisions = roll::decide(&states);
        // One that does not answer would keep a shard closed for all others.
        let silent = shards::silent(&object.spec.dpis, seen, has_receiver);
        let are_closed = shards::closed(&found.owned.config_maps);
        for ((shard, state), decision) in (0_u32..).zip(&states).zip(&decisions) {
            match decision {
                Decision::Drain => {
                    let why = under_way(shard).unwrap_or_default();
                    messages.insert(shard, format!("is going to be restarted: {why}"));
                    if silent.is_none() {
                        closed.push(shard);
                    }
                }
                // Until it is back.
                Decision::Apply if are_closed.contains(&shard) && !state.is_up() => closed.push(shard),
                Decision::Wait => {
                    messages.insert(shard, "waits for its turn to be restarted".to_owned());
                }
                Decision::Apply => {}
            }
        }
        (built, decisions, states)
    });
    closed.retain(|shard| *shard < shards.in_use);
    closed.sort_unstable();
    closed.dedup();
    facts.shards = (0..shards.count())
        .map(|shard| {
            let is_up =
                servers.as_ref().map(|(_, _, states)| states.get(shard as usize).is_some_and(Server::is_up));
            let mut facts = shard_facts(context, object, found, &shards, shard, &storages, &schema, is_up);
            facts.message = messages.remove(&shard).or(facts.message);
            if facts.ready && !facts.in_use {
                facts.message.get_or_insert_with(|| {
                    "takes rows when all servers have tables and dictionaries".to_owned()
                });
            }
            facts
        })
        .collect();
    let size = u64::from(shards.count());
    let surplus_may_go = storages.iter().take(shards.count() as usize).all(|storage| {
        storage.as_ref().and_then(|storage| storage.cluster_size).is_some_and(|known| known <= size)
    });
    let servers = servers.map(|(built, decisions, _)| (built, decisions));
    Step { shards, closed, schema, facts, servers, surplus_may_go }
}

/// The servers as the object and its status name them.
pub fn shards_of(object: &Collector) -> Shards {
    let known = object.status.as_ref().map(|status| status.shards.as_slice()).unwrap_or_default();
    Shards::of(&object.spec, &object.namespace().unwrap_or_default(), &object.name_any(), known)
}

/// What the receiver of a DPI was told last: the hash of its configuration, and the shards that are closed by it.
fn told(found: &Found, object: &Collector, dpi: u16) -> Option<Told> {
    let config_map = found.owned.config_maps.get(&object_name(&object.name_any(), dpi))?;
    shards::told(config_map)
}

/// Servers of ours without a running pod.
fn down(object: &Collector, found: &Found, shards: &Shards) -> Vec<u32> {
    if managed_of(object).is_none() {
        return Vec::new();
    }
    let runs = |shard: u32| {
        pod_of(found, shard).is_some_and(|pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
        })
    };
    (0..shards.count()).filter(|shard| !runs(*shard)).collect()
}

fn pod_of(found: &Found, shard: u32) -> Option<&Pod> {
    let number = shard.to_string();
    found.server_pods.iter().find(|pod| pod.labels().get(SHARD_LABEL) == Some(&number))
}

/// What each server holds; only those are asked that have just answered.
async fn measure(
    context: &Context,
    object: &Collector,
    found: &Found,
    shards: &Shards,
    schema: &SchemaReport,
) -> Vec<Option<Storage>> {
    let policy = Policy::of(&object.spec.clickhouse);
    let cluster = match object.spec.clickhouse.kind() {
        Some(ClickHouseKind::External(external)) => external.cluster.clone().unwrap_or_default(),
        _ => managed::CLUSTER.to_owned(),
    };
    let (database, policy, cluster) = (&object.spec.clickhouse.database, &policy, cluster.as_str());
    let one = async |url: &String, ready: bool| {
        let login = found.clickhouse.as_ref().filter(|_| ready)?;
        let client = schema::connect(url, &login.user, &login.password, login.ca.as_deref()).ok()?;
        storage::measure(&client, database, policy, cluster).await.ok()
    };
    let servers = shards.urls.iter().zip(&schema.ready_shards);
    let storages = futures::future::join_all(servers.map(|(url, ready)| one(url, *ready))).await;
    let uid = object.uid().unwrap_or_default();
    for (shard, storage) in (0_u32..).zip(&storages) {
        for volume in storage.iter().flat_map(|storage| &storage.volumes) {
            context.observe_free(&uid, shard, &volume.name, volume.free);
        }
    }
    storages
}

/// Lets servers take rows that have their tables and dictionaries and are known to all others; returns whether tables
/// and dictionaries are there, so that they may be asked.
fn admit(
    context: &Context,
    object: &Collector,
    shards: &mut Shards,
    schema: &SchemaReport,
    storages: &[Option<Storage>],
) -> bool {
    let uid = object.uid().unwrap_or_default();
    let wanted = shards.wanted as usize;
    let new = shards.in_use..shards.wanted;
    let are_there = schema.ready_shards.len() >= wanted
        && schema.ready_shards.iter().take(wanted).all(|ready| *ready)
        && new.clone().all(|shard| context.loaders.is_loaded(&uid, shard));
    let size = u64::from(shards.wanted);
    let is_known = |storage: &Option<Storage>| {
        storage.as_ref().and_then(|found| found.cluster_size).is_some_and(|known| known >= size)
    };
    if are_there && !new.is_empty() && storages.iter().take(wanted).all(is_known) {
        tracing::info!(from = shards.in_use, to = shards.wanted, "shards take rows from now on");
        shards.in_use = shards.wanted;
    }
    are_there
}

fn shortages_of(object: &Collector, storages: &[Option<Storage>]) -> Option<Vec<String>> {
    let mut all: Option<Vec<String>> = None;
    for (shard, storage) in (0_u32..).zip(storages) {
        let Some(found) = storage.as_ref().and_then(|storage| shortages(storage, &object.spec.tables)) else {
            continue;
        };
        let of = shards::prefix(storages.len(), shard);
        all.get_or_insert_default().extend(found.into_iter().map(|line| format!("{of}{line}")));
    }
    all
}

/// The last server that is not wanted any more goes if it may.
#[allow(clippy::too_many_arguments, reason = "parts of one decision")]
fn give_up(
    context: &Context,
    object: &Collector,
    found: &Found,
    shards: &mut Shards,
    storages: &[Option<Storage>],
    under_way: impl Fn(u32) -> Option<String>,
    facts: &mut ServersFacts,
    schema: &mut SchemaReport,
    messages: &mut BTreeMap<u32, String>,
) {
    for shard in shards.leaving().collect::<Vec<_>>().into_iter().rev() {
        let server = match found.servers.stateful_sets.get(&managed::server_name(&object.name_any(), shard)) {
            Some(live) => live.uid().unwrap_or_default(),
            None => shards.urls.get(shard as usize).cloned().unwrap_or_default(),
        };
        let name = format!(
            "shard {shard} of {}/{} ({server})",
            object.namespace().unwrap_or_default(),
            object.name_any()
        );
        let storage = storages.get(shard as usize).and_then(Option::as_ref);
        match leave(&name, under_way(shard), storage, &object.spec.approvals) {
            Leave::Now => {
                tracing::info!(shard, "a shard leaves");
                context.loaders.forget(&object.uid().unwrap_or_default(), shard);
                shards.in_use = shard;
                shards.urls.truncate(shard as usize);
                continue;
            }
            Leave::Waits(words) => {
                messages.insert(shard, words);
            }
            // One hash at a time is shown, and tables come first.
            Leave::Approval { effect, .. } if let Some(hash) = &schema.state.plan_hash => {
                facts.waits_for_a_person = Some((
                    "ApprovalNeeded",
                    format!(
                        "changes of tables wait, and shard {shard} behind them: add {hash} to spec.approvals"
                    ),
                ));
                messages.insert(shard, format!("{effect}; waits for the changes of tables"));
            }
            Leave::Approval { hash, effect } => {
                let words = format!("shard {shard} is not wanted any more: {effect}");
                schema.state.pending.truncate(MAX_PENDING_STEPS - 1);
                schema.state.pending.push(PendingStep {
                    action: "RemoveShard".to_owned(),
                    object: format!("shard {shard}"),
                    risk: "destructive".to_owned(),
                    statement: shorten(&effect, MAX_STATEMENT),
                });
                schema.state.pending_count += 1;
                schema.state.plan_hash = Some(hash.clone());
                facts.waits_for_a_person = Some((
                    "ApprovalNeeded",
                    format!("{words}. Add {hash} to spec.approvals, wait, or take the change back"),
                ));
                messages.insert(shard, effect);
            }
        }
        // Shards go from the end.
        return;
    }
}

fn our_servers(
    context: &Context,
    object: &Collector,
    found: &Found,
    shards: &Shards,
    tables_are_there: bool,
) -> Option<ServersResources> {
    let managed = managed_of(object)?;
    let passwords = found.passwords.as_ref()?;
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let ran: Vec<_> =
        (0..shards.count()).map(|shard| ran(found, &managed::server_name(&name, shard))).collect();
    // Another operator would choose another image, and restart servers unasked, or let an older one read what a newer
    // one has written.
    let kept = ran.iter().flatten().next().copied();
    let image = managed.image.as_deref().or(kept).unwrap_or(&context.options.images.clickhouse);
    // What has had its tables once stays in the cluster while it, or another, does not answer.
    let secret = found.server_secret.as_ref().filter(|_| !found.servers.stateful_sets.is_empty());
    let before = secret.map_or(0, in_cluster).min(shards.count());
    let in_cluster = if tables_are_there { shards.count() } else { shards.in_use.max(before) };
    Some(servers::build(&Servers {
        collector: &name,
        namespace: &namespace,
        uid: &object.uid().unwrap_or_default(),
        database: &object.spec.clickhouse.database,
        managed,
        image,
        ran: &ran,
        images: &context.options.images,
        count: shards.count(),
        in_cluster,
        interserver: &passwords.interserver,
        logins: &passwords.logins,
    }))
}

/// The image that a server was last ready with. One that never started is none: it is taken back by the next.
fn ran<'a>(found: &'a Found, server: &str) -> Option<&'a str> {
    let live = found.servers.stateful_sets.get(server).filter(|live| facts::is_settled(live));
    let noted = || found.servers.config_maps.get(server)?.annotations().get(IMAGE_ANNOTATION);
    live.and_then(facts::image).or_else(noted).map(String::as_str)
}

fn states(
    built: &ServersResources,
    found: &Found,
    shards: &Shards,
    seen: &BTreeMap<u16, Seen>,
    under_way: impl Fn(u32) -> Option<String>,
) -> Vec<Server> {
    let server = |wanted: &servers::ShardResources| {
        let live = found.servers.stateful_sets.get(&wanted.stateful_set.name_any());
        let is_current = live.is_some_and(|live| facts::has_template(live, &wanted.stateful_set));
        // Its restart may be what is waited for: more memory, or another volume. The same version knows its tokens.
        let is_stuck = || {
            let image = facts::image(&wanted.stateful_set);
            live.is_some_and(|live| facts::image(live) == image) && shards::takes_nothing(seen, wanted.shard)
        };
        Server {
            exists: live.is_some(),
            current: is_current,
            ready: live.is_some_and(facts::is_settled),
            // Nothing is ever sent to a server that takes no rows yet.
            drained: wanted.shard >= shards.in_use || under_way(wanted.shard).is_none() || is_stuck(),
        }
    };
    built.shards.iter().map(server).collect()
}

#[allow(clippy::too_many_arguments, reason = "everything that is known")]
fn shard_facts(
    context: &Context,
    object: &Collector,
    found: &Found,
    shards: &Shards,
    shard: u32,
    storages: &[Option<Storage>],
    schema: &SchemaReport,
    is_up: Option<bool>,
) -> ShardFacts {
    let storage = storages.get(shard as usize).cloned().flatten();
    let pod = pod_of(found, shard);
    let uid = object.uid().unwrap_or_default();
    let mut hours_left = BTreeMap::new();
    for volume in storage.iter().flat_map(|storage| &storage.volumes) {
        if let Some(hours) = context.hours_left(&uid, shard, &volume.name) {
            hours_left.insert(volume.name.clone(), hours);
        }
    }
    let answers = schema.ready_shards.get(shard as usize).copied().unwrap_or(false);
    let too_old = storage.as_ref().and_then(|storage| too_old(&storage.version));
    let (ready, message) = match is_up {
        None => (answers, None),
        Some(is_up) => {
            let runs = is_up && pod.is_some_and(is_ready);
            (
                runs && too_old.is_none(),
                too_old.or_else(|| pod.and_then(trouble)).or_else(|| waiting(pod, runs)),
            )
        }
    };
    ShardFacts {
        shard,
        url: shards.urls.get(shard as usize).cloned().unwrap_or_default(),
        pod: pod.map(ResourceExt::name_any),
        ready,
        in_use: shard < shards.in_use,
        message,
        storage,
        hours_left,
    }
}

fn waiting(pod: Option<&Pod>, runs: bool) -> Option<String> {
    if runs {
        return None;
    }
    match pod {
        None => Some("is starting".to_owned()),
        Some(pod) => Some(facts::unschedulable(pod).unwrap_or_else(|| "is starting".to_owned())),
    }
}

/// A tag may not tell what an image holds.
fn too_old(version: &str) -> Option<String> {
    let found = server_version(version)?;
    let (major, minor) = OLDEST_SERVER;
    (found < OLDEST_SERVER)
        .then(|| format!("runs ClickHouse {version}, expected {major}.{minor} or newer: change the image"))
}

/// The object's own servers, if it has any.
pub fn managed_of(object: &Collector) -> Option<&Managed> {
    match object.spec.clickhouse.kind() {
        Some(ClickHouseKind::Managed(managed)) => Some(managed),
        _ => None,
    }
}
