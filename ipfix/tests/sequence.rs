//! Sequence tracking: wrap-around, loss, reordering, duplicates, restarts, adoption.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ipfix::sequence::{Arrival, SequenceTotals, SequenceTracker, WINDOW};
use ipfix::{Header, Protocol};
use proptest::prelude::*;

const TCP: bool = true;
const UDP: bool = false;

/// A message of the exporter in these tests. Its checksum is made from its first record's number,
/// unless a test wants two different ones with the same sequence number.
fn send(tracker: &mut SequenceTracker, reliable: bool, sequence: u32, records: u32) -> Arrival {
    send_as(tracker, reliable, sequence, records, sequence ^ 0xabcd_ef01)
}

fn send_as(tracker: &mut SequenceTracker, reliable: bool, sequence: u32, records: u32, crc: u32) -> Arrival {
    let arrival = tracker.observe(Protocol::Ipfix, reliable, sequence, crc);
    if arrival != Arrival::Duplicate {
        tracker.advance(records);
    }
    arrival
}

fn totals(announced: u64, missing: u64, restarts: u64, duplicates: u64) -> SequenceTotals {
    SequenceTotals { announced, missing, restarts, duplicates }
}

#[test]
fn messages_in_order_miss_nothing() {
    let mut tracker = SequenceTracker::new();
    assert_eq!(send(&mut tracker, TCP, 100, 10), Arrival::First);
    assert_eq!(send(&mut tracker, TCP, 110, 0), Arrival::InOrder);
    assert_eq!(send(&mut tracker, TCP, 110, 5), Arrival::InOrder);
    assert_eq!(tracker.totals(), totals(15, 0, 0, 0));
    assert_eq!(tracker.expected(), Some(115));
}

#[test]
fn numbers_wrap_around() {
    for reliable in [TCP, UDP] {
        let mut tracker = SequenceTracker::new();
        send(&mut tracker, reliable, u32::MAX - 4, 10);
        assert_eq!(send(&mut tracker, reliable, 5, 1), Arrival::InOrder);
        // A gap across the border.
        let mut tracker = SequenceTracker::new();
        send(&mut tracker, reliable, u32::MAX - 9, 5);
        assert_eq!(send(&mut tracker, reliable, 5, 1), Arrival::Gap { missing: 10 });
        assert_eq!(tracker.totals(), totals(16, 10, 0, 0));
        // A gap that ends at the border.
        let mut tracker = SequenceTracker::new();
        send(&mut tracker, reliable, u32::MAX - 9, 5);
        assert_eq!(send(&mut tracker, reliable, 0, 1), Arrival::Gap { missing: 5 });
    }
}

#[test]
fn late_messages_take_back_what_was_missing() {
    let mut tracker = SequenceTracker::new();
    send(&mut tracker, UDP, 0, 10);
    assert_eq!(send(&mut tracker, UDP, 40, 10), Arrival::Gap { missing: 30 });
    assert_eq!(send(&mut tracker, UDP, 20, 10), Arrival::Late);
    assert_eq!(tracker.totals(), totals(50, 20, 0, 0));
    assert_eq!(send(&mut tracker, UDP, 30, 10), Arrival::Late);
    assert_eq!(send(&mut tracker, UDP, 10, 10), Arrival::Late);
    assert_eq!(tracker.totals(), totals(50, 0, 0, 0));
    assert_eq!(send(&mut tracker, UDP, 50, 10), Arrival::InOrder);
    assert_eq!(send(&mut tracker, UDP, 30, 10), Arrival::Duplicate);
    assert_eq!(tracker.totals(), totals(60, 0, 0, 1));
}

#[test]
fn over_tcp_a_step_back_is_a_restart() {
    let mut tracker = SequenceTracker::new();
    send(&mut tracker, TCP, 0, 10);
    assert_eq!(send(&mut tracker, TCP, 20, 10), Arrival::Gap { missing: 10 });
    assert_eq!(send(&mut tracker, TCP, 10, 10), Arrival::Restart);
    assert_eq!(send(&mut tracker, TCP, 20, 10), Arrival::InOrder);
    assert_eq!(tracker.totals(), totals(50, 10, 1, 0));
}

#[test]
fn duplicates_are_told_by_number_and_content() {
    let mut tracker = SequenceTracker::new();
    send_as(&mut tracker, UDP, 0, 10, 1);
    assert_eq!(send_as(&mut tracker, UDP, 10, 10, 1), Arrival::InOrder, "same content, other number");
    assert_eq!(send_as(&mut tracker, UDP, 10, 10, 1), Arrival::Duplicate);
    assert_eq!(send_as(&mut tracker, UDP, 0, 10, 1), Arrival::Duplicate);
    assert_eq!(send_as(&mut tracker, UDP, 0, 10, 2), Arrival::Restart, "same number, other content");
    assert_eq!(tracker.totals(), totals(30, 0, 1, 2));
}

#[test]
fn a_duplicate_that_is_advanced_over_changes_nothing() {
    let mut tracker = SequenceTracker::new();
    send(&mut tracker, UDP, 0, 10);
    assert_eq!(tracker.observe(Protocol::Ipfix, UDP, 0, 0xabcd_ef01), Arrival::Duplicate);
    tracker.advance(10);
    assert_eq!(tracker.expected(), Some(10));
}

