//! The thread beside the embedded library: waits for signals and keeps the log in bounds. It never
//! touches the engine but through what the engine reads.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{ServerError, system};
use crate::library::exit_now;
use crate::log;

/// How often the log's size is looked at, in milliseconds.
const LOG_CHECK_MS: u16 = 10_000;

/// The engine's last statement.
const STOP: &[u8] = b"SYSTEM FLUSH LOGS;";

/// The signals that stop the server.
pub(crate) fn stop_signals() -> SigSet {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals
}

/// The other ends of what the engine reads.
pub(crate) struct Inputs {
    /// A pipe with statements; the engine stops in order when it and the terminal have ended.
    pub statements: File,
    /// The terminal that is the engine's standard input; nothing is ever typed.
    pub terminal: OwnedFd,
}

pub(crate) struct Watcher {
    log: PathBuf,
    arrivals: SignalFd,
    /// None once a signal has come.
    inputs: Option<Inputs>,
    stopping: Arc<AtomicBool>,
}

impl Watcher {
    /// Starts the thread; what it returns becomes true with the first signal. The caller has blocked
    /// [`stop_signals`].
    pub fn start(log: PathBuf, inputs: Inputs) -> Result<Arc<AtomicBool>, ServerError> {
        let arrivals = SignalFd::with_flags(&stop_signals(), SfdFlags::SFD_CLOEXEC)
            .map_err(system("watch for signals"))?;
        let stopping = Arc::new(AtomicBool::new(false));
        let watcher = Self { log, arrivals, inputs: Some(inputs), stopping: stopping.clone() };
        std::thread::Builder::new()
            .name("watcher".to_owned())
            .spawn(move || watcher.watch())
            .map_err(system("start a thread"))?;
        Ok(stopping)
    }

    fn watch(mut self) {
        loop {
            let mut polled = [PollFd::new(self.arrivals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, PollTimeout::from(LOG_CHECK_MS)) {
                Ok(0) => log::keep_bounded(&self.log),
                // An interruption or a lack of memory; the next attempt waits again.
                Err(_) => {}
                Ok(_) => self.take_signal(),
            }
        }
    }

    fn take_signal(&mut self) {
        let Ok(Some(_)) = self.arrivals.read_signal() else { return };
        let Some(Inputs { mut statements, terminal }) = self.inputs.take() else {
            // The second signal: the user does not want to wait.
            exit_now(1);
        };
        self.stopping.store(true, Ordering::SeqCst);
        // If the engine is gone, the write fails and the process ends anyway.
        let _ = statements.write_all(STOP);
        drop(statements);
        drop(terminal);
    }
}
