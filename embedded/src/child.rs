//! The parent's side: starts the server process, waits until it answers, stops it.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::connection::Connection;
use crate::error::{EXIT_FAILED, EXIT_PORT_TAKEN, ServerError};
use crate::log;
use crate::prepare::Prepared;
use crate::run::{PARENT_VARIABLE, lost_port};
use crate::settings::Settings;
use crate::testing::SETTINGS_VARIABLE;
use crate::watcher::stop_signals;

/// Pause between two looks at the child.
const PAUSE: Duration = Duration::from_millis(20);

/// Most bytes of the child's error text that are kept.
const MOST_MESSAGE: u64 = 64 << 10;

/// The server could not be started, or is no longer there.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// No process could be made.
    #[error("cannot start {}: {source}", .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The process ended; the text is its [`ServerError`](crate::ServerError).
    #[error("{message}")]
    Ended {
        /// Exit code, if it was not a signal.
        code: Option<i32>,
        /// What it said, or what is known about its end.
        message: String,
    },
    /// The process runs but does not answer.
    #[error("clickhouse does not answer after {} s: {reason}; see {}", .waited.as_secs(), .log.display())]
    NotReady {
        /// How long it was waited for.
        waited: Duration,
        /// The last attempt's error.
        reason: String,
        /// The server's log.
        log: PathBuf,
    },
    /// The process can be neither seen nor signalled.
    #[error("cannot control the clickhouse process: {0}")]
    Control(#[from] std::io::Error),
}

impl ChildError {
    /// Whether starting the server again, without a change by the user, may help.
    pub fn worth_a_restart(&self) -> bool {
        match self {
            Self::Ended { code: Some(code), .. } => *code == i32::from(EXIT_FAILED),
            // Killed from outside, for example for lack of memory, or the engine crashed.
            Self::Ended { code: None, .. } => true,
            Self::Spawn { .. } | Self::NotReady { .. } | Self::Control(_) => false,
        }
    }

    /// Whether a port was taken.
    pub fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { code: Some(code), .. } if *code == i32::from(EXIT_PORT_TAKEN))
    }
}

/// How a server came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It stopped by itself after the signal.
    Orderly,
    /// It did not stop in time, or not in order, and was killed.
    Killed,
}

/// A running server process. Dropping it kills the process.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    settings: Settings,
    connection: Connection,
    log: PathBuf,
    log_start: u64,
    /// Its end lets the thread end that the kernel regards as the process's parent.
    _parent: mpsc::Sender<()>,
}

impl Child {
    /// Starts `program arguments...`, which must call [`run_here`](crate::run_here) with the settings in
    /// `prepared.settings_file`. It gets a process group of its own: Ctrl-C reaches only the parent,
    /// which then stops the server when everything that needs it has stopped.
    ///
    /// # Errors
    /// [`ChildError::Spawn`].
    pub fn spawn(program: &Path, arguments: &[OsString], prepared: &Prepared) -> Result<Self, ChildError> {
        let mut command = Command::new(program);
        command.args(arguments);
        command.env(PARENT_VARIABLE, std::process::id().to_string());
        command.env(SETTINGS_VARIABLE, &prepared.settings_file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);

        let log_start = log::length(&prepared.log);
        let failed = |source| ChildError::Spawn { program: program.to_owned(), source };
        // The kernel kills the server when the *thread* that started it ends. This one lives as long as
        // the handle does.
        let (parent, handle_dropped) = mpsc::channel();
        let (report, started) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("clickhouse-parent".to_owned())
            .spawn(move || {
                // The server inherits this, so that each of its threads has them blocked from the start;
                // if it fails, the server still blocks them itself.
                let _ = stop_signals().thread_block();
                let _ = report.send(command.spawn());
                let _ = handle_dropped.recv();
            })
            .map_err(failed)?;
        let process = started.recv().map_err(std::io::Error::other).flatten().map_err(failed)?;
        Ok(Self {
            process,
            settings: prepared.settings.clone(),
            connection: prepared.connection.clone(),
            log: prepared.log.clone(),
            log_start,
            _parent: parent,
        })
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the server answers to its user, and returns its version.
    ///
    /// # Errors
    /// [`ChildError::Ended`] with the server's own error text, or [`ChildError::NotReady`].
    pub fn wait_ready(&mut self, timeout: Duration) -> Result<String, ChildError> {
        let start = Instant::now();
        loop {
            let attempt = self.connection.ping().and_then(|()| self.connection.query("SELECT version()"));
            if let Some(port) = lost_port(&self.log, &self.settings, self.log_start) {
                self.kill()?;
                let message = ServerError::PortTaken { port }.to_string();
                return Err(ChildError::Ended { code: Some(i32::from(EXIT_PORT_TAKEN)), message });
            }
            // Only now: the answer could come from another server, because ours found the port taken.
            if let Some(ended) = self.ended()? {
                return Err(ended);
            }
            match attempt {
                Ok(version) => return Ok(version.trim_end().to_owned()),
                Err(error) if start.elapsed() >= timeout => {
                    let reason = error.to_string();
                    return Err(ChildError::NotReady { waited: timeout, reason, log: self.log.clone() });
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Looks, without waiting, whether the process has ended; if so, the error says why.
    ///
    /// # Errors
    /// [`ChildError::Control`].
    pub fn ended(&mut self) -> Result<Option<ChildError>, ChildError> {
        let Some(status) = self.process.try_wait()? else { return Ok(None) };
        let mut message = String::new();
        if let Some(stderr) = self.process.stderr.take() {
            // What cannot be read is replaced below.
            let _ = stderr.take(MOST_MESSAGE).read_to_string(&mut message);
        }
        let mut message = message.trim().to_owned();
        if message.is_empty() {
            let tail = log::tail(&self.log, self.log_start);
            message = format!("clickhouse ended ({status}); the end of {}:\n{tail}", self.log.display());
        }
        Ok(Some(ChildError::Ended { code: status.code(), message }))
    }

    /// Asks the server to stop, waits, and kills it after `timeout`.
    ///
    /// # Errors
    /// [`ChildError::Control`].
    pub fn stop(&mut self, timeout: Duration) -> Result<Stopped, ChildError> {
        let start = Instant::now();
        let mut status = self.process.try_wait()?;
        if status.is_none() {
            self.signal(Signal::SIGTERM)?;
        }
        while status.is_none() && start.elapsed() < timeout {
            thread::sleep(PAUSE);
            status = self.process.try_wait()?;
        }
        match status {
            Some(status) if is_orderly(status) => Ok(Stopped::Orderly),
            Some(_) => Ok(Stopped::Killed),
            None => self.kill().map(|()| Stopped::Killed),
        }
    }

    /// Kills the server at once (SIGKILL) and waits for its end.
    ///
    /// # Errors
    /// [`ChildError::Control`].
    pub fn kill(&mut self) -> Result<(), ChildError> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// The process has not been waited for yet, so its id is still its own.
    fn signal(&self, signal: Signal) -> Result<(), ChildError> {
        let pid = i32::try_from(self.process.id()).map_err(std::io::Error::other)?;
        kill(Pid::from_raw(pid), signal).map_err(|error| ChildError::Control(error.into()))
    }
}

/// SIGTERM kills a process that had not begun to wait for it, which had not begun to serve either.
fn is_orderly(status: ExitStatus) -> bool {
    status.success() || status.signal() == Some(Signal::SIGTERM as i32)
}

impl Drop for Child {
    fn drop(&mut self) {
        // Does nothing to a process that was waited for.
        let _ = self.kill();
    }
}
