//! A whole Qoeplane on this machine: `qoe up`, its receiver on the collector's core, its ClickHouse on the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::cores::Cores;
use super::process::{Process, children, cpu_of_tree, free_port, wait_until_idle};
use crate::database::Database;
use crate::usage;

/// How long a start may take; loading a million subscribers is a part of it.
const START: Duration = Duration::from_secs(300);

/// How long it is looked at with nothing to do.
const IDLE: Duration = Duration::from_secs(5);

/// A running `qoe up`. It ends when it is dropped.
pub struct Qoe {
    _up: Process,
    receiver: u32,
    /// CPU seconds a second that the receiver takes with nothing to do.
    pub idle_share: f64,
    /// Where fullflow arrives by TCP.
    pub address: String,
    /// Its ClickHouse.
    pub database: Database,
}

/// What it is told besides its one DPI.
pub struct Spec<'a> {
    /// Its name.
    pub name: &'a str,
    /// More of the collector's `spec`, lines of YAML.
    pub spec: &'a str,
    /// More documents.
    pub documents: &'a str,
}

impl Qoe {
    /// Starts it and waits until it has nothing left to do but to receive.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &Path, dir: &Path, cores: Cores, spec: &Spec<'_>) -> anyhow::Result<Qoe> {
        let port = free_port()?;
        let data = dir.join(spec.name);
        fs::create_dir_all(&data)?;
        let file = dir.join(format!("{}.yaml", spec.name));
        let Spec { name, spec, documents } = spec;
        fs::write(
            &file,
            format!(
                "apiVersion: qoeplane.io/v1alpha1\nkind: QoeCollector\nmetadata: {{name: {name}}}\nspec:\n  dpis:\n    \
                 - {{id: 0, streams: [{{type: Fullflow, port: {port}, transport: TCP}}], receiver: {{tuning: {{flushInterval: 5s}}}}}}\n  \
                 clickhouse: {{embedded: {{}}}}\n{spec}{documents}"
            ),
        )?;
        let mut command = cores.others(program);
        let log = fs::File::create(data.join("up.log"))?;
        command.arg("up").arg("-f").arg(&file).arg("--data").arg(&data).stderr(log);
        let mut up = Process::talking("qoe up", &mut command)?;
        let begun = Instant::now();
        while !up.line().with_context(|| read(&data.join("up.log")))?.contains("ready: everything") {
            ensure!(begun.elapsed() < START, "qoe up does not become ready: {}", read(&data.join("up.log")));
        }
        let is_receiver = |id: &u32| {
            let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.split('\0').nth(1) == Some("receiver")
        };
        let receiver = children(up.id()).into_iter().find(is_receiver).context("qoe up has no receiver")?;
        cores.move_to_collector(receiver)?;
        let database = Database::of(&data)?;
        let address = format!("127.0.0.1:{port}");
        let mut qoe = Qoe { _up: up, receiver, idle_share: 0.0, address, database };
        qoe.settle();
        let (before, begun) = (qoe.cpu(), Instant::now());
        std::thread::sleep(IDLE);
        qoe.idle_share = qoe.cpu().saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64();
        Ok(qoe)
    }

    /// CPU time of the receiver alone.
    pub fn cpu(&self) -> Duration {
        cpu_of_tree(self.receiver)
    }

    /// Waits until the receiver has nothing to do.
    pub fn settle(&self) {
        wait_until_idle(self.receiver);
    }

    /// The receiver's most memory since [`Qoe::forget_peak`].
    pub fn peak_bytes(&self) -> u64 {
        usage::peak_bytes(&self.receiver.to_string())
    }

    /// Lets the kernel begin anew with the most memory.
    pub fn forget_peak(&self) {
        // Where it may not be reset, the figure is that of all rounds so far.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.receiver), "5");
    }
}

fn read(path: &PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
