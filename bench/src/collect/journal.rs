//! T2: the receiver's own listener and journal. A reader beside it, whose time does not count, reads back every frame,
//! adds up what is in it, and gives back segments, as one does that keeps up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use crds::Transport;
use crds::receiver::JournalConfig;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gettid};
use receiver::journal::{Fsync, Journal, JournalReader, JournalWriter, Position, Quota, Recovered};
use receiver::listen::{Allowed, Listener, ListenerOptions, WireCounters};
use receiver::sessions::Messages;
use receiver::stream;

use super::receive::SILENCE;
use super::{Collected, Options, Stopwatch};
use crate::decoding::{Decoding, What};
use crate::sums::Sums;
use crate::usage;

/// How often the listener is looked at.
const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);

/// Collects into a journal.
pub(super) fn run(options: &Options, listening: impl FnOnce(SocketAddr)) -> anyhow::Result<Collected> {
    let temporary = tempfile::tempdir()?;
    let dir = options.dir.clone().unwrap_or_else(|| temporary.path().to_path_buf()).join("journal");
    let config = JournalConfig::default();
    // Segments go back as soon as they are read: how long they are kept otherwise changes nothing else.
    let settings =
        receiver::journal::Options { keep_after_commit: Duration::ZERO, ..stream::options(&config) };
    let journal = Journal::open(&dir, settings, Quota::new(config.quota_bytes))?;
    let (stop, stop_reading) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let (writer, _) = JournalWriter::recover(journal.clone(), Recovered::default(), stop.clone())?;
    let listener = Listener::bind(ListenerOptions {
        address: options.listen,
        transport: options.transport,
        allowed: Allowed::new(Vec::new()),
        tls: None,
        label: "bench".to_owned(),
    })?;
    listening(listener.local_address());
    let wire = Arc::new(WireCounters::default());
    let reading_thread = AtomicI32::new(0);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_back(&journal, &stop_reading, &reading_thread));
        scope.spawn(|| listener.run(writer, wire.clone(), &stop));
        scope.spawn(|| keep(&journal, &stop));
        let watched = watch(options, &wire, &reading_thread);
        stop.store(true, Ordering::Relaxed);
        stop_reading.store(true, Ordering::Relaxed);
        let sums = reader.join().map_err(|_| anyhow::anyhow!("the reader has failed"))??;
        let watched = watched?;
        ensure!(wire.balance().refused.is_empty(), "the listener has refused messages: {:?}", wire.balance());
        Ok(Collected { sums, ..watched })
    })
}

/// Waits for the last record; what it took until then, without the reader.
fn watch(options: &Options, wire: &WireCounters, reading_thread: &AtomicI32) -> anyhow::Result<Collected> {
    let begun = Instant::now();
    let has_begun = || wire.bytes() > 0 || wire.connections() > 0;
    while !has_begun() || reading_thread.load(Ordering::Relaxed) == 0 {
        ensure!(begun.elapsed() < PATIENCE, "nobody sends");
        std::thread::sleep(LOOK);
    }
    let of_reader =
        || usage::of_other_thread(reading_thread.load(Ordering::Relaxed)).context("the reader's time");
    let reader_before = of_reader()?;
    let mut watch = Stopwatch::start();
    let mut seen = (0, Instant::now());
    loop {
        let bytes = wire.bytes();
        if bytes != seen.0 {
            seen = (bytes, Instant::now());
        }
        let has_ended = match options.transport {
            Transport::Tcp => wire.connections() == 0 && bytes > 0,
            Transport::Udp => seen.1.elapsed() >= SILENCE,
        };
        if has_ended {
            watch.checks = of_reader()?.saturating_sub(reader_before);
            return Ok(watch.stop(Sums::default()));
        }
        std::thread::sleep(LOOK);
    }
}

/// Forces frames to the disk as often as the receiver does.
fn keep(journal: &Journal, stop: &AtomicBool) {
    let mut synced = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        let Fsync::Interval(interval) = journal.options().fsync else { continue };
        if synced.elapsed() >= interval {
            if let Err(error) = journal.sync() {
                eprintln!("the journal cannot be forced to the disk: {error}");
            }
            synced = Instant::now();
        }
    }
}

/// Sums over every frame, until it is told to stop and has read all.
fn read_back(journal: &Arc<Journal>, stop: &AtomicBool, thread: &AtomicI32) -> anyhow::Result<Sums> {
    thread.store(gettid().as_raw(), Ordering::Relaxed);
    leave_the_core_of_the_others();
    let mut reader = JournalReader::at(journal.clone(), Position { segment: 1, offset: 0, number: 1 });
    let mut decoding = Decoding::new(What::AllFields);
    let (mut sums, mut holes) = (Sums::default(), Vec::new());
    loop {
        let is_last_look = stop.load(Ordering::Relaxed);
        let published = journal.published().number;
        while let Some(next) = reader.read(published, &mut holes)? {
            let payload = reader.payload();
            for message in Messages::of(next.header.kind, payload) {
                decoding.walk(payload, message.offset)?;
            }
            decoding.decode(payload, &[], None)?;
            decoding.sum_up(&mut sums);
            journal.release(next.header.number + 1, &[])?;
        }
        ensure!(holes.is_empty(), "the journal has holes: {holes:?}");
        if is_last_look {
            return Ok(sums);
        }
        std::thread::sleep(LOOK);
    }
}

/// Where the process is pinned to the collector's core, this thread uses the others.
fn leave_the_core_of_the_others() {
    let this_thread = Pid::from_raw(0);
    let Ok(own) = sched_getaffinity(this_thread) else { return };
    let mut others = CpuSet::new();
    for core in 0..CpuSet::count() {
        if own.is_set(core) == Ok(false) {
            // Never beyond the set's end.
            let _ = others.set(core);
        }
    }
    // Fails where there is no other: then it shares the core and only lasts longer.
    let _ = sched_setaffinity(this_thread, &others);
}
