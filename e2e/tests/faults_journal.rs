//! What can happen to a journal: deleted, restored from an old copy, its notes lost, its disk damaged,
//! its space used up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::{
    Fate, Relay, Sent, Simulator, System, SystemOptions, assert_balanced, assert_stored_exactly, wait_for,
};

const LONG: Duration = Duration::from_secs(600);

#[test]
fn deleted_between_two_runs() {
    let mut system = System::start(&SystemOptions::default());
    let mut runs = vec![send(&system, 50_000, 71)];
    system.wait_until_stored(0);
    for seed in 72..74 {
        system.stop_receiver();
        fs::remove_dir_all(system.journal(0)).unwrap();
        system.start_receiver();
        runs.push(send(&system, 50_000, seed));
        let status = system.wait_until_stored(0);
        assert_stored_exactly(&system, 0, &runs);
        assert_balanced(&status);
        assert_eq!(status.sequence.decoded, 50_000, "the new journal knows the new records only");
    }
}

/// When the copy is made, some ranges are done, one is stored and its answer was lost, and some frames
/// were never sent. All of it is stored by the life that goes on, and by the restored one not again.
#[test]
fn restored_from_an_old_copy() {
    let (mut system, lossy, relay) = with_lossy_relay(300);
    let mut runs = vec![send(&system, 30_000, 81)];
    system.wait_until_stored(0);
    lossy.store(true, Ordering::SeqCst);
    runs.push(send(&system, 30_000, 82));
    wait_for("a lost answer", LONG, || relay.attempts().iter().any(is_lost).then_some(()));
    runs.push(send(&system, 30_000, 83));
    assert!(system.stream(0).destination.waiting > 0);
    system.kill_receiver();
    let copy = copy_of(&system.journal(0), "copy");
    lossy.store(false, Ordering::SeqCst);

    system.start_receiver();
    runs.push(send(&system, 30_000, 84));
    system.wait_until_stored(0);
    assert_stored_exactly(&system, 0, &runs);
    system.stop_receiver();

    // Restored twice: what the first restored life stores is not known to the second either.
    for seed in 85..87 {
        restore(&copy, &system.journal(0));
        system.start_receiver();
        runs.push(send(&system, 30_000, seed));
        let status = system.wait_until_stored(0);
        assert_stored_exactly(&system, 0, &runs);
        assert_balanced(&status);
        system.stop_receiver();
    }
}

/// `cp -r` while records arrive: log and segments of the copy are of different moments.
#[test]
fn restored_from_copies_made_in_use() {
    let mut system = System::start(&delayed(100));
    let to = system.address(0);
    let simulator =
        Simulator::start(&["--to", &to, "--records", "400000", "--rate", "100000", "--seed", "90"]);
    let mut copies = Vec::new();
    for name in ["first", "second", "third"] {
        std::thread::sleep(Duration::from_millis(900));
        copies.push(copy_of(&system.journal(0), name));
    }
    let mut runs = vec![simulator.finish(LONG)];
    system.wait_until_stored(0);
    assert_stored_exactly(&system, 0, &runs);
    for (seed, copy) in (91..).zip(&copies) {
        system.stop_receiver();
        restore(copy, &system.journal(0));
        system.start_receiver();
        runs.push(send(&system, 30_000, seed));
        let status = system.wait_until_stored(0);
        assert_stored_exactly(&system, 0, &runs);
        // A slow copy may have newer notes than frames: of what they say is stored, these rows are not decoded again.
        if status.journal.lost_frames == 0 {
            assert_balanced(&status);
        }
    }
}

#[test]
fn notes_that_are_cut_or_gone() {
    let options = SystemOptions {
        configure: Some(Box::new(|config| {
            for dpi in &mut config.dpis {
                dpi.max_delay_ms = 100;
                dpi.journal.keep_after_commit_ms = 600_000;
            }
        })),
        ..SystemOptions::default()
    };
    let mut system = System::start(&options);
    let mut runs = Vec::new();
    for (seed, damage) in
        (0..).zip(["cut after kill", "gone after kill", "cut after stop", "gone after stop"])
    {
        for part in 0..3 {
            runs.push(send(&system, 20_000, 100 + seed * 10 + part));
            std::thread::sleep(Duration::from_millis(150));
        }
        system.wait_until_stored(0);
        if damage.ends_with("kill") {
            system.kill_receiver()
        } else {
            system.stop_receiver()
        }
        let notes = system.journal(0).join("intents");
        if damage.starts_with("cut") {
            let length = fs::metadata(&notes).unwrap().len();
            File::options().write(true).open(&notes).unwrap().set_len(length / 2).unwrap();
        } else {
            fs::remove_file(&notes).unwrap();
        }
        system.start_receiver();
        let status = system.wait_until_stored(0);
        assert_stored_exactly(&system, 0, &runs);
        assert_balanced(&status);
    }
    // And new records still pass.
    runs.push(send(&system, 20_000, 199));
    system.wait_until_stored(0);
    assert_stored_exactly(&system, 0, &runs);
}

