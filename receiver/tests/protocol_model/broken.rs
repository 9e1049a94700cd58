//! Each rule, broken on purpose, gives a counterexample. A test here that finds none means that the rule is
//! superfluous or that the checker has gone blind.

use crate::check::breaks;
use crate::properties::{COMPLETE, DELETED, DONE, LEDGER, ONCE, OTHERS};
use crate::rules::Fault::*;
use crate::rules::Setup;

#[test]
fn constant_token() {
    let setup = Setup::new(&[], 0).with(|rules| {
        rules.token_names_range = false;
        rules.token_names_crc = false;
    });
    breaks(setup, COMPLETE);
}

#[test]
fn token_without_checksum_in_a_restored_copy() {
    let setup = Setup::new(&[(Kill, 1), (Restore, 1)], 2);
    breaks(setup.with(|rules| rules.token_names_crc = false), COMPLETE);
}

#[test]
fn token_without_identity_after_a_lost_journal() {
    // The checksum alone would do if it were perfect; the identity is there because it is not.
    let setup = Setup::new(&[(Kill, 1), (LoseJournal, 1)], 2).with(|rules| {
        rules.token_names_identity = false;
        rules.token_names_crc = false;
    });
    breaks(setup, COMPLETE);
}

#[test]
fn reused_identity_and_no_checksum() {
    let setup = Setup::new(&[(Kill, 1), (LoseJournal, 1)], 2).with(|rules| {
        rules.fresh_identity = false;
        rules.token_names_crc = false;
    });
    breaks(setup, COMPLETE);
}

#[test]
fn reused_identity_and_a_clock_set_back() {
    let setup = Setup::new(&[(Kill, 2), (LoseJournal, 1), (ClockBack, 1)], 4);
    breaks(setup.with(|rules| rules.fresh_identity = false), COMPLETE);
}

#[test]
fn counting_without_identity() {
    let setup = Setup::new(&[(Kill, 2), (LoseJournal, 1), (ClockBack, 1)], 4);
    breaks(setup.with(|rules| rules.count_names_identity = false), COMPLETE);
}

#[test]
fn done_before_the_acknowledgement() {
    let setup = Setup::new(&[(Kill, 1)], 1).with(|rules| rules.done_after_acknowledgement = false);
    breaks(setup.clone(), DONE);
    breaks(setup, COMPLETE);
}

#[test]
fn no_intent() {
    let setup = Setup::new(&[(Kill, 1)], 1);
    breaks(setup.with(|rules| rules.intent_before_insert = false), ONCE);
}

#[test]
fn range_cut_anew_on_retry() {
    let setup = Setup::new(&[(LoseAcknowledgement, 1)], 1);
    breaks(setup.with(|rules| rules.retry_keeps_range = false), ONCE);
}

#[test]
fn retry_on_another_shard() {
    let setup = Setup::new(&[(LoseAcknowledgement, 1)], 1).size(|size| size.shards = 2);
    breaks(setup.with(|rules| rules.retry_keeps_shard = false), ONCE);
}

#[test]
fn a_dead_shard_stops_all_new_ranges() {
    let setup = Setup::new(&[(ShardAway, 1)], 1).size(|size| size.shards = 2);
    breaks(setup.with(|rules| rules.other_shards_go_on = false), OTHERS);
}

#[test]
fn another_shard_takes_what_a_dead_one_has_not_acknowledged() {
    let setup = Setup::new(&[(ShardAway, 1)], 1).size(|size| size.shards = 2);
    breaks(setup.with(|rules| rules.retry_keeps_shard = false), ONCE);
}

#[test]
fn token_with_the_name_that_the_table_has_now() {
    let setup = Setup::new(&[(LoseAcknowledgement, 1), (Rename, 1)], 2);
    breaks(setup.with(|rules| rules.token_names_declared_table = false), ONCE);
}

#[test]
fn segments_deleted_at_done() {
    let setup = Setup::new(&[(PowerCut, 1)], 1);
    breaks(setup.with(|rules| rules.delete_below_checkpoint = false), DELETED);
}

#[test]
fn segments_deleted_under_a_waiting_set() {
    let setup = Setup::new(&[], 0).size(|size| size.waiting_set = true);
    breaks(setup.with(|rules| rules.delete_keeps_waiting_sets = false), COMPLETE);
}

