//! With every rule kept and every border respected, nothing is lost, doubled or miscounted.

use crate::check::holds;
use crate::rules::Fault::*;
use crate::rules::{Fault, Setup};

#[test]
fn connections_break_and_the_receiver_is_killed() {
    let faults = [(Kill, 2), (LoseAcknowledgement, 2), (CutRequest, 1), (GiveUp, 1), (RestartServer, 1)];
    holds(Setup::new(&faults, 2));
}

#[test]
fn the_window_forgets_what_is_old() {
    let faults = [(Kill, 1), (LoseAcknowledgement, 1), (GiveUp, 1), (TenMinutes, 1), (Forget, 1)];
    holds(Setup::new(&faults, 3));
}

#[test]
fn a_small_window_is_enough_if_few_ranges_overtake() {
    // With at most `lead` ranges under way at a time, 2 * lead - 1 tokens are enough, at whatever pace.
    holds(Setup::new(&[(LoseAcknowledgement, 1)], 1).size(|size| {
        (size.arrivals, size.longest_range) = (5, 1);
        (size.lead, size.window) = (2, 3);
    }));
}

#[test]
fn counting_before_every_retry_needs_no_window_while_no_attempt_outlives_us() {
    let faults = [(LoseAcknowledgement, 1), (CutRequest, 1), (RestartServer, 1), (Forget, 1)];
    let setup = Setup::new(&faults, 2).with(|rules| rules.count_young_intents = true);
    let setup = setup.lift(|borders| borders.window_covers_ten_minutes = false);
    holds(setup.size(|size| size.window = 1));
}

#[test]
fn a_new_version_decodes_differently_while_the_old_attempt_runs() {
    let setup = Setup::new(&[(Kill, 2), (Upgrade, 1), (GiveUp, 1)], 3);
    holds(setup.lift(|borders| borders.attempts_end_before_upgrade = false));
}

#[test]
fn a_new_version_that_cuts_other_blocks_when_nothing_runs() {
    let setup = Setup::new(&[(Kill, 2), (Upgrade, 1), (TenMinutes, 1), (Forget, 1)], 4);
    holds(setup.with(|rules| rules.blocks_by_frames = false).size(|size| size.arrivals = 2));
}

#[test]
fn power_cuts_with_intents_synced() {
    let setup = Setup::new(&[(PowerCut, 2), (Kill, 1), (GiveUp, 1)], 2);
    holds(setup.lift(|borders| borders.attempts_outlive_no_lost_intent = false));
}

#[test]
fn power_cuts_without_syncing_when_nothing_runs() {
    let setup = Setup::new(&[(PowerCut, 2), (Kill, 1), (GiveUp, 1)], 2);
    holds(setup.with(|rules| rules.sync_before_insert = false));
}

#[test]
fn a_restored_copy_of_the_journal() {
    holds(Setup::new(&[(Kill, 1), (Restore, 1)], 2));
    holds(Setup::new(&[(Kill, 2), (Restore, 1)], 3).size(|size| size.arrivals = 2));
}

#[test]
fn a_restored_copy_and_a_power_cut() {
    let setup = Setup::new(&[(Kill, 1), (Restore, 1), (PowerCut, 1), (TenMinutes, 1)], 4);
    holds(setup.size(|size| size.arrivals = 2));
}

#[test]
fn a_restored_copy_with_intents_that_the_other_life_lost() {
    let setup = Setup::new(&[(Kill, 1), (PowerCut, 1), (Restore, 1)], 3).size(|size| size.arrivals = 2);
    holds(setup.with(|rules| {
        rules.sync_before_insert = false;
        rules.count_young_intents = true;
    }));
}

#[test]
fn a_lost_journal_and_a_clock_set_back() {
    holds(Setup::new(&[(Kill, 2), (LoseJournal, 1), (ClockBack, 1)], 3));
}

#[test]
fn a_broken_version_that_reuses_the_identity() {
    let setup = Setup::new(&[(Kill, 2), (LoseJournal, 1)], 3);
    holds(setup.with(|rules| rules.fresh_identity = false));
}

#[test]
fn a_token_whose_range_shows_only_in_its_checksum() {
    // Frames hold their arrival time, so a perfect checksum says which frames they are. First and last
    // frame are in the token because CRC32C is not perfect.
    let setup = Setup::new(&[(Kill, 2), (LoseAcknowledgement, 1)], 2);
    holds(setup.with(|rules| rules.token_names_range = false));
}

#[test]
fn the_server_restarts_or_becomes_another_version() {
    let faults = [(Kill, 1), (LoseAcknowledgement, 1), (RestartServer, 1), (UpgradeServer, 1)];
    holds(Setup::new(&faults, 3));
}

#[test]
fn a_set_waits_for_its_template() {
    let faults = [(Kill, 1), (LoseAcknowledgement, 1), (TenMinutes, 1), (Forget, 1), (PowerCut, 1)];
    holds(Setup::new(&faults, 3).size(|size| size.waiting_set = true));
}

#[test]
fn two_shards() {
    let setup = Setup::new(&[(Kill, 1), (LoseAcknowledgement, 1), (PowerCut, 1)], 1);
    holds(setup.size(|size| size.shards = 2));
}

#[test]
fn a_shard_is_away_for_a_while() {
    let setup = Setup::new(&[(ShardAway, 2), (LoseAcknowledgement, 1), (Kill, 1)], 2);
    holds(setup.size(|size| size.shards = 2));
}

#[test]
fn a_shard_is_away_longer_than_tokens_are_remembered() {
    let setup = Setup::new(&[(ShardAway, 1), (TenMinutes, 1), (Forget, 1), (Kill, 1)], 4);
    holds(setup.size(|size| (size.arrivals, size.shards) = (2, 2)));
}

#[test]
fn a_table_is_renamed_while_inserts_run() {
    let setup = Setup::new(&[(Rename, 2), (LoseAcknowledgement, 1), (GiveUp, 1), (Kill, 1)], 3);
    holds(setup.size(|size| (size.arrivals, size.shards) = (2, 2)));
}

/// Every fault that can happen inside the borders.
const EVERY_FAULT: [(Fault, u8); 13] = [
    (Kill, 2),
    (PowerCut, 2),
    (LoseAcknowledgement, 2),
    (CutRequest, 2),
    (GiveUp, 2),
    (RestartServer, 1),
    (UpgradeServer, 1),
    (Forget, 1),
    (TenMinutes, 1),
    (Upgrade, 1),
    (Restore, 1),
    (LoseJournal, 1),
    (ClockBack, 1),
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
