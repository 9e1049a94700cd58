//! Each rule of the outbox, broken on purpose, gives a counterexample. A test here that finds none means that the rule
//! is superfluous or that the checker has gone blind.

use super::check::breaks;
use super::properties::{COMPLETE, ONCE, OUTBOX, RELEASED, STANDING};
use super::rules::Fault::*;
use super::rules::Setup;

#[test]
fn sent_before_it_is_in_the_outbox() {
    let setup = Setup::new(&[(Kill, 1)], 1).with(|rules| rules.outbox_before_insert = false);
    breaks(setup.clone(), OUTBOX);
    breaks(setup, ONCE);
}

#[test]
fn position_in_a_file_written_before_the_flush() {
    let setup = Setup::new(&[(Kill, 1)], 1);
    breaks(setup.with(|rules| rules.position_in_flush = false), COMPLETE);
}

#[test]
fn standing_before_the_acknowledgements() {
    let setup = Setup::new(&[(Kill, 1)], 1).with(|rules| rules.standing_after_acknowledgements = false);
    breaks(setup.clone(), STANDING);
    breaks(setup, COMPLETE);
}

#[test]
fn flush_removed_before_the_standing() {
    let setup = Setup::new(&[(Kill, 1)], 1).with(|rules| rules.standing_before_removal = false);
    breaks(setup.clone(), OUTBOX);
    breaks(setup, ONCE);
}

#[test]
fn flush_made_anew_of_the_journal() {
    let setup = Setup::new(&[(Kill, 1)], 1);
    breaks(setup.with(|rules| rules.flush_sent_again = false), ONCE);
}

#[test]
fn a_flush_below_the_standing_sent_again() {
    // The token would do, were it remembered for ever.
    let setup = Setup::new(&[(Kill, 1), (Forget, 1)], 2);
    breaks(setup.with(|rules| rules.old_flush_ignored = false), ONCE);
}

#[test]
fn a_flush_over_one_that_is_not_acknowledged() {
    breaks(Setup::new(&[], 0).with(|rules| rules.one_flush_at_a_time = false), COMPLETE);
}

#[test]
fn constant_token() {
    let setup = Setup::new(&[], 0).with(|rules| {
        rules.token_names_range = false;
        rules.token_names_crc = false;
    });
    breaks(setup, COMPLETE);
}

#[test]
fn token_without_identity_after_a_lost_journal() {
    // The checksum alone would do if it were perfect.
    let setup = Setup::new(&[(Kill, 1), (LoseJournal, 1)], 2).with(|rules| {
        rules.token_names_identity = false;
        rules.token_names_crc = false;
    });
    breaks(setup, COMPLETE);
}

#[test]
fn token_without_checksum_in_a_restored_copy() {
    let setup = Setup::new(&[(Kill, 1), (Restore, 1)], 2).with(|rules| rules.token_names_crc = false);
    breaks(setup.border(|borders| borders.copies_are_not_behind = false), COMPLETE);
}

#[test]
fn frames_released_above_the_standing() {
    let setup = Setup::new(&[(Kill, 1)], 1).with(|rules| rules.release_at_standing = false);
    breaks(setup.clone(), RELEASED);
    breaks(setup, COMPLETE);
}

#[test]
fn frame_numbers_used_again_after_a_power_cut() {
    let setup = Setup::new(&[(PowerCut, 1)], 1).with(|rules| {
        rules.sync_before_flush = false;
        rules.number_above_outbox = false;
    });
    breaks(setup, COMPLETE);
}

#[test]
fn frame_numbers_used_again_in_a_torn_copy() {
    let setup = Setup::new(&[(Kill, 1), (Restore, 1)], 2);
    breaks(setup.with(|rules| rules.number_above_outbox = false), COMPLETE);
}

#[test]
fn gathering_on_after_an_error() {
    let setup = Setup::new(&[(DiskError, 1)], 1);
    breaks(setup.with(|rules| rules.begins_again_after_error = false), COMPLETE);
}
