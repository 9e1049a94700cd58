//! With every rule kept and every border respected, no frame of an aggregate is lost or counted twice.

use super::check::holds;
use super::rules::Fault::*;
use super::rules::{Fault, Setup};

#[test]
fn connections_break_and_the_receiver_is_killed() {
    let faults = [(Kill, 2), (LoseAcknowledgement, 2), (CutRequest, 1), (GiveUp, 2), (RestartServer, 1)];
    holds(Setup::new(&faults, 3));
}

#[test]
fn killed_again_and_again() {
    holds(Setup::new(&[(Kill, 4)], 4));
}

#[test]
fn the_window_forgets_what_is_settled() {
    holds(Setup::new(&[(Kill, 1), (LoseAcknowledgement, 1), (GiveUp, 1), (Forget, 2)], 3));
}

#[test]
fn one_token_is_enough_while_no_attempt_is_late() {
    let faults = [(Kill, 2), (LoseAcknowledgement, 2), (CutRequest, 1), (RestartServer, 1)];
    let setup = Setup::new(&faults, 3).border(|borders| borders.attempts_end_before_start = true);
    holds(setup.size(|size| size.window = 1));
}

#[test]
fn power_cuts() {
    holds(Setup::new(&[(PowerCut, 2), (Kill, 1), (GiveUp, 1)], 3));
}

#[test]
fn power_cuts_without_syncing() {
    // The outbox is always synced; with `fsync: Never` it may know more than the journal.
    let setup = Setup::new(&[(PowerCut, 2), (Kill, 1), (GiveUp, 1)], 3);
    holds(setup.with(|rules| rules.sync_before_flush = false));
}

#[test]
fn power_cuts_with_numbers_from_the_journal_alone() {
    // What the outbox names was synced before it was named.
    let setup = Setup::new(&[(PowerCut, 2), (Kill, 1)], 3);
    holds(setup.with(|rules| rules.number_above_outbox = false));
}

#[test]
fn the_disk_fails_for_a_moment() {
    holds(Setup::new(&[(DiskError, 2), (Kill, 1), (LoseAcknowledgement, 1)], 3));
    holds(Setup::new(&[(DiskError, 1), (PowerCut, 1), (GiveUp, 1)], 3));
}

#[test]
fn a_restored_copy_whose_outbox_is_not_behind() {
    holds(Setup::new(&[(Kill, 2), (Restore, 1)], 3));
}

#[test]
fn a_lost_journal() {
    holds(Setup::new(&[(Kill, 2), (LoseJournal, 1), (GiveUp, 1)], 3));
}

#[test]
fn a_token_whose_range_shows_only_in_its_checksum() {
    // Frames hold their arrival time, so a perfect checksum says which frames they are. First and last frame are in
    // the token because CRC32C is not perfect.
    let setup = Setup::new(&[(Kill, 2), (LoseAcknowledgement, 1)], 3);
    holds(setup.with(|rules| rules.token_names_range = false));
}

#[test]
fn a_token_whose_frames_show_only_in_their_numbers() {
    // In one life of a journal no number is given twice. The checksum is for restored copies.
    let setup = Setup::new(&[(Kill, 2), (PowerCut, 1), (LoseAcknowledgement, 1), (DiskError, 1)], 3);
    holds(setup.with(|rules| rules.token_names_crc = false));
}

/// Every fault that can happen inside the borders.
const EVERY_FAULT: [(Fault, u8); Fault::COUNT] = [
    (Kill, 2),
    (PowerCut, 2),
    (LoseAcknowledgement, 2),
    (CutRequest, 2),
    (GiveUp, 2),
    (RestartServer, 1),
    (Forget, 2),
    (DiskError, 2),
    (Restore, 1),
    (LoseJournal, 1),
];

#[test]
fn every_fault_with_every_other() {
    holds(Setup::new(&EVERY_FAULT, 2).size(|size| size.arrivals = 2));
}

#[test]
#[ignore = "minutes long: cargo test --release -p receiver --test protocol_model -- --ignored"]
fn any_three_faults() {
    holds(Setup::new(&EVERY_FAULT, 3).size(|size| size.arrivals = 2));
    holds(Setup::new(&EVERY_FAULT, 2));
}
