//! The journal on a real file system: what was appended is read back, whatever happens to the end, the
//! middle, the segments and the quota.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Part, Sender, append, append_raw, open, options, peer, read_all, recover, template, writer};
use crds::Transport;
use proptest::prelude::*;
use receiver::journal::{Hole, Journal, Kind, Options, Quota, Recovered};

const SEGMENT: u64 = 64 << 10;

fn payload(number: u64, length: usize) -> Vec<u8> {
    (0..length).map(|index| (number as usize * 31 + index) as u8).collect()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn frames_are_read_back_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), SEGMENT);
    let mut writing = writer(&journal);
    let lengths = [0, 1, 4047, 4048, 4049, 20_000, 60_000, 5, 8_000];
    let mut written = Vec::new();
    for (number, length) in (1..).zip(lengths.iter().cycle().take(100)) {
        let bytes = payload(number, *length);
        assert_eq!(append_raw(&mut writing, Kind::Stream, 0, 0, &bytes), number);
        written.push((number, bytes));
    }
    assert!(segments(dir.path()).len() > 10);
    let (frames, holes) = read_all(&journal);
    assert!(holes.is_empty());
    assert!(frames.windows(2).all(|pair| pair[0].1 < pair[1].1), "arrivals increase");
    let read: Vec<(u64, Vec<u8>)> = frames.into_iter().map(|(number, _, bytes)| (number, bytes)).collect();
    assert_eq!(read, written);
}

#[test]
fn a_second_receiver_does_not_get_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let _journal = open(dir.path(), SEGMENT);
    let error = Journal::open(dir.path(), options(SEGMENT), Quota::new(1 << 30)).err().unwrap();
    assert!(error.to_string().contains("in use"), "{error}");
}

/// Whatever part of the last frame reached the disk: the frames before it are there, it is there as a
/// whole or not at all, and its number is used again only if it is not.
#[test]
fn a_torn_end_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), SEGMENT);
    let mut writing = writer(&journal);
    for number in 1..=3 {
        append_raw(&mut writing, Kind::Stream, 0, 0, &payload(number, 300));
    }
    drop((writing, journal));
    let path = segments(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    // Head, two frames, and then the last: 48 bytes of header and its payload.
    let last = 3 * 4096;
    // What the file held before it was recycled: an older frame of the same journal, or nothing.
    for rest in [vec![0; 4096], whole[4096..8192].to_vec()] {
        for torn in 0..=(48 + 300) {
            let mut bytes = whole.clone();
            bytes[last + torn..last + 4096].copy_from_slice(&rest[torn..]);
            let is_whole = bytes[last..last + 348] == whole[last..last + 348];
            fs::write(&path, &bytes).unwrap();
            let journal = open(dir.path(), SEGMENT);
            let (mut writing, found) = recover(&journal, Recovered::default());
            assert_eq!(found.last_number, if is_whole { 3 } else { 2 }, "torn at {torn}");
            let next = append_raw(&mut writing, Kind::Stream, 0, 0, &payload(9, 10));
            assert_eq!(next, found.last_number + 1);
            let (frames, holes) = read_all(&journal);
            assert!(holes.is_empty());
            let read: Vec<Vec<u8>> = frames.into_iter().map(|(_, _, bytes)| bytes).collect();
            let mut expected: Vec<Vec<u8>> = (1..=found.last_number).map(|n| payload(n, 300)).collect();
            expected.push(payload(9, 10));
            assert_eq!(read, expected, "torn at {torn}");
            drop((writing, journal));
            for path in segments(dir.path()).split_off(1) {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

#[test]
fn damage_in_the_middle_costs_one_frame() {
    for at in [0, 4, 8, 12, 16, 24, 48, 5_000] {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path(), SEGMENT);
        let mut writing = writer(&journal);
        for number in 1..=20 {
            append_raw(&mut writing, Kind::Stream, 0, 0, &payload(number, 6_000));
        }
        // The head, then two pages for each frame: the third.
        let path = segments(dir.path()).remove(0);
        let file = OpenOptions::new().write(true).read(true).open(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 4096 + 2 * 8192 + at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x55], 4096 + 2 * 8192 + at).unwrap();
        let expected: Vec<u64> = (1..=20).filter(|number| *number != 3).collect();
        let numbers = |journal: &std::sync::Arc<Journal>| -> (Vec<u64>, Vec<Hole>) {
            let (frames, holes) = read_all(journal);
            (frames.into_iter().map(|(number, _, _)| number).collect(), holes)
        };
        let hole = vec![Hole { first: 3, last: 3 }];
        assert_eq!(numbers(&journal), (expected.clone(), hole.clone()), "while running, byte {at}");
        drop((writing, journal));
        let journal = open(dir.path(), SEGMENT);
        let (_writing, found) = recover(&journal, Recovered::default());
        assert_eq!(found.last_number, 20);
        assert_eq!(numbers(&journal), (expected, hole), "after a start, byte {at}");
    }
}

#[test]
fn damage_in_the_last_segment_does_not_hide_what_follows() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), SEGMENT);
    let mut writing = writer(&journal);
    for number in 1..=5 {
        append_raw(&mut writing, Kind::Stream, 0, 0, &payload(number, 100));
    }
    drop((writing, journal));
    let path = segments(dir.path()).remove(0);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 4096], 2 * 4096).unwrap();
    let journal = open(dir.path(), SEGMENT);
    let (mut writing, found) = recover(&journal, Recovered::default());
    assert_eq!(found.last_number, 5);
    assert_eq!(append_raw(&mut writing, Kind::Stream, 0, 0, b"x"), 6);
    let (frames, holes) = read_all(&journal);
    assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [1, 3, 4, 5, 6]);
    assert_eq!(holes, [Hole { first: 2, last: 2 }]);
}

