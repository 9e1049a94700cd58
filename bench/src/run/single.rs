//! T0 to T3, and decoding in memory: a collector of our own for each measurement.

use std::path::{Path, PathBuf};

use anyhow::bail;
use serde::Deserialize;

use super::process::{Process, run_json};
use super::report::{Key, Measured};
use super::{Bench, VENDOR, stream_of};
use crate::collect::Collected;
use crate::pool::Pool;
use crate::send::Sent;

/// The first line of a collector.
#[derive(Deserialize)]
struct Listening {
    listening: String,
}

/// One way to run a collector.
struct Way {
    tier: &'static str,
    keys: &'static str,
    /// What the row is called, without the stream.
    name: &'static str,
    transport: &'static str,
}

const TCP: [Way; 5] = [
    Way { tier: "t0", keys: "none", name: "receive, two fields, tcp", transport: "tcp" },
    Way { tier: "t1", keys: "none", name: "receive, all fields, tcp", transport: "tcp" },
    Way { tier: "t2", keys: "none", name: "journal, tcp", transport: "tcp" },
    Way { tier: "t3", keys: "none", name: "groups by 1 key, tcp", transport: "tcp" },
    Way { tier: "t3", keys: "all", name: "groups by 10 keys, tcp", transport: "tcp" },
];

/// Of the plain stream only: what peers are compared with, and two more.
const UDP: [Way; 5] = [
    Way { tier: "t0", keys: "none", name: "receive, two fields, udp", transport: "udp" },
    Way { tier: "t1", keys: "none", name: "receive, all fields, udp", transport: "udp" },
    Way { tier: "t2", keys: "none", name: "to disk, udp", transport: "udp" },
    Way { tier: "t3", keys: "none", name: "groups by 1 key, udp", transport: "udp" },
    Way { tier: "t3", keys: "all", name: "groups by 10 keys, udp", transport: "udp" },
];

impl Bench {
    /// A round of all tiers that were asked for.
    pub(super) fn single_processes(&mut self, pools: &[PathBuf; 2]) -> anyhow::Result<()> {
        let [fixed, _] = pools;
        for way in TCP.iter().filter(|way| self.has(way.tier)).collect::<Vec<_>>() {
            for pool in pools {
                self.one(way, pool, self.options.records, 0)?;
            }
        }
        for way in UDP.iter().filter(|way| self.has(way.tier)).collect::<Vec<_>>() {
            let fixed = fixed.clone();
            self.over_udp(way.name, 1, |bench, rate| {
                bench.one(way, &fixed, bench.options.udp_records, rate)
            })?;
        }
        if self.has("t1") {
            for pool in pools {
                self.decode("qoe", pool, &self.own.clone(), &["decode"])?;
            }
        }
        Ok(())
    }

    /// Tries it slower and slower until no datagram is lost, beginning with a part of the rate that was asked for.
    pub(super) fn over_udp(
        &mut self,
        name: &str,
        divided_by: u64,
        mut attempt: impl FnMut(&mut Bench, u64) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let mut rate = self.udp_rates.get(name).copied().unwrap_or(self.options.udp_rate / divided_by);
        for _ in 0..8 {
            if attempt(self, rate)? {
                self.udp_rates.insert(name.to_owned(), rate);
                return Ok(());
            }
            rate = rate * 2 / 3;
            eprintln!("{name}: datagrams were lost, once more with {rate} records a second");
        }
        bail!("{name}: datagrams are lost at every rate; give BENCH_UDP_RATE")
    }

    /// Whether nothing was lost on the way; over TCP that is an error.
    fn one(&mut self, way: &Way, pool: &Path, records: u64, rate: u64) -> anyhow::Result<bool> {
        let Way { tier, keys, name, transport } = *way;
        let stream = stream_of(pool);
        let what = format!("{tier} {name}, {stream}");
        let mut command = self.cores.collector(&self.own);
        command.args(["collect", "--tier", tier, "--transport", transport, "--keys", keys]);
        command.args(["--records", &records.to_string()]).arg("--dir").arg(&self.dir);
        let mut collector = Process::talking(&what, &mut command)?;
        let Listening { listening } = collector.json()?;
        let sent = self.send(pool, &listening, transport, records, rate)?;
        let collected: Collected = collector.json()?;
        drop(collector);
        if tier == "t2" {
            std::fs::remove_dir_all(self.dir.join("journal"))?;
        }
        if transport == "udp" && collected.sums.records < sent.sums.records {
            return Ok(false);
        }
        if let Some(difference) = collected.sums.differs_from(&sent.sums) {
            bail!("{what}: what was collected is not what was sent: {difference}");
        }
        let key = Key { tier, what: name, stream, who: "qoe" };
        self.report.add(key, &Measured { sent_per_second: rate, ..Measured::of(&collected) });
        Ok(true)
    }

    /// Sends a part of a pool; what it was.
    pub(super) fn send(
        &self,
        pool: &Path,
        to: &str,
        transport: &str,
        records: u64,
        rate: u64,
    ) -> anyhow::Result<Sent> {
        let mut command = self.cores.others(&self.own);
        command.args(["send", "--to", to, "--transport", transport]).arg("--file").arg(pool);
        command.args(["--records", &records.to_string(), "--rate", &rate.to_string()]);
        run_json("the sender", &mut command)
    }

    /// Other people's decoders on the same pools. Not all of them can read texts of a vendor that they do not know.
    pub(super) fn decoders(&mut self, pools: &[PathBuf; 2]) -> anyhow::Result<()> {
        let Some(peers) = self.options.peers.clone() else { return Ok(()) };
        for pool in pools {
            for who in ["netgauze-flow-pkt", "netflow_parser"] {
                match self.decode(who, pool, &peers, &[who]) {
                    Err(error) if stream_of(pool) == VENDOR => {
                        eprintln!("  {who} cannot decode {VENDOR}: {error}")
                    }
                    result => result?,
                }
            }
        }
        Ok(())
    }

    fn decode(&mut self, who: &str, pool: &Path, program: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        // Others take so much longer that fewer records say as much.
        let records = if who == "qoe" { self.options.records } else { self.options.pool };
        let mut command = self.cores.collector(program);
        command.args(arguments).arg("--file").arg(pool).args(["--records", &records.to_string()]);
        let decoded: Collected = run_json(who, &mut command)?;
        let loaded = Pool::load(pool)?;
        let sent = loaded.sums(loaded.portion(records))?;
        if let Some(difference) = decoded.sums.differs_from(&sent) {
            bail!("{who}: what was decoded is not what is in the pool {}: {difference}", stream_of(pool));
        }
        let key = Key { tier: "t1", what: "decode in memory", stream: stream_of(pool), who };
        self.report.add(key, &Measured::of(&decoded));
        Ok(())
    }
}
