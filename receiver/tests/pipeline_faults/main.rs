//! The real journal, intent log and pipeline against a server on which everything goes wrong that can, in
//! seeded histories of several lives: every record of every frame is stored exactly once.
//!
//! `FAULT_SEEDS=10000 cargo test -p receiver --test pipeline_faults` runs more of them, `FAULT_SEED=7` one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

#[path = "../common/mod.rs"]
mod common;
mod dice;
mod life;
mod native;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Part, Sender, template};
use dice::Dice;
use life::{Life, Plan};
use schema::Stream;
use server::Server;
use tokio::runtime::Runtime;

/// What a history may contain. Some things exclude each other at the borders of the promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Theme {
    /// Kills, and everything that can happen to a request.
    Kills,
    /// Also servers of another version, which know no token.
    Upgrades,
    /// Also sets that wait for their template.
    Waiting,
    /// Also rows that are refused.
    Poison,
    /// Also a directory that is replaced by an older copy of itself.
    Restores,
}

const THEMES: [Theme; 5] = [Theme::Kills, Theme::Upgrades, Theme::Waiting, Theme::Poison, Theme::Restores];

struct History<'a> {
    seed: u64,
    theme: Theme,
    dice: Dice,
    server: Server,
    runtime: &'a Runtime,
    stream: &'static Stream,
    dir: PathBuf,
    sender: Sender,
    session: u64,
    /// Octets of all records that were journaled.
    journaled: BTreeSet<u64>,
    /// Those whose frames only a life knew that was replaced by an older copy.
    forgotten: BTreeSet<u64>,
    /// Templates that sets wait for, and the octets of those sets.
    waiting: BTreeMap<u16, Vec<u64>>,
    /// A copy of the directory, and what was journaled then.
    copy: Option<(PathBuf, BTreeSet<u64>)>,
}

#[test]
fn every_record_is_stored_exactly_once() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let seeds = match number("FAULT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FAULT_SEEDS").unwrap_or(300),
    };
    let stream = native::stream();
    let mut fates: BTreeMap<String, u64> = BTreeMap::new();
    for seed in seeds.clone() {
        // Memory, not a disk: it is the order of writes that counts here.
        let place = Path::new("/dev/shm");
        let dir = if place.is_dir() { tempfile::tempdir_in(place) } else { tempfile::tempdir() }.unwrap();
        let server = runtime.block_on(Server::start(seed));
        let mut history = History {
            seed,
            theme: THEMES[(seed % THEMES.len() as u64) as usize],
            dice: Dice::new(seed),
            server,
            runtime: &runtime,
            stream,
            dir: dir.path().join("journal"),
            sender: Sender::ipfix(1),
            session: 0,
            journaled: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            waiting: BTreeMap::new(),
            copy: None,
        };
        history.run();
        for (fate, count) in &history.server.state().fates {
            *fates.entry(fate.clone()).or_default() += count;
        }
    }
    println!("{fates:?}");
    if seeds.count() > 100 {
        for fate in ["Stored", "AnswerLost", "CutOff", "Late", "Unavailable", "KillsBefore", "KillsAfter"] {
            assert!(fates.get(fate).is_some_and(|count| *count > 10), "{fate} hardly happened: {fates:?}");
        }
    }
}