#[test]
fn segments_are_recycled_and_old_frames_stay_hidden() {
    let dir = tempfile::tempdir().unwrap();
    let quota = Quota::new(6 * SEGMENT);
    let journal = Journal::open(dir.path(), options(SEGMENT), quota).unwrap();
    let mut writing = writer(&journal);
    let mut position = None;
    for number in 1..=400u64 {
        append_raw(&mut writing, Kind::Stream, 0, 0, &payload(number, 5_000));
        if number % 10 == 0 {
            let mut reader = receiver::journal::JournalReader::at(
                journal.clone(),
                position.unwrap_or(receiver::journal::Position { segment: 1, offset: 0, number: 1 }),
            );
            let mut holes = Vec::new();
            let mut read = Vec::new();
            while let Some(next) = reader.read(u64::MAX, &mut holes).unwrap() {
                assert_eq!(reader.payload(), payload(next.header.number, 5_000));
                read.push(next.header.number);
            }
            assert_eq!(read, (number - 9..=number).collect::<Vec<_>>());
            assert!(holes.is_empty());
            position = Some(reader.position());
            // Once to see that they are committed, once to recycle them.
            journal.release(number + 1, &[]).unwrap();
            journal.release(number + 1, &[]).unwrap();
        }
    }
    assert!(journal.bytes_on_disk() <= 6 * SEGMENT);
    drop((writing, journal));
    let journal = open(dir.path(), SEGMENT);
    let (_, found) = recover(&journal, Recovered::default());
    assert_eq!(found.last_number, 400);
    let (frames, holes) = read_all(&journal);
    assert!(holes.is_empty());
    assert_eq!(frames.last().unwrap().0, 400);
}

#[test]
fn a_segment_is_kept_while_it_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let late = Options { keep_after_commit: Duration::from_secs(3600), ..options(SEGMENT) };
    let journal = Journal::open(dir.path(), late, Quota::new(1 << 30)).unwrap();
    let mut writing = writer(&journal);
    for number in 1..=40 {
        append_raw(&mut writing, Kind::Stream, 0, 0, &payload(number, 5_000));
    }
    let all = journal.segment_starts();
    for _ in 0..3 {
        journal.release(41, &[]).unwrap();
    }
    assert_eq!(journal.segment_starts(), all, "kept for an hour after the commit");
    drop((writing, journal));
    let journal = open(dir.path(), SEGMENT);
    for _ in 0..3 {
        journal.release(41, &[all[1]]).unwrap();
    }
    assert_eq!(journal.segment_starts(), all[1..], "the second is pinned");
    for _ in 0..3 {
        journal.release(all[3], &[]).unwrap();
    }
    assert_eq!(journal.segment_starts(), all[3..], "the low-water mark is in the third");
}

#[test]
fn a_full_journal_refuses_until_segments_are_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options(SEGMENT), Quota::new(3 * SEGMENT)).unwrap();
    let mut writing = writer(&journal);
    let mut number = 0;
    while writing.has_room(5_000) {
        number = append_raw(&mut writing, Kind::Stream, 0, 0, &payload(number + 1, 5_000));
    }
    assert_eq!(journal.segment_starts().len(), 3);
    assert!(journal.is_full() && !journal.accepts());
    journal.release(number + 1, &[]).unwrap();
    journal.release(number + 1, &[]).unwrap();
    assert!(writing.has_room(5_000));
    assert!(journal.accepts());
    assert_eq!(append_raw(&mut writing, Kind::Stream, 0, 0, b"x"), number + 1);
}

