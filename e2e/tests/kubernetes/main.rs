//! Scenarios on a real Kubernetes. One cluster serves all of them; it is started when the first one
//! begins and is gone when this program ends, however it ends. Needs root; fails without.
//!
//! # How to write a scenario
//!
//! A function that takes a [`Scenario`], in a file of its own beside this one, and a line in
//! [`scenarios`]. It gets a namespace of its own, in which Restricted Pod Security is enforced, and
//! panics if something is wrong; its events, pods and logs are then shown.
//!
//! ```ignore
//! pub fn a_row_is_stored(scenario: &Scenario) {
//!     let clickhouse = ClickHouse::start(scenario);      // a pod, a Service, a Secret, a volume
//!     let _operator = scenario.start_operator(&[]);      // a process; killed at the end
//!     scenario.apply(include_str!("collector.yaml"));    // kubectl apply --server-side
//!     wait_until("a ready collector", MINUTE, || ...);   // Err(what is seen) until Ok
//!     let to = format!("{}:1500", scenario.service_address("main-dpi-0"));
//!     let sent = Simulator::start(&["--to", &to, "--records", "1000"]).finish(MINUTE);
//!     assert_eq!(clickhouse.number("SELECT count() FROM qoestor.fullflow"), sent.records);
//! }
//! ```
//!
//! `scenario.cluster` has what concerns the whole cluster: a client, fake nodes, the API server's
//! restart. Whoever uses that registers with [`alone`]. Deadlines are generous, and no time is asserted.
//! `cargo test --release --workspace --test kubernetes -- NAME` runs those whose name holds NAME (with
//! `-p e2e` instead, libraries are compiled again with fewer features).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

mod deletion;
mod dictionaries;
mod drain;
mod drift;
mod install;
mod life_in_git;
mod main_job;
mod migration;
mod nodes;
mod robust;
mod secure;
mod servers;
mod smoke;
mod smoke_servers;
mod support;
mod upgrade;
mod wrong_objects;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{OnceLock, RwLock};
use std::time::Instant;

use e2e::cluster::{Cluster, Reach, Scenario, inside};
use libtest_mimic::{Arguments, Failed, Trial};

fn scenarios() -> Vec<Trial> {
    vec![
        // The longest comes first, beside all others.
        together(
            "servers::shards::a_provider_outgrows_its_server",
            servers::shards::a_provider_outgrows_its_server,
        ),
        together("smoke::our_image_runs", smoke::our_image_runs),
        together("smoke::nodes_are_made_up", smoke::nodes_are_made_up),
        together("smoke::clickhouse_keeps_its_rows", smoke::clickhouse_keeps_its_rows),
        together("smoke_servers::names_are_found", smoke_servers::names_are_found),
        together("smoke_servers::ports_are_forwarded", smoke_servers::ports_are_forwarded),
        together(
            "smoke_servers::a_server_is_configured_by_files",
            smoke_servers::a_server_is_configured_by_files,
        ),
        together("main_job::the_contract_runs", main_job::the_contract_runs),
        together("life_in_git::a_life_in_git", life_in_git::a_life_in_git),
        together("drain::a_pod_is_deleted_while_senders_send", drain::a_pod_is_deleted_while_senders_send),
        together("nodes::receivers_find_their_nodes", nodes::receivers_find_their_nodes),
        together("drift::what_was_changed_by_hand_comes_back", drift::what_was_changed_by_hand_comes_back),
        together("migration::an_old_database_is_migrated", migration::an_old_database_is_migrated),
        together("secure::clickhouse_over_https", secure::clickhouse_over_https),
        together("upgrade::receivers_move_with_the_operator", upgrade::receivers_move_with_the_operator),
        together(
            "wrong_objects::each_is_refused_with_its_path",
            wrong_objects::each_is_refused_with_its_path,
        ),
        together("dictionaries::objects_become_rows", dictionaries::objects_become_rows),
        together("deletion::retained_then_deleted", deletion::retained_then_deleted),
        together(
            "deletion::a_deletion_ends_without_clickhouse",
            deletion::a_deletion_ends_without_clickhouse,
        ),
        together("servers::minimal::one_object_is_enough", servers::minimal::one_object_is_enough),
        together(
            "servers::cold::rows_move_to_a_volume_that_comes_later",
            servers::cold::rows_move_to_a_volume_that_comes_later,
        ),
        together(
            "servers::external::a_second_endpoint_shares_the_rows",
            servers::external::a_second_endpoint_shares_the_rows,
        ),
        together(
            "servers::users::users_have_their_rights_and_no_more",
            servers::users::users_have_their_rights_and_no_more,
        ),
        together("servers::full::a_full_volume_grows", servers::full::a_full_volume_grows),
        together(
            "servers::deletion::volumes_are_retained_then_deleted",
            servers::deletion::volumes_are_retained_then_deleted,
        ),
        alone(
            "servers::faults::a_server_comes_back_under_load",
            servers::faults::a_server_comes_back_under_load,
        ),
        alone("install::the_page_is_followed", install::the_page_is_followed),
        alone("deletion::the_crd_is_deleted_first", deletion::the_crd_is_deleted_first),
        alone("robust::faults_around_the_operator", robust::faults_around_the_operator),
        alone("smoke::the_api_server_comes_back", smoke::the_api_server_comes_back),
    ]
}

