//! What nfcapd and nfacctd have in common: programs that are not ours, told by UDP, measured from outside.

use std::path::Path;

use anyhow::ensure;

use super::Bench;
use super::process::{Process, cpu_of_tree, peak_of_tree, wait_until_idle};
use super::report::Measured;
use crate::decoding::{Decoding, What};
use crate::pool::Pool;
use crate::send::Sent;
use ipfix::{Column, Element};

/// Whether a program can be run here.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let is_in = |dir: &str| Path::new(dir).join(program).exists();
    path.split(':').any(is_in) || is_in("/usr/sbin")
}

impl Bench {
    /// Sends a pool to a program that listens, and says what all its processes took until they had nothing to do.
    /// What it says of the records comes later, after its end.
    pub(super) fn tell(
        &self,
        process: &Process,
        pool: &Path,
        port: u16,
        (records, rate): (u64, u64),
    ) -> anyhow::Result<(Sent, Measured)> {
        wait_until_idle(process.id());
        let before = cpu_of_tree(process.id());
        let sent = self.send(pool, &format!("127.0.0.1:{port}"), "udp", records, rate)?;
        wait_until_idle(process.id());
        let cpu = cpu_of_tree(process.id());
        ensure!(cpu > before, "a program has done nothing, or has ended");
        let measured = Measured {
            records: sent.sums.records,
            cpu_seconds: (cpu - before).as_secs_f64(),
            wall_seconds: 0.0,
            peak_bytes: peak_of_tree(process.id()),
            sent_per_second: rate,
        };
        Ok((sent, measured))
    }
}

/// The octets of the first records that a sender sends of a pool with one template.
pub fn octets_of_first(pool: &Path, records: u64) -> anyhow::Result<u64> {
    let pool = Pool::load(pool)?;
    let mut octets: Vec<u64> = Vec::new();
    let mut decoding = Decoding::new(What::Only(vec![Element::iana(1)]));
    pool.decode(&mut decoding, pool.messages.len(), |decoding| {
        for column in decoding.templates().flat_map(|of| &mut of.columns) {
            if let Column::U64(values) = column {
                octets.append(values);
            }
        }
    })?;
    let whole = octets.iter().sum::<u64>() * (records / pool.records);
    let rest = usize::try_from(records % pool.records)?;
    Ok(whole + octets.iter().take(rest).sum::<u64>())
}
