//! `qoe operator` as a process on the node, outside any pod: easy to start, kill and look into.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Cluster, daemon};
use crate::process::{Process, qoe_binary};

/// A running operator. It is killed when it is dropped.
pub struct Operator {
    process: Process,
    log: PathBuf,
}

impl Operator {
    /// Starts `qoe operator --kubeconfig FILE OPTIONS`, with the administrator's rights. Several may run:
    /// give each its own `--namespace` and HTTP port.
    pub fn start(cluster: &Cluster, options: &[&str]) -> Operator {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let log = cluster.directory().join("logs").join(format!("operator-{number}.log"));
        let mut command = Command::new(qoe_binary());
        command.arg("operator").arg("--kubeconfig").arg(cluster.kubeconfig()).args(options);
        Operator::start_command(command, log)
    }

    /// Starts any command as an operator, with its output in a file.
    pub fn start_command(mut command: Command, log: PathBuf) -> Operator {
        let open = || OpenOptions::new().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(open()).stderr(open());
        Operator { process: Process::start(&mut command), log }
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self, deadline: Duration) -> ExitStatus {
        self.process.signal(Signal::SIGTERM);
        self.process.wait(deadline)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// All it has written.
    pub fn log(&self) -> String {
        daemon::tail(&self.log, usize::MAX)
    }
}