#[test]
fn the_window_forgets() {
    let mut tracker = SequenceTracker::new();
    send(&mut tracker, UDP, 0, 1);
    send(&mut tracker, UDP, 2, 1); // 1 is missing
    for sequence in 3..=WINDOW as u32 {
        assert_eq!(send(&mut tracker, UDP, sequence, 1), Arrival::InOrder);
    }
    let mut in_time = tracker.clone();
    assert_eq!(send(&mut in_time, UDP, 1, 1), Arrival::Late);
    assert_eq!(in_time.totals().missing, 0);

    let mut duplicate = tracker.clone();
    assert_eq!(send(&mut duplicate, UDP, 0, 1), Arrival::Duplicate);

    for sequence in 0..4 {
        send(&mut tracker, UDP, WINDOW as u32 + 1 + sequence, 1);
    }
    assert_eq!(send(&mut tracker.clone(), UDP, 1, 1), Arrival::Restart);
    assert_eq!(send(&mut tracker, UDP, 0, 1), Arrival::Restart);
}

#[test]
fn a_restarted_exporter_counts_from_its_new_number() {
    let mut tracker = SequenceTracker::new();
    send(&mut tracker, UDP, 1_000_000, 10);
    assert_eq!(send(&mut tracker, UDP, 0, 0), Arrival::Restart, "its templates come first");
    assert_eq!(send_as(&mut tracker, UDP, 0, 10, 77), Arrival::InOrder);
    assert_eq!(send(&mut tracker, UDP, 10, 10), Arrival::InOrder);
    assert_eq!(send(&mut tracker, UDP, 25, 10), Arrival::Gap { missing: 5 });
    assert_eq!(tracker.totals(), totals(45, 5, 1, 0));
}

#[test]
fn a_restart_from_beyond_the_half_is_no_gap() {
    let mut tracker = SequenceTracker::new();
    send(&mut tracker, UDP, 3_000_000_000, 10);
    assert_eq!(tracker.forward_distance(0), None);
    assert_eq!(send(&mut tracker, UDP, 0, 10), Arrival::Restart);
    assert_eq!(tracker.totals(), totals(20, 0, 1, 0));
}

#[test]
fn a_message_without_records_that_was_overtaken_is_no_restart() {
    let mut tracker = SequenceTracker::new();
    send(&mut tracker, UDP, 0, 10);
    send(&mut tracker, UDP, 10, 10);
    assert_eq!(send_as(&mut tracker, UDP, 10, 0, 77), Arrival::Restart, "cannot be known yet");
    assert_eq!(send(&mut tracker, UDP, 20, 10), Arrival::InOrder);
    assert_eq!(send(&mut tracker, UDP, 30, 10), Arrival::InOrder);
    assert_eq!(tracker.totals(), totals(40, 0, 0, 0));
}

#[test]
fn records_that_waited_for_their_template_are_taken_back() {
    let mut tracker = SequenceTracker::new();
    send(&mut tracker, UDP, 0, 0); // holds 10 records of an unknown template
    assert_eq!(send(&mut tracker, UDP, 10, 5), Arrival::Gap { missing: 10 });
    tracker.take_back(10);
    assert_eq!(tracker.totals(), totals(15, 0, 0, 0));
}

#[test]
fn records_may_be_taken_back_before_their_gap_is_seen() {
    let mut tracker = SequenceTracker::new();
    send(&mut tracker, UDP, 0, 10);
    send(&mut tracker, UDP, 30, 10); // 20 are lost
    send(&mut tracker, UDP, 40, 0); // holds 10 records of an unknown template
    send_as(&mut tracker, UDP, 40, 0, 77); // the template, sent before, comes now
    tracker.take_back(10);
    assert_eq!(send(&mut tracker, UDP, 50, 5), Arrival::Gap { missing: 10 });
    assert_eq!(tracker.totals(), totals(55, 20, 0, 0));

    let mut tracker = SequenceTracker::new();
    send(&mut tracker, UDP, 0, 0);
    tracker.take_back(10);
    assert_eq!(tracker.totals(), totals(10, 0, 0, 0));
    send(&mut tracker, UDP, 15, 5);
    assert_eq!(tracker.totals(), totals(20, 5, 0, 0));
}

#[test]
fn v9_counts_packets() {
    let mut tracker = SequenceTracker::new();
    for (sequence, expected) in
        [(7, Arrival::First), (8, Arrival::InOrder), (11, Arrival::Gap { missing: 2 }), (10, Arrival::Late)]
    {
        assert_eq!(tracker.observe(Protocol::NetflowV9, UDP, sequence, sequence), expected);
        tracker.advance(24);
    }
    assert_eq!(tracker.totals(), totals(5, 1, 0, 0));
}