impl History<'_> {
    fn run(&mut self) {
        for _ in 0..2 + self.dice.below(4) {
            self.server.state().trouble = 1 + self.dice.below(4);
            self.server.state().kills = true;
            let plan = Plan {
                workers: 1 + self.dice.below(2) as usize,
                steps: if self.dice.once_in(2) { self.dice.below(60) as i64 } else { -1 },
            };
            let mut life = self.begin(&plan);
            for _ in 0..self.dice.below(25) {
                self.step(&mut life);
            }
            life.die(&self.server);
            self.between_lives();
        }
        self.server.state().trouble = 0;
        let mut life = self.begin(&Plan { workers: 2, steps: -1 });
        for (id, octets) in std::mem::take(&mut self.waiting) {
            life.append_part(self.session, &mut self.sender, Part::Template(template(id, 4)));
            self.journaled.extend(octets);
        }
        self.append(&mut life);
        let begun = Instant::now();
        while !life.pipeline.is_drained() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "seed {} ({:?}) does not drain: {:?}, {:?}, {} ranges open, up to {}",
                self.seed,
                self.theme,
                life.pipeline.last_error(),
                life.journal.published(),
                life.pipeline.book().lock().unwrap().open_ranges(),
                life.pipeline.book().lock().unwrap().committed().low_water
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        self.check(&life);
        life.die(&self.server);
    }

    fn begin(&self, plan: &Plan) -> Life {
        Life::begin(&self.dir, self.stream, &self.server, self.runtime.handle(), plan)
    }

    fn step(&mut self, life: &mut Life) {
        match self.dice.below(10) {
            0..=4 => self.append(life),
            5 | 6 => std::thread::sleep(Duration::from_micros(self.dice.below(3000))),
            7 => life.checkpoint(),
            8 if self.theme == Theme::Waiting && self.session != 0 => self.wait_or_release(life),
            8 if self.theme == Theme::Restores && self.copy.is_none() => self.make_copy(),
            8 if self.theme == Theme::Upgrades && self.dice.once_in(3) => self.server.upgrade(),
            _ => {}
        }
    }

    fn append(&mut self, life: &mut Life) {
        let messages: Vec<u32> = (0..1 + self.dice.below(4)).map(|_| self.dice.below(60) as u32).collect();
        let octets = life.append(&mut self.session, &mut self.sender, &messages);
        if self.theme == Theme::Poison && self.dice.once_in(4) && !octets.is_empty() {
            let guilty = octets[self.dice.below(octets.len() as u64) as usize];
            self.server.state().poison.insert(guilty);
        }
        self.journaled.extend(octets);
    }

    /// A set that waits, or the template that one waits for.
    fn wait_or_release(&mut self, life: &mut Life) {
        let id = 300 + self.dice.below(3) as u16;
        let session = life.writer.sessions.get(self.session);
        if session.is_none_or(|session| session.templates.get(1, id, 0).is_some()) {
            return;
        }
        if self.dice.once_in(3)
            && let Some(octets) = self.waiting.remove(&id)
        {
            life.append_part(self.session, &mut self.sender, Part::Template(template(id, 4)));
            self.journaled.extend(octets);
            return;
        }
        let before = self.sender.octets;
        let records = 1 + self.dice.below(20) as u32;
        life.append_part(self.session, &mut self.sender, Part::Data(id, 4, records));
        self.waiting.entry(id).or_default().extend(before + 1..=self.sender.octets);
    }

    /// While it is in use, so file by file at different moments.
    fn make_copy(&mut self) {
        let to = self.dir.with_extension("copy");
        fs::create_dir(&to).unwrap();
        let names = ["identity", "intents"].map(|name| self.dir.join(name));
        let mut files: Vec<PathBuf> = names.into_iter().collect();
        for entry in fs::read_dir(&self.dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "segment") {
                files.push(path);
            }
        }
        if self.dice.once_in(2) {
            files.reverse();
        }
        for file in files {
            // A segment may have been recycled meanwhile.
            let _ = fs::copy(&file, to.join(file.file_name().unwrap()));
        }
        self.copy = Some((to, self.journaled.clone()));
    }

    fn between_lives(&mut self) {
        if self.theme == Theme::Upgrades && self.dice.once_in(3) {
            self.server.upgrade();
        }
        if self.theme == Theme::Restores
            && self.dice.once_in(2)
            && let Some((copy, journaled)) = self.copy.take()
        {
            // Ten minutes later.
            self.server.end_late_attempts();
            fs::remove_dir_all(&self.dir).unwrap();
            fs::rename(copy, &self.dir).unwrap();
            self.forgotten.extend(self.journaled.difference(&journaled));
            self.journaled = journaled;
        }
    }

    fn check(&self, life: &Life) {
        let context = || format!("seed {} ({:?})", self.seed, self.theme);
        let rows = self.server.rows();
        let stored: BTreeSet<u64> = rows.iter().map(|row| row.octets).collect();
        let mut seen = BTreeSet::new();
        for row in &rows {
            assert!(seen.insert(row.octets), "{}: {row:?} is stored twice", context());
            assert_eq!(row.journal, life.journal.id(), "{}", context());
        }
        let poison = self.server.state().poison.clone();
        let expected: BTreeSet<u64> = self.journaled.difference(&poison).copied().collect();
        let lost: Vec<u64> = expected.difference(&stored).copied().collect();
        assert!(lost.is_empty(), "{}: lost {lost:?}", context());
        let unknown: Vec<&u64> =
            stored.difference(&expected).filter(|octets| !self.forgotten.contains(octets)).collect();
        assert!(unknown.is_empty(), "{}: nobody sent {unknown:?}", context());
        let book = life.pipeline.book().lock().unwrap();
        let (totals, state) = (book.totals(), book.committed().after.state.clone());
        assert_eq!(totals.stored + totals.set_aside, state.counters.decoded, "{}", context());
        if self.theme != Theme::Restores {
            assert_eq!(totals.stored, rows.len() as u64, "{}", context());
            assert_eq!(state.counters.decoded, self.journaled.len() as u64, "{}", context());
            let figures = state.sequence_figures().records;
            assert_eq!(figures.missing, 0, "{}", context());
            assert_eq!(figures.announced, state.counters.decoded, "{}", context());
        }
    }
}
