//! Where the promise of aggregates ends. Each border, lifted, gives a counterexample.

use super::check::{breaks, holds, holds_but};
use super::properties::{AGREE, ONCE, OUTBOX};
use super::rules::Fault::*;
use super::rules::Setup;

#[test]
fn an_unsettled_token_is_forgotten() {
    // A flush waits in the outbox of a receiver that is down for longer than the window.
    let setup = Setup::new(&[(Kill, 1), (Forget, 1)], 2);
    breaks(setup.border(|borders| borders.unsettled_tokens_are_remembered = false), ONCE);
    // Or an answer is lost, and the token before the next attempt.
    let setup = Setup::new(&[(LoseAcknowledgement, 1), (Forget, 1)], 2);
    breaks(setup.border(|borders| borders.unsettled_tokens_are_remembered = false), ONCE);
}

#[test]
fn a_late_attempt_outlives_its_token() {
    let setup = Setup::new(&[(GiveUp, 1)], 1);
    breaks(setup.size(|size| size.window = 1), ONCE);
}

#[test]
fn a_late_attempt_of_an_earlier_life_outlives_its_token() {
    let setup = Setup::new(&[(Kill, 1)], 1);
    breaks(setup.size(|size| size.window = 1), ONCE);
}

#[test]
fn a_late_attempt_is_overtaken_by_fewer_flushes_than_the_window_holds() {
    let setup = Setup::new(&[(GiveUp, 1), (Kill, 1)], 2);
    holds(setup.size(|size| (size.arrivals, size.window) = (3, 3)));
}

#[test]
fn a_restored_copy_behind_the_other_life_counts_twice_and_loses_nothing() {
    let setup = Setup::new(&[(Kill, 2), (Restore, 1)], 3);
    let setup = setup.border(|borders| borders.copies_are_not_behind = false);
    holds_but(setup, &[ONCE, AGREE, OUTBOX]);
}
