//! The receiver as a child process: started, watched, started again, stopped in order.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crds::receiver::ReceiverConfig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::data_dir::{DataDir, receiver_addresses_file};
use crate::logging::FILTER_VARIABLE;

/// It looks at its journals first. One that has ended is noticed at once.
const READY_WITHIN: Duration = Duration::from_secs(5 * 60);
/// The receiver itself stops within 10 s.
const STOP_WITHIN: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(20);
const SHORT_LIFE: Duration = Duration::from_secs(2);

/// The receiver process.
pub struct ReceiverChild {
    data: DataDir,
    config: PathBuf,
    child: Child,
    started: Instant,
}

impl ReceiverChild {
    /// Writes the configuration and starts the process.
    pub fn start(data: &DataDir, config: &ReceiverConfig) -> anyhow::Result<ReceiverChild> {
        let file = data.path.join("receiver-config.json");
        fs::write(&file, serde_json::to_vec_pretty(config)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        let child = spawn(data, &file)?;
        Ok(ReceiverChild { data: data.clone(), config: file, child, started: Instant::now() })
    }

    /// Waits until its journals accept.
    pub fn wait_ready(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !stop.load(Ordering::Relaxed) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the receiver has ended ({status}); what it said stands above");
            }
            if let Ok(addresses) = self.data.receiver_addresses()
                && let Some(http) = addresses.get("http")
                && ureq::get(format!("http://{http}/readyz")).call().is_ok()
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the receiver is not ready after {} s", READY_WITHIN.as_secs());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// One line for each address it listens on.
    pub fn addresses(&self) -> anyhow::Result<Vec<String>> {
        let status = self.data.receiver_status()?;
        let mut lines = Vec::new();
        let text = fs::read_to_string(&self.config)?;
        let config: ReceiverConfig = serde_json::from_str(&text)?;
        for dpi in &config.dpis {
            for stream in &dpi.streams {
                let listening =
                    status.dpis.iter().filter(|other| other.id == dpi.id).flat_map(|other| &other.streams);
                for found in listening.filter(|found| found.name == stream.name) {
                    lines.push(format!(
                        "dpi {} {} on {}/{}",
                        dpi.id,
                        stream.name,
                        found.address,
                        stream.transport.as_str()
                    ));
                }
            }
        }
        if let Some(http) = self.data.receiver_addresses()?.get("http") {
            lines.push(format!("metrics and status on http://{http}/metrics and /status"));
        }
        Ok(lines)
    }

    /// Starts it again if it has ended.
    pub fn restart_if_ended(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        if self.started.elapsed() < SHORT_LIFE {
            bail!("the receiver ends as soon as it is started ({status}); what it said stands above");
        }
        tracing::error!(%status, "the receiver has ended and is started again; what was journaled is stored");
        self.child = spawn(&self.data, &self.config)?;
        self.started = Instant::now();
        Ok(())
    }

    /// Lets it read on, store and account for everything, and end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.child.id())?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        let deadline = Instant::now() + STOP_WITHIN;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!(
            "the receiver did not stop within {} s and was killed; what was journaled is stored at the next start",
            STOP_WITHIN.as_secs()
        )
    }
}

/// The caller is the main thread, which lives as long as the process: the kernel's signal at the
/// parent's death goes by thread.
fn spawn(data: &DataDir, config: &PathBuf) -> anyhow::Result<Child> {
    // An old file would name an address of an earlier life.
    let _ = fs::remove_file(receiver_addresses_file(&data.path));
    let mut command = Command::new(std::env::current_exe().context("cannot find this program's file")?);
    command.arg("receiver").arg("--config").arg(config);
    command.arg("--parent").arg(std::process::id().to_string());
    if std::env::var_os(FILTER_VARIABLE).is_none() {
        command.env(FILTER_VARIABLE, "warn");
    }
    // A process group of its own: Ctrl-C reaches only us, and we stop the receiver before the database.
    command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    command.spawn().context("the receiver cannot be started")
}