#[test]
fn numbers_and_arrivals_continue_above_what_the_log_knows() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), SEGMENT);
    let mut writing = writer(&journal);
    append_raw(&mut writing, Kind::Stream, 0, 0, b"one");
    drop((writing, journal));
    let journal = open(dir.path(), SEGMENT);
    let far = 4_000_000_000_000_000;
    let floor = Recovered { last_number: 70, last_arrival_us: far, messages: 0 };
    let (mut writing, found) = recover(&journal, floor);
    assert_eq!(found.last_number, 1);
    assert_eq!(append_raw(&mut writing, Kind::Stream, 0, 0, b"two"), 71);
    let (frames, holes) = read_all(&journal);
    assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [1, 71]);
    assert!(frames[1].1 > far);
    assert_eq!(holes, [Hole { first: 2, last: 70 }]);
    drop((writing, journal));
    let journal = open(dir.path(), SEGMENT);
    let (mut writing, found) = recover(&journal, Recovered::default());
    assert_eq!(found.last_number, 71);
    assert!(found.last_arrival_us > far);
    assert!(writing.next_arrival() > found.last_arrival_us, "also when the clock is far behind");
    assert_eq!(append_raw(&mut writing, Kind::Stream, 0, 0, b"three"), 72);
}

#[test]
fn sessions_templates_and_message_counts_survive_rolls_and_starts() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), SEGMENT);
    let mut writing = writer(&journal);
    let mut sender = Sender::ipfix(7);
    let udp = writing.open_session(&peer(1, Transport::Udp)).unwrap();
    let tcp = writing.open_session(&peer(2, Transport::Tcp)).unwrap();
    let announce = sender.message(&[Part::Template(template(256, 8)), Part::Data(256, 8, 3)]);
    append(&mut writing, Kind::Datagrams, udp, &[announce]);
    let announce = sender.message(&[Part::Template(template(300, 2))]);
    append(&mut writing, Kind::Stream, tcp, &[announce]);
    let mut messages = 2;
    while journal.segment_starts().len() < 4 {
        let data = sender.message(&[Part::Data(300, 2, 500)]);
        append(&mut writing, Kind::Stream, tcp, &[data.clone(), data]);
        messages += 2;
    }
    let gone = journal.segment_starts()[3];
    journal.release(gone, &[]).unwrap();
    journal.release(gone, &[]).unwrap();
    assert_eq!(journal.segment_starts(), [gone], "what announced the templates is gone");
    drop((writing, journal));

    let journal = open(dir.path(), SEGMENT);
    let (writing, found) = recover(&journal, Recovered::default());
    assert_eq!(found.messages, messages);
    let left: Vec<u64> = writing.sessions.iter().map(|(id, _)| id).collect();
    assert_eq!(left, [udp], "TCP sessions do not survive us");
    let session = writing.sessions.get(udp).unwrap();
    assert_eq!(session.peer, peer(1, Transport::Udp));
    assert_eq!(**session.templates.get(7, 256, found.last_arrival_us).unwrap(), template(256, 8));
    // The decoder is told.
    let (sessions, _) = journal.sessions_before(u64::MAX).unwrap();
    assert!(sessions.get(tcp).is_none() && sessions.get(udp).is_some());
    let (sessions, _) = journal.sessions_before(found.last_number).unwrap();
    assert_eq!(**sessions.get(tcp).unwrap().templates.get(7, 300, 0).unwrap(), template(300, 2));
}

/// We may die while the head of a segment is written: then the segment before says what it would have.
#[test]
fn a_head_that_was_cut_off_loses_no_session() {
    let dir = tempfile::tempdir().unwrap();
    let segment = 2 << 20;
    let journal = open(dir.path(), segment);
    let mut writing = writer(&journal);
    // Enough of them for more than one head frame.
    let sessions: Vec<u64> =
        (0..4000).map(|port| writing.open_session(&peer(port, Transport::Udp)).unwrap()).collect();
    while journal.segment_starts().len() < 10 || !segment_is_new(&journal, &writing) {
        append_raw(&mut writing, Kind::Stream, 0, 0, &payload(1, 100_000));
    }
    let newest = segments(dir.path()).pop().unwrap();
    let next = writing.next_number();
    drop((writing, journal));
    let whole = fs::read(&newest).unwrap();
    for cut in [0, 20, 4096, 270_000, 300_000] {
        let mut bytes = whole.clone();
        bytes[cut..].fill(0);
        fs::write(&newest, bytes).unwrap();
        let journal = open(dir.path(), segment);
        let (writing, found) = recover(&journal, Recovered::default());
        assert!(found.last_number < next);
        let found: Vec<u64> = writing.sessions.iter().map(|(id, _)| id).collect();
        assert_eq!(found, sessions, "cut at {cut}");
    }
}

