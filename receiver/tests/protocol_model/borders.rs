//! Where the promise ends. Each border, lifted, gives a counterexample; `docs/guarantees.md` lists them.

use crate::check::{breaks, holds};
use crate::properties::{COMPLETE, DONE, ONCE};
use crate::rules::Fault::*;
use crate::rules::Setup;

#[test]
fn a_young_token_is_forgotten() {
    let setup = Setup::new(&[(LoseAcknowledgement, 1), (Forget, 1)], 2);
    breaks(setup.lift(|borders| borders.window_covers_ten_minutes = false), ONCE);
}

#[test]
fn more_inserts_overtake_than_the_window_holds() {
    let setup = Setup::new(&[(LoseAcknowledgement, 1)], 1);
    let setup = setup.size(|size| (size.arrivals, size.longest_range, size.window) = (5, 1, 3));
    breaks(setup, ONCE);
}

#[test]
fn a_late_attempt_completes_after_its_token_was_forgotten() {
    let setup = Setup::new(&[(GiveUp, 1), (TenMinutes, 1), (Forget, 1)], 3);
    breaks(setup.lift(|borders| borders.attempts_end_in_ten_minutes = false), ONCE);
}

#[test]
fn a_late_attempt_whose_token_is_remembered_is_no_border() {
    let setup = Setup::new(&[(GiveUp, 1), (Kill, 1), (TenMinutes, 1)], 3);
    holds(setup.lift(|borders| borders.attempts_end_in_ten_minutes = false));
}

#[test]
fn a_late_attempt_and_a_version_that_cuts_other_blocks() {
    let setup = Setup::new(&[(Kill, 1), (Upgrade, 1)], 2);
    let setup = setup.with(|rules| rules.blocks_by_frames = false);
    breaks(setup.lift(|borders| borders.attempts_end_before_upgrade = false), ONCE);
}

#[test]
fn a_late_attempt_of_the_life_before_a_restore() {
    let setup = Setup::new(&[(Kill, 1), (Restore, 1)], 2);
    breaks(setup.lift(|borders| borders.attempts_end_before_restore = false), ONCE);
}

#[test]
fn a_late_attempt_whose_intent_a_power_cut_took() {
    let setup = Setup::new(&[(PowerCut, 1)], 1).with(|rules| rules.sync_before_insert = false);
    breaks(setup.lift(|borders| borders.attempts_outlive_no_lost_intent = false), ONCE);
}

#[test]
fn a_restored_young_intent_that_the_other_life_lost_and_cut_anew() {
    let setup = Setup::new(&[(Kill, 1), (PowerCut, 1), (Restore, 1)], 3).size(|size| size.arrivals = 2);
    breaks(setup.with(|rules| rules.sync_before_insert = false), ONCE);
}

#[test]
fn a_restored_copy_and_a_clock_behind_the_other_life() {
    let setup = Setup::new(&[(Kill, 2), (Restore, 1), (ClockBack, 1)], 4);
    breaks(setup.lift(|borders| borders.clock_is_ahead_of_lost_frames = false), COMPLETE);
}

#[test]
fn an_unsynced_power_cut_and_a_clock_behind_the_frames_it_took() {
    let setup = Setup::new(&[(PowerCut, 1), (ClockBack, 1), (Kill, 1)], 3);
    let setup = setup.with(|rules| rules.sync_before_insert = false);
    breaks(setup.lift(|borders| borders.clock_is_ahead_of_lost_frames = false), COMPLETE);
}

#[test]
fn the_server_loses_what_it_acknowledged() {
    breaks(Setup::new(&[(ServerLosesRows, 1)], 1), DONE);
}
