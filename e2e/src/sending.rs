//! Records that come for as long as a test needs them, however long that is on a slow machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::simulator::{Sent, Simulator};

/// Of one run.
const DEADLINE: Duration = Duration::from_secs(600);
/// What a run sends, in seconds of its rate.
const RUN: u64 = 5;

/// One simulator after another, each with a seed of its own, until it is told to stop.
pub struct Sending {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Sent>>>,
}

impl Sending {
    /// So many records a second to this address by TCP, each run with its last sequence number stated at its end; the
    /// runs have seeds from the first one on.
    pub fn start(to: &str, rate: u64, first_seed: u64) -> Sending {
        Sending::start_with(to, rate, first_seed, &["--announce-end"])
    }

    /// The same with other options of the simulator.
    pub fn start_with(to: &str, rate: u64, first_seed: u64, more: &[&str]) -> Sending {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let (records, rate) = ((rate * RUN).to_string(), rate.to_string());
        let common = ["--to", to, "--records", &records, "--rate", &rate, "--patience", "300"];
        let common: Vec<String> = common.iter().chain(more).map(ToString::to_string).collect();
        let thread = std::thread::spawn(move || {
            let mut runs = Vec::new();
            for seed in first_seed.. {
                let seed = seed.to_string();
                let mut run: Vec<&str> = common.iter().map(String::as_str).collect();
                run.extend(["--seed", &seed]);
                runs.push(Simulator::start(&run).finish(DEADLINE));
                if told.load(Ordering::Relaxed) {
                    break;
                }
            }
            runs
        });
        Sending { stop, thread: Some(thread) }
    }

    /// What each run sent; there is at least one.
    pub fn finish(mut self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
