//! Runs the checker over every state that a setup of the outbox can reach.
//!
//! Must never pass without having looked: what holds also wants to see a history that ends drained.

use super::properties::{ALL, DRAINED};
use super::rules::Setup;
use stateright::{Checker, HasDiscoveries, Model, Path};

/// Every property holds in every reachable state. Prints the shortest history that breaks one.
pub fn holds(setup: Setup) {
    holds_but(setup, &[]);
}

/// As `holds`, but for these properties, which must break.
pub fn holds_but(setup: Setup, broken: &[&'static str]) {
    let kept = ALL.iter().map(|(name, _)| *name).filter(|name| !broken.contains(name));
    let checker = setup.checker().finish_when(HasDiscoveries::AnyOf(kept.collect())).spawn_bfs().join();
    println!("{} states, at most {} steps deep", checker.unique_state_count(), checker.max_depth());
    for (name, path) in checker.discoveries() {
        if name != DRAINED && !broken.contains(&name) {
            panic!("broken: {name}\n{}", history(path));
        }
    }
    for name in broken {
        assert!(checker.discovery(name).is_some(), "expected a counterexample to '{name}', found none");
    }
    assert!(checker.discovery(DRAINED).is_some(), "no history reaches the end with everything counted");
}

/// The checker finds a history that breaks this property. Prints it.
pub fn breaks(setup: Setup, property: &'static str) {
    let wanted = HasDiscoveries::AllOf([property].into_iter().collect());
    let checker = setup.checker().finish_when(wanted).spawn_bfs().join();
    let path = checker.discovery(property);
    let path = path.unwrap_or_else(|| panic!("expected a counterexample to '{property}', found none"));
    println!("counterexample to '{property}', as it should be:\n{}", history(path));
}

fn history(path: Path<super::world::State, super::model::Action>) -> String {
    let last = format!("{:?}", path.last_state());
    let steps: Vec<String> = path.into_actions().iter().map(|action| format!("  {action:?}")).collect();
    format!("{}\n  => {last}", steps.join("\n"))
}
