//! Longer histories of the outbox than can be searched exhaustively: random walks, each from a seed that is printed
//! when a property breaks.
//!
//! Must never draw from anything but the seed.

use super::model::Action;
use super::properties;
use super::rules::Fault::*;
use super::rules::Setup;
use super::world::State;
use crate::walks::Dice;
use stateright::Model;

/// Seeds walked by default; the variable `MODEL_SEEDS` asks for more.
const SEEDS: u64 = 10_000;

/// A setup with everything in it; every fourth seed syncs no frames.
fn long_history(seed: u64) -> Setup {
    let faults = [
        (Kill, 4),
        (PowerCut, 2),
        (LoseAcknowledgement, 3),
        (CutRequest, 2),
        (GiveUp, 3),
        (RestartServer, 2),
        (Forget, 4),
        (DiskError, 3),
        (Restore, 1),
        (LoseJournal, 1),
    ];
    let setup = Setup::new(&faults, 10).with(|rules| rules.sync_before_flush = !seed.is_multiple_of(4));
    setup.size(|size| size.arrivals = 14)
}

/// Walks until nothing more can happen. Returns the broken property with the steps that led there.
fn walk(setup: &Setup, seed: u64) -> Result<(), (&'static str, Vec<Action>)> {
    let mut dice = Dice(seed);
    let mut state = State::new();
    let mut steps = Vec::new();
    loop {
        for (name, holds) in properties::ALL {
            if !holds(setup, &state) {
                return Err((name, steps));
            }
        }
        let progress = setup.progress(&state);
        let mut actions = Vec::new();
        setup.actions(&state, &mut actions);
        let mut faults = actions.split_off(progress.len());
        // One step in eight is a fault, so that they are spread over the history.
        let from = if !faults.is_empty() && dice.below(8) == 0 { &mut faults } else { &mut actions };
        if from.is_empty() {
            return Ok(());
        }
        let action = from[dice.below(from.len())];
        steps.push(action);
        state = setup.step(&state, action);
    }
}

#[test]
fn long_histories_keep_every_property() {
    let seeds = std::env::var("MODEL_SEEDS").map_or(SEEDS, |text| text.parse().unwrap());
    for seed in 0..seeds {
        if let Err((name, steps)) = walk(&long_history(seed), seed) {
            panic!("seed {seed} breaks '{name}' with {steps:#?}");
        }
    }
}

#[test]
fn walks_would_notice_a_broken_rule() {
    let notice = |what: &str, change: fn(&mut Setup)| {
        let broken = |seed: &u64| walk(&long_history(*seed).size(change), *seed).is_err();
        let seed = (0..SEEDS).find(broken).unwrap_or_else(|| panic!("no walk notices {what}"));
        println!("{what}: seed {seed}");
    };
    notice("an insert before its file", |setup| setup.rules.outbox_before_insert = false);
    notice("an early standing", |setup| setup.rules.standing_after_acknowledgements = false);
    notice("a flush removed early", |setup| setup.rules.standing_before_removal = false);
    notice("a flush made anew", |setup| setup.rules.flush_sent_again = false);
    notice("gathering on after an error", |setup| setup.rules.begins_again_after_error = false);
}
