//! Programs that never outlive the run, and what they use.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;

use crate::usage;

/// A process that is ended with us.
pub struct Process {
    child: Child,
    name: String,
    lines: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a program whose output nobody reads.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, command: &mut Command) -> anyhow::Result<Process> {
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Process { child, name: name.to_owned(), lines: None })
    }

    /// Starts a program that talks.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn talking(name: &str, command: &mut Command) -> anyhow::Result<Process> {
        let mut process = Process::start(name, command.stdout(Stdio::piped()))?;
        process.lines = process.child.stdout.take().map(BufReader::new);
        Ok(process)
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its next line.
    ///
    /// # Errors
    /// It has ended.
    pub fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if let Some(lines) = &mut self.lines {
            lines.read_line(&mut line)?;
        }
        if line.is_empty() {
            let status = self.child.wait()?;
            bail!("{} has ended: {status}", self.name);
        }
        Ok(line)
    }

    /// Its next line, which is JSON.
    ///
    /// # Errors
    /// It has ended, or says something else.
    pub fn json<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("{} says {line}", self.name))
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// It does not.
    pub fn end(mut self, signal: Signal, patience: Duration) -> anyhow::Result<ExitStatus> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(begun.elapsed() < patience, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // Asked first, so that it can end its own children; not asked twice.
            let id = i32::try_from(self.child.id()).unwrap_or(0);
            if id > 0 && kill(Pid::from_raw(id), Signal::SIGTERM).is_ok() {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(15) {
                    if matches!(self.child.try_wait(), Ok(Some(_))) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a program to its end; its last line, which is JSON.
///
/// # Errors
/// It fails, or says something else.
pub fn run_json<T: DeserializeOwned>(name: &str, command: &mut Command) -> anyhow::Result<T> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    ensure!(output.status.success(), "{name} has failed: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("{name} says {line}"))
}

/// Children of a process, by their ids.
pub fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let of_tasks = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    of_tasks
        .flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// CPU time of a process and all below it.
pub fn cpu_of_tree(process: u32) -> Duration {
    let own = usage::of_other_process(process).unwrap_or_default();
    children(process).into_iter().map(cpu_of_tree).sum::<Duration>() + own
}

/// The most memory of a process, and of all below it, in bytes.
pub fn peak_of_tree(process: u32) -> u64 {
    let own = usage::peak_bytes(&process.to_string());
    children(process).into_iter().map(peak_of_tree).sum::<u64>() + own
}

/// Waits until a process and all below it have nothing to do.
pub fn wait_until_idle(process: u32) {
    let begun = Instant::now();
    let mut before = cpu_of_tree(process);
    let mut quiet = 0;
    while quiet < 3 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(300));
        let now = cpu_of_tree(process);
        quiet = if now.saturating_sub(before) <= Duration::from_millis(10) { quiet + 1 } else { 0 };
        before = now;
    }
}

/// A port of 127.0.0.1 that nobody uses now.
///
/// # Errors
/// There is none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}