#[test]
fn waiting_rows_with_their_own_arrival_time() {
    let setup = Setup::new(&[(LoseAcknowledgement, 1), (TenMinutes, 1), (Forget, 1)], 3);
    let setup = setup.size(|size| size.waiting_set = true);
    breaks(setup.with(|rules| rules.waiting_rows_carry_template_arrival = false), ONCE);
}

#[test]
fn old_intents_left_to_the_token() {
    let setup = Setup::new(&[(LoseAcknowledgement, 1), (TenMinutes, 1), (Forget, 1)], 3);
    breaks(setup.with(|rules| rules.count_old_intents = false), ONCE);
}

#[test]
fn what_is_left_of_a_torn_range_sent_under_its_token() {
    // Fewer frames make fewer blocks, and the server takes that for another insert.
    let setup = Setup::new(&[(Kill, 1), (Restore, 1)], 2);
    breaks(setup.with(|rules| rules.torn_intent_is_void = false), ONCE);
}

#[test]
fn an_old_answer_that_the_frames_are_absent() {
    let setup = Setup::new(&[(Kill, 1), (Upgrade, 1), (TenMinutes, 1), (Forget, 1)], 4);
    let setup = setup.lift(|borders| borders.attempts_end_before_upgrade = false);
    breaks(setup.with(|rules| rules.absent_expires = false), ONCE);
}

#[test]
fn token_trusted_across_a_server_upgrade() {
    let setup = Setup::new(&[(LoseAcknowledgement, 1), (UpgradeServer, 1)], 2);
    breaks(setup.with(|rules| rules.server_change_makes_old = false), ONCE);
}

#[test]
fn counting_by_span_of_time() {
    // In a restored copy, rows of the other life lie between the frames of a range: "some rows are there"
    // is taken for "all of the range is there", and the range is never sent.
    let setup = Setup::new(&[(Kill, 2), (Restore, 1)], 3).size(|size| size.in_flight = 2);
    let setup = setup.with(|rules| {
        rules.count_by_frame = false;
        rules.count_young_intents = true;
    });
    breaks(setup, DONE);
}

#[test]
fn counting_on_the_intents_shard_only() {
    // The copy holds an intent that the other life lost unsynced and sent anew to another shard.
    let setup = Setup::new(&[(Kill, 1), (PowerCut, 1), (Restore, 1)], 3);
    let setup = setup.size(|size| (size.arrivals, size.shards) = (1, 2)).with(|rules| {
        rules.count_asks_every_shard = false;
        rules.count_young_intents = true;
        rules.sync_before_insert = false;
    });
    breaks(setup, ONCE);
}

#[test]
fn no_resume_check_in_a_restored_copy() {
    let setup = Setup::new(&[(Kill, 1), (Restore, 1)], 2);
    breaks(setup.with(|rules| rules.resume_check = false), ONCE);
}

#[test]
fn no_resume_check_after_a_power_cut_without_syncing() {
    let setup = Setup::new(&[(PowerCut, 1)], 1);
    let setup = setup.with(|rules| {
        rules.resume_check = false;
        rules.sync_before_insert = false;
    });
    breaks(setup, ONCE);
}

#[test]
fn new_ranges_before_old_ones_with_a_small_window() {
    let setup = Setup::new(&[(LoseAcknowledgement, 1)], 1).size(|size| {
        (size.arrivals, size.longest_range) = (5, 1);
        (size.lead, size.window) = (2, 3);
    });
    breaks(setup.with(|rules| rules.settle_before_new_ranges = false), ONCE);
}

#[test]
fn frame_numbers_used_again_after_a_power_cut() {
    let setup = Setup::new(&[(PowerCut, 1)], 1).with(|rules| {
        rules.number_above_log = false;
        rules.sync_before_insert = false;
    });
    breaks(setup, COMPLETE);
}

#[test]
fn frame_numbers_used_again_in_a_torn_copy() {
    let setup = Setup::new(&[(Kill, 1), (Restore, 1)], 2);
    breaks(setup.with(|rules| rules.number_above_log = false), COMPLETE);
}

#[test]
fn counters_beside_the_log() {
    breaks(Setup::new(&[(Kill, 1)], 1).with(|rules| rules.ledger_in_log = false), LEDGER);
}

#[test]
fn rows_of_an_old_intent_taken_from_the_answer() {
    // The server skips our block in favour of the older version's, and still reports our number of rows.
    let setup = Setup::new(&[(Kill, 1), (Upgrade, 1)], 2);
    let setup = setup.lift(|borders| borders.attempts_end_before_upgrade = false);
    breaks(setup.with(|rules| rules.recount_after_old = false), LEDGER);
}
