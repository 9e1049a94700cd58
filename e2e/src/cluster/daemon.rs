//! One long-running program of the cluster: its process, its log. It ends with the namespaces at the
//! latest.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::process::Process;

/// A program that runs, or that was stopped and can be started again.
pub(super) struct Daemon {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    process: Process,
}

impl Daemon {
    /// Starts it; its output goes to `DIRECTORY/logs/NAME.log`.
    pub fn start(directory: &Path, name: &'static str, program: &Path, arguments: Vec<String>) -> Daemon {
        let log = directory.join("logs").join(format!("{name}.log"));
        let process = spawn(program, &arguments, &log);
        Daemon { name, program: program.to_owned(), arguments, log, process }
    }

    /// Panics with the end of its log if it has ended.
    pub fn must_run(&mut self) {
        if !self.process.is_running() {
            panic!("{} has ended:\n{}", self.name, tail(&self.log, 30));
        }
    }

    /// Stops it in order, kills it if that takes too long, and starts it again.
    pub fn restart(&mut self) {
        self.process.signal(Signal::SIGTERM);
        for _ in 0..100 {
            if !self.process.is_running() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        // Does nothing if it has ended.
        self.process.kill();
        self.process = spawn(&self.program, &self.arguments, &self.log);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }
}

fn spawn(program: &Path, arguments: &[String], log: &Path) -> Process {
    let open = || OpenOptions::new().create(true).append(true).open(log).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(open()).stderr(open());
    // Ctrl-C in a terminal reaches the supervisor only, which ends all at once.
    command.process_group(0);
    Process::start(&mut command)
}

/// The last lines of a file.
pub(super) fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
