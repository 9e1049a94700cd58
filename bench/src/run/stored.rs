//! T4 and T5: records into ClickHouse, and as rows of the aggregates; freshness, and what a row takes on the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::process::Process;
use super::qoe::{Qoe, Spec};
use super::report::{Key, Measured};
use super::stored_sums::{aggregates, check_aggregates, check_fullflow, check_logins};
use super::{Bench, FIXED, VENDOR, dictionaries, stream_of};
use crate::fresh::fresh;

/// How long stored records may take to be there, all of them.
const PATIENCE: Duration = Duration::from_secs(300);
/// Records a second while freshness is looked at.
const FRESH_RATE: u64 = 10_000;

/// Which machine it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tier {
    Raw,
    Aggregated,
}

impl Bench {
    /// Both tiers in turns, then what is asked of the tables.
    pub(super) fn stored(&mut self) -> anyhow::Result<()> {
        let raw = match self.has("t4") || self.has("fresh") {
            true => Some(self.start(&Spec { name: "raw", spec: "  tables: {}\n", documents: "" })?),
            false => None,
        };
        let aggregated = match self.has("t5") {
            true => {
                let documents = dictionaries::write(&self.dir)?;
                let spec = "  enrichment: {direction: CIDR}\n  tables: {fullflow_agg: {}}\n";
                Some(self.start(&Spec { name: "aggregated", spec, documents: &documents })?)
            }
            false => None,
        };
        let has_t4 = self.has("t4");
        // Nothing is sent twice: rows that come again would compress as no real ones do, and make no new groups.
        let records = self.options.stored_records;
        let has_any = has_t4 || aggregated.is_some();
        for round in 1..=if has_any { self.options.rounds } else { 0 } {
            eprintln!("stored, round {round} of {}", self.options.rounds);
            // The vendor's last: rows on the disk are looked at afterwards.
            for stream in [FIXED, VENDOR] {
                let pool = self.pool(stream, round, records)?;
                if let Some(qoe) = raw.as_ref().filter(|_| has_t4) {
                    self.stored_round(qoe, Tier::Raw, &pool)?;
                }
                if let Some(qoe) = &aggregated {
                    self.stored_round(qoe, Tier::Aggregated, &pool)?;
                }
            }
        }
        if let Some(qoe) = &aggregated {
            qoe.database.ask("OPTIMIZE TABLE fullflow_agg FINAL")?;
            let [records, rows] = ["sum(records)", "count()"]
                .map(|what| qoe.database.number(&format!("SELECT {what} FROM fullflow_agg")));
            self.report.records_per_aggregate_row = Some(records? as f64 / rows?.max(1) as f64);
        }
        drop(aggregated);
        let Some(qoe) = raw else { return Ok(()) };
        if has_t4 {
            qoe.database.ask("OPTIMIZE TABLE fullflow FINAL")?;
            let numbers = qoe.database.numbers(
                "SELECT sum(data_compressed_bytes), sum(rows) FROM system.parts \
                 WHERE active AND table = 'fullflow' AND database = currentDatabase()",
            )?;
            if let [bytes, rows] = numbers.as_slice() {
                self.report.bytes_per_row = Some(*bytes as f64 / *rows as f64);
            }
        }
        if self.has("fresh") {
            self.freshness(&qoe)?;
        }
        Ok(())
    }

    fn start(&self, spec: &Spec<'_>) -> anyhow::Result<Qoe> {
        Qoe::start(&self.qoe, &self.dir, self.cores, spec)
    }

    fn stored_round(&mut self, qoe: &Qoe, tier: Tier, pool: &Path) -> anyhow::Result<()> {
        let stream = stream_of(pool);
        let (tier_name, what) = match tier {
            Tier::Raw => ("t4", "stored"),
            Tier::Aggregated => ("t5", "stored, enriched, aggregated"),
        };
        let tables: Vec<&str> = if tier == Tier::Aggregated { aggregates().collect() } else { Vec::new() };
        for table in tables.iter().chain(&["fullflow"]) {
            qoe.database.ask(&format!("TRUNCATE TABLE {table}"))?;
        }
        qoe.settle();
        qoe.forget_peak();
        let before = qoe.cpu();
        let begun = Instant::now();
        let sent = self.send(pool, &qoe.address, "tcp", self.options.stored_records, 0)?;
        let records = sent.sums.records;
        let wait = |question: &str| -> anyhow::Result<()> {
            while qoe.database.number(question)? < records {
                ensure!(
                    begun.elapsed() < PATIENCE,
                    "{tier_name}, {stream}: not all records are stored: {question}"
                );
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        };
        wait("SELECT count() FROM fullflow")?;
        let raw_stored = Instant::now();
        for table in &tables {
            wait(&format!("SELECT sum(records) FROM {table}"))?;
        }
        // The last groups wait for their time to flush; what the receiver takes for waiting is no work on records.
        let idle = qoe.idle_share * raw_stored.elapsed().as_secs_f64();
        let cpu_seconds = qoe.cpu().saturating_sub(before).as_secs_f64() - idle;
        let wall_seconds = begun.elapsed().as_secs_f64();
        let is_right = check_fullflow(&qoe.database, &sent.sums).and_then(|()| match tier {
            Tier::Raw => Ok(()),
            Tier::Aggregated => check_aggregates(&qoe.database, &sent.sums)
                .and_then(|()| check_logins(&qoe.database, records)),
        });
        is_right.with_context(|| format!("{tier_name}, {stream}: what is stored is not what was sent"))?;
        let peak_bytes = qoe.peak_bytes();
        let measured = Measured { records, cpu_seconds, wall_seconds, peak_bytes, sent_per_second: 0 };
        self.report.add(Key { tier: tier_name, what, stream, who: "qoe" }, &measured);
        Ok(())
    }

    fn freshness(&mut self, qoe: &Qoe) -> anyhow::Result<()> {
        qoe.database.ask("TRUNCATE TABLE fullflow")?;
        qoe.settle();
        let records = FRESH_RATE * self.options.fresh_seconds;
        let pool = self.pool(VENDOR, 1, records)?;
        let mut command = self.cores.others(&self.own);
        command.args(["send", "--to", &qoe.address, "--rate", &FRESH_RATE.to_string()]);
        command.args(["--records", &records.to_string()]).arg("--file").arg(&pool);
        let mut sender = Process::talking("the sender", &mut command)?;
        let patience = Duration::from_secs(self.options.fresh_seconds) + PATIENCE;
        let fresh = fresh(&qoe.database, "fullflow", records, patience)?;
        let _: crate::send::Sent = sender.json()?;
        self.report.fresh = Some(fresh);
        Ok(())
    }
}
