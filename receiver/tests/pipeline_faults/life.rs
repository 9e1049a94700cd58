//! One life of a receiver on a directory: journal, intent log and pipeline as they really are, a listener
//! that is played by the test, and a death at any moment.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crds::Transport;
use receiver::insert::{Pipeline, PipelineOptions, Target};
use receiver::intent_log::{IntentLog, Wire};
use receiver::journal::{Journal, JournalWriter, Kind};
use schema::Stream;
use tokio::runtime::Handle;

use crate::common::{self, Part, Sender, append, template};
use crate::server::Server;

pub const SEGMENT: u64 = 64 << 10;
const DOMAIN: u32 = 1;
const TEMPLATE: u16 = 256;

pub struct Life {
    pub journal: Arc<Journal>,
    pub writer: JournalWriter,
    pub pipeline: Arc<Pipeline>,
    workers: Vec<JoinHandle<()>>,
}

/// How a life's workers work and die.
pub struct Plan {
    pub workers: usize,
    /// They die after so many steps of theirs; negative: only when told.
    pub steps: i64,
}

impl Life {
    pub fn begin(
        dir: &Path,
        stream: &'static Stream,
        server: &Server,
        runtime: &Handle,
        plan: &Plan,
    ) -> Life {
        server.kill().send_replace(false);
        let journal = common::open(dir, SEGMENT);
        let (log, recovered) = IntentLog::open(dir, journal.id()).unwrap();
        let (writer, found) = common::recover(&journal, recovered.newest());
        let options = PipelineOptions {
            max_delay: Duration::ZERO,
            first_pause: Duration::from_millis(1),
            block_bytes: 4 << 10,
            ..PipelineOptions::of(stream)
        };
        let target = Target::new(&server.url, "u", "p", "d");
        let pipeline = Arc::new(
            Pipeline::resume(options, &journal, target, (log, recovered), found.last_number).unwrap(),
        );
        let steps = Arc::new(AtomicI64::new(plan.steps));
        let workers = (0..plan.workers)
            .map(|_| {
                let (pipeline, server, runtime) = (pipeline.clone(), server.clone(), runtime.clone());
                let steps = steps.clone();
                std::thread::spawn(move || work(&pipeline, &server, &runtime, &steps))
            })
            .collect();
        Life { journal, writer, pipeline, workers }
    }

    /// Appends a frame of some messages; returns the octets of the rows that it brings.
    pub fn append(&mut self, session: &mut u64, sender: &mut Sender, records: &[u32]) -> Vec<u64> {
        let known = self.writer.sessions.get(*session).is_some();
        if !known {
            *session = self.writer.open_session(&common::peer(1, Transport::Udp)).unwrap();
        }
        let knows = |writer: &JournalWriter| {
            writer.sessions.get(*session).is_some_and(|s| s.templates.get(DOMAIN, TEMPLATE, 0).is_some())
        };
        let before = sender.octets;
        let mut messages = Vec::new();
        if !knows(&self.writer) {
            messages.push(sender.message(&[Part::Template(template(TEMPLATE, 2))]));
        }
        messages.extend(records.iter().map(|records| sender.message(&[Part::Data(TEMPLATE, 2, *records)])));
        append(&mut self.writer, Kind::Datagrams, *session, &messages);
        (before + 1..=sender.octets).collect()
    }

    /// Appends a data set whose template comes later, or the template.
    pub fn append_part(&mut self, session: u64, sender: &mut Sender, part: Part) {
        let message = sender.message(&[part]);
        append(&mut self.writer, Kind::Datagrams, session, &[message]);
    }

    /// As the housekeeper does.
    pub fn checkpoint(&self) {
        let mut book = self.pipeline.book().lock().unwrap();
        book.checkpoint(&Wire::default(), true).unwrap();
        let (keep_from, pinned) = book.releasable();
        drop(book);
        self.journal.release(keep_from, &pinned).unwrap();
    }

    /// The workers die where they are; nothing is written any more.
    pub fn die(self, server: &Server) {
        server.kill().send_replace(true);
        for worker in self.workers {
            worker.join().unwrap();
        }
    }
}

fn work(pipeline: &Pipeline, server: &Server, runtime: &Handle, steps: &AtomicI64) {
    let mut killed = server.kill().subscribe();
    let mut workshop = pipeline.workshop();
    while !*killed.borrow() {
        let turn = std::pin::pin!(pipeline.turn(&mut workshop));
        let mut turn = turn;
        let counted = std::future::poll_fn(|context| {
            if steps.load(Ordering::Relaxed) >= 0 && steps.fetch_sub(1, Ordering::Relaxed) == 0 {
                server.kill().send_replace(true);
            }
            turn.as_mut().poll(context)
        });
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = killed.wait_for(|killed| *killed) => {}
                result = counted => result.unwrap(),
            }
        });
    }
}