/// As after a power cut: an insert was stored, its answer lost, and then its last frames too.
#[test]
fn newest_frames_that_are_gone() {
    // Longer than they take to be sent.
    let (mut system, lossy, relay) = with_lossy_relay(3_600_000);
    lossy.store(true, Ordering::SeqCst);
    let mut runs = vec![send(&system, 40_000, 111)];
    system.config.dpis[0].max_delay_ms = 1;
    system.reload();
    wait_for("a lost answer", LONG, || relay.attempts().iter().any(is_lost).then_some(()));
    assert_eq!(system.stored(0).rows, 40_000, "all frames must be of the one insert");
    system.kill_receiver();
    let segment = segments(&system.journal(0)).pop().unwrap();
    let frames = frames_of(&segment);
    let torn = &frames[frames.len() * 2 / 3..];
    assert!(torn.len() > 3);
    let file = File::options().write(true).open(&segment).unwrap();
    for frame in torn {
        file.write_all_at(&vec![0; frame.length as usize + 48], frame.offset).unwrap();
    }
    lossy.store(false, Ordering::SeqCst);
    system.start_receiver();
    runs.push(send(&system, 40_000, 112));
    let status = system.wait_until_stored(0);
    assert_stored_exactly(&system, 0, &runs);
    assert_balanced(&status);
}

#[test]
fn damaged_frames_are_the_only_loss() {
    let options = SystemOptions {
        configure: Some(Box::new(|config| config.dpis[0].journal.segment_bytes = 16 << 20)),
        ..SystemOptions::default()
    };
    let mut system = System::start(&options);
    system.kill_clickhouse();
    let sent = send(&system, 400_000, 121);
    system.kill_receiver();
    let segments = segments(&system.journal(0));
    assert!(segments.len() >= 3, "{segments:?}");
    // Content, a header, and content of the newest segment, whose end has to be found again.
    damage(&segments[0], 200);
    damage(&segments[1], 1);
    damage(segments.last().unwrap(), 3_000);
    system.start_clickhouse();
    system.start_receiver();
    let status = system.wait_until_stored(0);
    assert_balanced(&status);
    assert_eq!(status.journal.lost_frames, 3, "{status:?}");
    assert!(status.sequence.missing > 0);
    let stored = system.stored(0);
    assert_eq!(stored.rows, stored.distinct);
    assert_eq!(stored.rows + status.sequence.missing, sent.records, "{status:?}");
    // One frame holds what was read at once: a small part.
    assert!(stored.rows * 10 > sent.records * 9, "{status:?}");
    let later = send(&system, 20_000, 122);
    system.wait_until_stored(0);
    assert_eq!(system.stored(0).rows, stored.rows + later.records);
}

#[test]
fn full() {
    let options = SystemOptions {
        configure: Some(Box::new(|config| {
            for dpi in &mut config.dpis {
                dpi.journal.quota_bytes = 64 << 20;
                dpi.journal.segment_bytes = 16 << 20;
                // Rather than refuse records, it gives up what is only kept in case.
                dpi.journal.keep_after_commit_ms = 600_000;
            }
        })),
        ..SystemOptions::default()
    };
    let mut system = System::start(&options);
    system.kill_clickhouse();
    let (tcp_to, udp_to) = (system.address(0), system.address(1));
    let arguments = ["--records", "900000", "--patience", "600", "--announce-end"];
    let tcp = Simulator::start(&[&["--to", &tcp_to, "--seed", "131"], &arguments[..]].concat());
    let arguments = ["--transport", "udp", "--records", "900000", "--rate", "150000"];
    let udp = Simulator::start(&[&["--to", &udp_to, "--seed", "132"], &arguments[..]].concat());
    wait_for("full journals", LONG, || (!system.stream(0).ready && !system.stream(1).ready).then_some(()));
    assert!(system.is_unready());
    let udp = udp.finish(LONG);
    let status = system.stream(1);
    assert!(status.wire.refused["journal_full"] > 0, "{status:?}");
    assert!(status.journal.bytes <= 64 << 20, "{status:?}");

    system.start_clickhouse();
    // Room comes back without anybody sending.
    wait_for("readiness", LONG, || (!system.is_unready()).then_some(()));
    let tcp = tcp.finish(LONG);
    let by_tcp = system.wait_until_stored(0);
    assert_stored_exactly(&system, 0, &[tcp]);
    assert_balanced(&by_tcp);
    assert!(by_tcp.wire.refused.is_empty(), "{by_tcp:?}");
    assert_eq!(by_tcp.sequence.missing, 0);

    let before = system.wait_until_stored(1).sequence.decoded;
    let last = {
        let to = system.address(1);
        let arguments = ["--transport", "udp", "--records", "20000", "--rate", "20000", "--domain", "9"];
        Simulator::start(&[&["--to", &to, "--seed", "133"], &arguments[..]].concat()).finish(LONG)
    };
    system.wait_until_decoded(1, "fullflow", before + last.records);
    let by_udp = system.wait_until_stored(1);
    assert_balanced(&by_udp);
    let stored = system.stored(1);
    assert_eq!(stored.rows, stored.distinct);
    assert_eq!(by_udp.destination.stored, stored.rows);
    assert!(stored.rows < udp.records + last.records);
    // What came at the end, after room came back, is all there.
    let first = last.first_session_id;
    let ids = format!("session_id BETWEEN {first} AND {}", first + last.records - 1);
    assert_eq!(system.number(&format!("SELECT count() FROM qoestor.fullflow WHERE {ids}")), last.records);
}