#[test]
fn a_new_session_goes_on_with_the_nearest_tracker() {
    let mut near = SequenceTracker::new();
    send(&mut near, TCP, 100, 10);
    let mut far = SequenceTracker::new();
    send(&mut far, TCP, 50, 10);
    assert_eq!(near.forward_distance(120), Some(10));
    assert_eq!(far.forward_distance(120), Some(60));
    assert_eq!(near.forward_distance(110), Some(0));
    assert_eq!(near.forward_distance(109), None, "a step back");
    assert_eq!(SequenceTracker::new().forward_distance(0), None, "nothing seen");

    // Through the checkpoint and on.
    let text = serde_json::to_string(&near).unwrap();
    let mut adopted: SequenceTracker = serde_json::from_str(&text).unwrap();
    assert_eq!(send(&mut adopted, TCP, 120, 10), Arrival::Gap { missing: 10 });
    assert_eq!(adopted.totals(), totals(30, 10, 0, 0));
}

#[test]
fn state_survives_serialisation_in_the_middle() {
    let mut tracker = SequenceTracker::new();
    send(&mut tracker, UDP, 0, 10);
    send(&mut tracker, UDP, 20, 10);
    let text = serde_json::to_string(&tracker).unwrap();
    let mut restored: SequenceTracker = serde_json::from_str(&text).unwrap();
    assert_eq!(send(&mut restored, UDP, 20, 10), Arrival::Duplicate);
    assert_eq!(send(&mut restored, UDP, 10, 10), Arrival::Late);
    assert_eq!(restored.totals(), totals(30, 0, 0, 1));
}

#[test]
fn headers_feed_the_tracker() {
    let message = [0, 10, 0, 16, 0, 0, 0, 1, 0, 0, 0, 42, 0, 0, 0, 7];
    let Header { protocol, sequence, .. } = ipfix::parse_header(&message).unwrap();
    let mut tracker = SequenceTracker::new();
    assert_eq!(tracker.observe(protocol, TCP, sequence, 0), Arrival::First);
    assert_eq!(tracker.expected(), Some(42));
}

/// What the network does to a message.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    IsLost,
    ArrivesTwice,
    /// Comes so many places later.
    IsLate(usize),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Arrives),
        1 => Just(Fate::IsLost),
        1 => Just(Fate::ArrivesTwice),
        2 => (1usize..200).prop_map(Fate::IsLate),
    ]
}

proptest! {
    /// Whatever is lost, doubled or overtaken within the window: the missing records are exactly
    /// those of the lost messages (up to the last message that arrives), nothing is a restart.
    #[test]
    fn loss_is_counted_exactly(
        start in prop_oneof![Just(0), Just(u32::MAX - 3000), any::<u32>()],
        messages in prop::collection::vec((1u32..40, fate()), 2..400),
    ) {
        let mut arrivals: Vec<(usize, u32, u32)> = Vec::new();
        let mut sequence = start;
        for (place, &(records, fate)) in messages.iter().enumerate() {
            match fate {
                // The first and the last message arrive, so that the tracker sees both ends.
                _ if place == 0 || place == messages.len() - 1 => arrivals.push((place, sequence, records)),
                Fate::Arrives => arrivals.push((place, sequence, records)),
                Fate::IsLost => {}
                Fate::ArrivesTwice => {
                    arrivals.push((place, sequence, records));
                    arrivals.push((place + 3, sequence, records));
                }
                Fate::IsLate(by) => arrivals.push((place + by, sequence, records)),
            }
            sequence = sequence.wrapping_add(records);
        }
        let sent: u64 = messages.iter().map(|&(records, _)| u64::from(records)).sum();
        arrivals.sort_by_key(|&(place, ..)| place);

        let mut tracker = SequenceTracker::new();
        let mut received = 0;
        let mut doubles = 0;
        for &(_, sequence, records) in &arrivals {
            match send(&mut tracker, UDP, sequence, records) {
                Arrival::Duplicate => doubles += 1,
                Arrival::Restart => prop_assert!(false, "no restart happened"),
                _ => received += u64::from(records),
            }
        }
        let twice = messages[1..messages.len() - 1].iter();
        let twice = twice.filter(|(_, fate)| matches!(fate, Fate::ArrivesTwice)).count() as u64;
        prop_assert_eq!(doubles, twice);
        prop_assert_eq!(tracker.totals(), totals(sent, sent - received, 0, doubles));
    }

    /// The balance holds for any input, and nothing panics.
    #[test]
    fn the_balance_always_holds(
        steps in prop::collection::vec((any::<bool>(), 0u32..100, any::<bool>(), 0u32..40, 0u32..4), 0..300),
    ) {
        let mut tracker = SequenceTracker::new();
        let mut received = 0u64;
        for (reliable, sequence, wild, records, kind) in steps {
            let sequence = if wild { sequence.wrapping_mul(0x9e37_79b9) } else { sequence };
            if kind == 0 {
                tracker.take_back(records);
                received += u64::from(records);
            } else if tracker.observe(Protocol::Ipfix, reliable, sequence, kind) != Arrival::Duplicate {
                tracker.advance(records);
                received += u64::from(records);
            }
            let SequenceTotals { announced, missing, .. } = tracker.totals();
            prop_assert_eq!(announced, received + missing);
        }
    }
}
