//! Longer histories than can be searched exhaustively: random walks, each from a seed that is printed when
//! a property breaks.
//!
//! Must never draw from anything but the seed.

use crate::model::Action;
use crate::properties;
use crate::rules::Fault::*;
use crate::rules::Setup;
use crate::world::State;
use stateright::Model;

/// Seeds walked by default; the variable `MODEL_SEEDS` asks for more.
const SEEDS: u64 = 3_000;

/// SplitMix64: one word of state, every seed good.
pub struct Dice(pub u64);

impl Dice {
    /// A number from 0, smaller than `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((word ^ (word >> 31)) % bound as u64) as usize
    }
}

/// A setup with everything in it; odd seeds have two shards, every third a waiting set, every fourth counts
/// before every retry, every eighth does so and syncs nothing.
fn long_history(seed: u64) -> Setup {
    let faults = [
        (Kill, 3),
        (PowerCut, 2),
        (LoseAcknowledgement, 3),
        (CutRequest, 2),
        (GiveUp, 2),
        (RestartServer, 2),
        (UpgradeServer, 1),
        (Forget, 3),
        (TenMinutes, 2),
        (Upgrade, 1),
        (Restore, 1),
        (LoseJournal, 1),
        (ClockBack, 1),
        (ShardAway, 3),
        (Rename, 2),
    ];
    let setup = Setup::new(&faults, 10).with(|rules| {
        rules.count_young_intents = (seed / 2).is_multiple_of(4);
        rules.sync_before_insert = !(seed / 2).is_multiple_of(8);
    });
    setup.size(|size| {
        (size.arrivals, size.longest_range, size.in_flight) = (12, 3, 2);
        size.shards = 1 + (seed % 2) as u8;
        size.waiting_set = seed.is_multiple_of(3);
    })
}

/// Walks until nothing more can happen. Returns the broken property with the steps that led there.
fn walk(setup: &Setup, seed: u64) -> Result<(), (&'static str, Vec<Action>)> {
    let mut dice = Dice(seed);
    let mut state = State::new(setup);
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
    notice("a missing intent", |setup| setup.rules.intent_before_insert = false);
    notice("a missing resume check", |setup| setup.rules.resume_check = false);
    notice("a retry that cuts anew", |setup| setup.rules.retry_keeps_range = false);
    notice("an early done", |setup| setup.rules.done_after_acknowledgement = false);
    notice("a server upgrade overlooked", |setup| setup.rules.server_change_makes_old = false);
}
