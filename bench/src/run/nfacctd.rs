//! nfacctd (pmacct): UDP into groups, by one key and by ten. Its plugin is a process of its own, which counts too;
//! what it writes at the end does not.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::outside::{is_there, octets_of_first};
use super::process::{Process, children, free_port};
use super::report::Key;
use super::{Bench, stream_of};

/// Row, the part of the rate to begin with, and primitives. The ten are as many as ours and of their kinds; ports would make a group of each record.
const ROWS: [(&str, u64, &str); 2] = [
    ("groups by 1 key, udp", 4, "proto"),
    (
        "groups by 10 keys, udp",
        16,
        "src_host, dst_host, src_as, dst_as, proto, tos, vlan, in_iface, out_iface, peer_src_ip",
    ),
];
/// What the core process collects before it tells the plugin, and the fewest bytes of a record there: so many of the
/// last records never reach the plugin when it is ended.
const PLUGIN_BUFFER: u64 = 65_536;
const LEAST_BYTES: u64 = 64;

/// One round of both.
pub(super) fn round(bench: &mut Bench, pool: &Path) -> anyhow::Result<()> {
    if !is_there("nfacctd") {
        eprintln!("nfacctd is not installed: scripts/install-test-tools");
        return Ok(());
    }
    for (row, divided_by, keys) in ROWS {
        bench.over_udp(&format!("{row}, nfacctd"), divided_by, |bench, rate| {
            once(bench, pool, (row, keys), rate)
        })?;
    }
    Ok(())
}

fn once(bench: &mut Bench, pool: &Path, (row, keys): (&str, &str), rate: u64) -> anyhow::Result<bool> {
    let port = free_port()?;
    let (file, config) = (bench.dir.join("nfacctd.csv"), bench.dir.join("nfacctd.conf"));
    let _ = fs::remove_file(&file);
    let text = format!(
        "daemonize: false\nnfacctd_ip: 127.0.0.1\nnfacctd_port: {port}\nnfacctd_pipe_size: 33554432\nnfacctd_as: netflow\n\
         plugins: print\naggregate: {keys}, flows\nprint_refresh_time: 3600\nprint_output: csv\nprint_output_file: {}\n\
         print_cache_entries: 500009\nplugin_pipe_size: 268435456\nplugin_buffer_size: {PLUGIN_BUFFER}\n",
        file.display()
    );
    fs::write(&config, text)?;
    // Debian has it where not every user looks.
    let program = if Path::new("/usr/sbin/nfacctd").exists() { "/usr/sbin/nfacctd" } else { "nfacctd" };
    let mut command = bench.cores.collector(program);
    command.arg("-f").arg(&config);
    let process = Process::start("nfacctd", command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let (sent, measured) = bench.tell(&process, pool, port, (bench.options.udp_records / 4, rate))?;
    // The plugin writes when it is told to end, the core process only ends.
    for plugin in children(process.id()) {
        kill(Pid::from_raw(i32::try_from(plugin)?), Signal::SIGINT)?;
    }
    let (records, octets) = totals(&file)?;
    process.end(Signal::SIGINT, Duration::from_secs(30))?;
    let missing = sent.sums.records - records;
    if missing > PLUGIN_BUFFER / LEAST_BYTES {
        return Ok(false);
    }
    let expected = octets_of_first(pool, records)?;
    if octets != expected {
        // Something in between was lost.
        return Ok(false);
    }
    bench.report.add(Key { tier: "t3", what: row, stream: stream_of(pool), who: "nfacctd" }, &measured);
    Ok(true)
}

/// Records and octets of all groups, once the file is complete.
fn totals(file: &Path) -> anyhow::Result<(u64, u64)> {
    let begun = Instant::now();
    let mut size = 0;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = fs::metadata(file).map_or(0, |metadata| metadata.len());
        if now > 0 && now == size {
            break;
        }
        size = now;
        ensure!(begun.elapsed() < Duration::from_secs(60), "nfacctd has written nothing");
    }
    let text = fs::read_to_string(file)?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let place = |name: &str| names.iter().position(|other| *other == name).context("no such column");
    let (flows, bytes) = (place("FLOWS")?, place("BYTES")?);
    let mut sums = (0, 0);
    for line in lines {
        let values: Vec<&str> = line.split(',').collect();
        let at =
            |place: usize| values.get(place).and_then(|value| value.parse::<u64>().ok()).context("no number");
        sums = (sums.0 + at(flows)?, sums.1 + at(bytes)?);
    }
    Ok(sums)
}