/// Scenarios at a time: each waits more than it computes, for pods and for volumes that grow.
const AT_ONCE: usize = 4;

/// Whoever disturbs the others waits until they are done.
static DISTURBANCE: RwLock<()> = RwLock::new(());

/// A scenario that runs beside others.
fn together(name: &'static str, run: fn(&Scenario)) -> Trial {
    Trial::test(name, move || {
        let _others = DISTURBANCE.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        run_one(name, run)
    })
}

/// A scenario that disturbs the whole cluster.
fn alone(name: &'static str, run: fn(&Scenario)) -> Trial {
    Trial::test(name, move || {
        let _nobody = DISTURBANCE.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        run_one(name, run)
    })
}

fn run_one(name: &str, run: fn(&Scenario)) -> Result<(), Failed> {
    let cluster = cluster()?;
    let namespace = name.replace("::", "-").replace('_', "-");
    let scenario = Scenario::new(cluster, &namespace);
    let begun = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| run(&scenario)));
    println!("{name}: {} s", begun.elapsed().as_secs());
    result.map_err(|panic| {
        println!("\n{name} failed: {}\n{}", said(&*panic), scenario.report());
        Failed::from(said(&*panic))
    })
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
}

/// What users install first.
const COLLECTORS: &str = include_str!("../../../crds/manifests/qoecollectors.qoeplane.io.yaml");
const DICTIONARIES: &str = include_str!("../../../crds/manifests/qoedictionaries.qoeplane.io.yaml");

/// The cluster, started by the first scenario.
fn cluster() -> Result<&'static Cluster, Failed> {
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let started = CLUSTER.get_or_init(|| {
        let cluster = catch_unwind(|| Cluster::start(Reach::Inside))
            .unwrap_or_else(|panic| Err(format!("the cluster could not be started: {}", said(&*panic))));
        if let Ok(cluster) = &cluster {
            for definition in [COLLECTORS, DICTIONARIES] {
                cluster.apply(definition).map_err(|error| format!("the CRDs are not accepted: {error}"))?;
            }
            println!("the cluster was started in {} s", cluster.started_in.as_secs());
        }
        cluster
    });
    started.as_ref().map_err(|reason| Failed::from(reason.clone()))
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let scenarios = scenarios();
    let wanted = |name: &str| {
        let is =
            |filter: &String| if arguments.exact { name == filter } else { name.contains(filter.as_str()) };
        arguments.filter.as_ref().is_none_or(is) && !arguments.skip.iter().any(is)
    };
    let none = !scenarios.iter().any(|scenario| wanted(scenario.name()));
    let run = move || libtest_mimic::run(&arguments, scenarios).exit_code();
    if none || Arguments::from_args().list { run() } else { inside(Reach::Inside, run) }
}
