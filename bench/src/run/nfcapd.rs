//! nfcapd: UDP into files. Its totals are those that nfdump reads from what it wrote.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use super::outside::is_there;
use super::process::{Process, free_port};
use super::report::Key;
use super::{Bench, stream_of};
use crate::sums::Sums;

const ROW: &str = "to disk, udp";

/// One round of it.
pub(super) fn round(bench: &mut Bench, pool: &Path) -> anyhow::Result<()> {
    if !is_there("nfcapd") {
        eprintln!("nfcapd is not installed: scripts/install-test-tools");
        return Ok(());
    }
    bench.over_udp(&format!("{ROW}, nfcapd"), 2, |bench, rate| once(bench, pool, rate))
}

fn once(bench: &mut Bench, pool: &Path, rate: u64) -> anyhow::Result<bool> {
    let port = free_port()?;
    let dir = bench.dir.join("nfcapd");
    std::fs::create_dir_all(&dir)?;
    let mut command = bench.cores.collector("nfcapd");
    command
        .args(["-p", &port.to_string(), "-b", "127.0.0.1", "-t", "3600", "-B", "33554432", "-w"])
        .arg(&dir);
    let process = Process::start("nfcapd", command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let (sent, measured) = bench.tell(&process, pool, port, (bench.options.udp_records, rate))?;
    process.end(Signal::SIGTERM, Duration::from_secs(30))?;
    let stored = totals(&dir)?;
    std::fs::remove_dir_all(&dir)?;
    if stored.records < sent.sums.records {
        return Ok(false);
    }
    let difference = stored.differs_from(&sent.sums);
    ensure!(difference.is_none(), "nfcapd has not what was sent: {difference:?}");
    bench.report.add(Key { tier: "t2", what: ROW, stream: stream_of(pool), who: "nfcapd" }, &measured);
    Ok(true)
}

fn totals(dir: &Path) -> anyhow::Result<Sums> {
    let output =
        Command::new("nfdump").arg("-R").arg(dir).arg("-I").output().context("cannot start nfdump")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |name: &str| -> anyhow::Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.with_context(|| format!("nfdump says nothing of {name}: {text}"))?.trim().parse()?)
    };
    let mut sums = Sums { records: number("Flows:")?, ..Sums::default() };
    sums.add("1", number("Bytes:")?);
    sums.add("2", number("Packets:")?);
    Ok(sums)
}