fn delayed(max_delay_ms: u64) -> SystemOptions {
    SystemOptions {
        configure: Some(Box::new(move |config| {
            for dpi in &mut config.dpis {
                dpi.max_delay_ms = max_delay_ms;
            }
        })),
        ..SystemOptions::default()
    }
}

/// A system whose inserts are stored without an answer while the switch is on.
fn with_lossy_relay(max_delay_ms: u64) -> (System, Arc<AtomicBool>, Relay) {
    let mut system = System::prepare(&delayed(max_delay_ms));
    let lossy = Arc::new(AtomicBool::new(false));
    let switch = lossy.clone();
    let relay = Relay::start(system.clickhouse_url(), "qoestor.fullflow", move |_| {
        if switch.load(Ordering::SeqCst) { Fate::CutAnswer } else { Fate::Pass }
    });
    system.config.clickhouse.url = relay.url();
    system.start_receiver();
    (system, lossy, relay)
}

fn is_lost(attempt: &e2e::Attempt) -> bool {
    attempt.fate == Fate::CutAnswer && attempt.status == Some(200)
}

fn send(system: &System, records: u64, seed: u64) -> Sent {
    let (to, records, seed) = (system.address(0), records.to_string(), seed.to_string());
    let arguments = ["--to", &to, "--records", &records, "--seed", &seed, "--announce-end"];
    Simulator::start(&arguments).finish(LONG)
}

fn copy_of(journal: &Path, name: &str) -> PathBuf {
    let copy = journal.parent().unwrap().parent().unwrap().join(name);
    // A file that goes while the journal is in use is not copied; that is the point.
    Command::new("cp").arg("-r").arg(journal).arg(&copy).output().unwrap();
    assert!(copy.join("identity").exists());
    copy
}

fn restore(copy: &Path, journal: &Path) {
    fs::remove_dir_all(journal).unwrap();
    assert!(Command::new("cp").arg("-r").arg(copy).arg(journal).status().unwrap().success());
}

fn segments(journal: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|is| is == "segment")).collect();
    segments.sort();
    segments
}

/// A frame of messages of a TCP session.
struct Frame {
    offset: u64,
    length: u32,
}

/// The frames of a segment, by their own headers: at multiples of 4,096 bytes, 48 bytes long, with
/// magic, CRC, length and kind as the first four words.
fn frames_of(segment: &Path) -> Vec<Frame> {
    let bytes = fs::read(segment).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut frames = Vec::new();
    let mut offset = 0;
    while offset + 48 <= bytes.len() && &bytes[offset..offset + 4] == b"QoeF" {
        let (length, kind) = (word(offset + 8), word(offset + 12));
        if kind == 1 {
            frames.push(Frame { offset: offset as u64, length });
        }
        offset += (48 + length as usize).next_multiple_of(4096);
    }
    frames
}

/// Flips a bit of the frame in the middle of a segment, `at` bytes behind its beginning.
fn damage(segment: &Path, at: u64) {
    let frames = frames_of(segment);
    let frame = &frames[frames.len() / 2];
    assert!(at < u64::from(frame.length) + 48);
    let file = File::options().read(true).write(true).open(segment).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, frame.offset + at).unwrap();
    byte[0] ^= 0x10;
    file.write_all_at(&byte, frame.offset + at).unwrap();
}