/// Whether the newest segment holds one frame only, so that cutting its head leaves it without any.
fn segment_is_new(journal: &Journal, writing: &receiver::journal::JournalWriter) -> bool {
    journal.segment_starts().last().is_some_and(|first| *first + 1 == writing.next_number())
}

#[test]
fn a_session_that_ends_without_room_is_closed_later() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options(SEGMENT), Quota::new(2 * SEGMENT)).unwrap();
    let mut writing = writer(&journal);
    let id = writing.open_session(&peer(1, Transport::Tcp)).unwrap();
    let mut last = id;
    while writing.has_room(0) {
        last = append_raw(&mut writing, Kind::Stream, 0, 0, b"");
    }
    writing.close_session(id);
    assert!(writing.sessions.get(id).is_some(), "nobody was told yet");
    journal.release(last + 1, &[]).unwrap();
    journal.release(last + 1, &[]).unwrap();
    writing.close_ended_sessions();
    assert!(writing.sessions.get(id).is_none());
    let (sessions, found) = journal.sessions_before(u64::MAX).unwrap();
    assert!(sessions.is_empty());
    assert_eq!(found.last_number, last + 1);
}

#[test]
fn a_spare_file_is_used_again_after_a_segment_could_not_be_begun() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options(SEGMENT), Quota::new(2 * SEGMENT)).unwrap();
    let mut writing = writer(&journal);
    // The place of the first segment is taken by something that is no file.
    let place = dir.path().join(format!("{:020}.segment", 1));
    fs::create_dir(&place).unwrap();
    assert!(!writing.has_room(10));
    assert!(!journal.accepts());
    fs::remove_dir(&place).unwrap();
    for number in 1..=20 {
        append_raw(&mut writing, Kind::Stream, 0, 0, &payload(number, 3_000));
    }
    assert_eq!(journal.segment_starts().len(), 2, "the failed attempt did not use up the quota");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Random frames, and a crash after any number of bytes of the newest segment: a prefix is read back,
    /// and everything that is appended afterwards.
    #[test]
    fn a_prefix_survives_a_crash(
        lives in proptest::collection::vec(
            (proptest::collection::vec(0usize..12_000, 1..40), 0.0f64..1.0),
            1..4,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut expected: Vec<(u64, Vec<u8>)> = Vec::new();
        for (lengths, crash) in lives {
            let journal = open(dir.path(), SEGMENT);
            let (mut writing, found) = recover(&journal, Recovered::default());
            prop_assert_eq!(found.last_number, expected.last().map_or(0, |frame| frame.0));
            for length in lengths {
                let number = writing.next_number();
                let bytes = payload(number, length);
                append_raw(&mut writing, Kind::Stream, 0, 0, &bytes);
                expected.push((number, bytes));
            }
            drop((writing, journal));
            // The crash: the newest segment is cut somewhere and goes on with zeros.
            let newest = segments(dir.path()).pop().unwrap();
            let first: u64 = newest.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            let mut bytes = fs::read(&newest).unwrap();
            let cut = (crash * bytes.len() as f64) as usize;
            let mut offset = 4096;
            expected.retain(|(number, payload)| {
                if *number < first {
                    return true;
                }
                let frame = &bytes[offset..offset + 48 + payload.len()];
                // Zeros at its end are there whether they were written or not.
                let needed = offset + frame.len() - frame.iter().rev().take_while(|byte| **byte == 0).count();
                offset += frame.len().next_multiple_of(4096);
                needed <= cut
            });
            bytes[cut..].fill(0);
            fs::write(&newest, &bytes).unwrap();
        }
        let journal = open(dir.path(), SEGMENT);
        let (frames, holes) = {
            let _writing = recover(&journal, Recovered::default());
            read_all(&journal)
        };
        prop_assert_eq!(holes, []);
        let read: Vec<(u64, Vec<u8>)> = frames.into_iter().map(|(number, _, bytes)| (number, bytes)).collect();
        prop_assert_eq!(read, expected);
    }
}
