//! What comes out: a table for people, JSON for everything else. A figure is a median of rounds; beside it stands what
//! it should be, and how far ahead of the best peer it is that does the same.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::Options;
use super::machine::Machine;
use crate::collect::Collected;
use crate::fresh::Fresh;

/// Which row. Rows of one tier, subject and stream are comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// `t0` to `t5`.
    pub tier: &'a str,
    /// What is done with records.
    pub what: &'a str,
    /// Which records.
    pub stream: &'a str,
    /// `qoe` or a peer.
    pub who: &'a str,
}

/// One round.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// Records.
    pub records: u64,
    /// User and system time of who received them.
    pub cpu_seconds: f64,
    /// How long it took with everybody on the machine; 0: nobody looked.
    pub wall_seconds: f64,
    /// The most memory at a time.
    pub peak_bytes: u64,
    /// How fast records were sent; 0: as fast as they were taken.
    pub sent_per_second: u64,
}

impl Measured {
    /// Of a collector of our own.
    pub fn of(collected: &Collected) -> Measured {
        Measured {
            records: collected.sums.records,
            cpu_seconds: collected.cpu_seconds,
            wall_seconds: collected.wall_seconds,
            peak_bytes: collected.peak_bytes,
            sent_per_second: 0,
        }
    }

    fn rate(&self) -> f64 {
        self.records as f64 / self.cpu_seconds.max(1e-3) / 1e6
    }
}

#[derive(Serialize)]
struct Row {
    tier: String,
    what: String,
    stream: String,
    who: String,
    /// Median of the rounds.
    million_records_per_cpu_second: f64,
    goal: Option<f64>,
    peak_bytes: u64,
    rounds: Vec<Measured>,
}

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report {
    machine: Machine,
    tiers: String,
    rows: Vec<Row>,
    /// Arrival to queryable at 10,000 records a second.
    pub fresh: Option<Fresh>,
    /// Of the vendor's stream, after merging.
    pub bytes_per_row: Option<f64>,
    /// Records that a row of `fullflow_agg` stands for, after merging.
    pub records_per_aggregate_row: Option<f64>,
}

/// Million records a CPU second that are aimed at: tier, beginning of the subject, stream, figure.
const GOALS: [(&str, &str, &str, f64); 12] = [
    ("t0", "receive, two fields, tcp", "fixed", 35.0),
    ("t0", "receive, two fields, udp", "fixed", 14.0),
    ("t1", "decode in memory", "fixed", 50.0),
    ("t2", "journal, tcp", "fixed", 10.0),
    ("t2", "to disk, udp", "fixed", 14.0),
    ("t3", "groups by 1 key, tcp", "fixed", 12.0),
    ("t3", "groups by 10 keys, tcp", "fixed", 5.0),
    ("t3", "groups by 1 key, tcp", "vendor", 12.0),
    ("t3", "groups by 10 keys, tcp", "vendor", 5.0),
    ("t4", "stored", "fixed", 10.0),
    ("t4", "stored", "vendor", 4.5),
    ("t5", "stored, enriched, aggregated", "vendor", 2.5),
];
const GOAL_BYTES_PER_ROW: f64 = 30.0;
const GOAL_FRESH_P99_MS: f64 = 5_000.0;
const GOAL_T4_FIXED_BYTES: u64 = 128 << 20;

impl Report {
    /// Nothing yet.
    pub fn new(machine: Machine, options: &Options) -> Report {
        Report {
            machine,
            tiers: options.tiers.clone(),
            rows: Vec::new(),
            fresh: None,
            bytes_per_row: None,
            records_per_aggregate_row: None,
        }
    }

    /// Adds a round.
    pub fn add(&mut self, key: Key<'_>, measured: &Measured) {
        let Key { tier, what, stream, who } = key;
        eprintln!("  {tier} {what}, {stream}, {who}: {:.2} M records/CPU-s", measured.rate());
        let same =
            |row: &&mut Row| row.tier == tier && row.what == what && row.stream == stream && row.who == who;
        if let Some(row) = self.rows.iter_mut().find(same) {
            row.rounds.push(*measured);
            row.million_records_per_cpu_second = median(row.rounds.iter().map(Measured::rate).collect());
            row.peak_bytes = row.peak_bytes.max(measured.peak_bytes);
            return;
        }
        let is_goal = |goal: &&(&str, &str, &str, f64)| goal.0 == tier && goal.1 == what && goal.2 == stream;
        let goal = GOALS.iter().find(is_goal).filter(|_| who == "qoe").map(|goal| goal.3);
        self.rows.push(Row {
            tier: tier.to_owned(),
            what: what.to_owned(),
            stream: stream.to_owned(),
            who: who.to_owned(),
            million_records_per_cpu_second: measured.rate(),
            goal,
            peak_bytes: measured.peak_bytes,
            rounds: vec![*measured],
        });
    }

    /// Shows it.
    pub fn print(&mut self) {
        self.rows.sort_by(|one, other| {
            (&one.tier, &one.what, &one.stream).cmp(&(&other.tier, &other.what, &other.stream))
        });
        let Machine { cpu, cores, kernel, commit } = &self.machine;
        println!("\n{cpu}, {cores} cores, Linux {kernel}, commit {commit}");
        println!(
            "Million records per CPU second of who receives them, medians; MB: the most memory at a time\n"
        );
        println!(
            "{:<5} {:<30} {:<7} {:<18} {:>7} {:>15} {:>6} {:>9} {:>6} {:>8}",
            "tier", "what", "stream", "who", "median", "rounds", "goal", "to peers", "MB", "sent k/s"
        );
        for row in &self.rows {
            let rates = || row.rounds.iter().map(Measured::rate);
            let span = format!("{:.2}-{:.2}", rates().fold(f64::MAX, f64::min), rates().fold(0.0, f64::max));
            let goal = row.goal.map_or(String::new(), |goal| format!("{goal}"));
            let ratio = self.to_best_peer(row).map_or(String::new(), |ratio| format!("{ratio:.1}x"));
            let slowest = row.rounds.iter().map(|round| round.sent_per_second).min().unwrap_or(0);
            let sent = if slowest == 0 { String::new() } else { (slowest / 1000).to_string() };
            println!(
                "{:<5} {:<30} {:<7} {:<18} {:>7.2} {:>15} {:>6} {:>9} {:>6} {:>8}",
                row.tier,
                row.what,
                row.stream,
                row.who,
                row.million_records_per_cpu_second,
                span,
                goal,
                ratio,
                row.peak_bytes >> 20,
                sent
            );
        }
        println!();
        if self.rows.iter().any(|row| row.tier == "t4") {
            println!("t4, fixed: at most {} MB are aimed at", GOAL_T4_FIXED_BYTES >> 20);
        }
        if let Some(bytes) = self.bytes_per_row {
            println!("{bytes:.1} bytes per stored row after merging, vendor (goal: {GOAL_BYTES_PER_ROW})");
        }
        if let Some(records) = self.records_per_aggregate_row {
            println!("{records:.1} records to a row of fullflow_agg after merging, vendor");
        }
        if let Some(fresh) = &self.fresh {
            println!(
                "arrival to queryable at 10,000 records/s: p50 {:.0} ms, p99 {:.0} ms (goal: {GOAL_FRESH_P99_MS}), max {:.0} ms; polls at most {:.0} ms apart",
                fresh.p50_ms, fresh.p99_ms, fresh.max_ms, fresh.resolution_ms
            );
        }
    }

    /// How many times the best peer's figure ours is.
    fn to_best_peer(&self, row: &Row) -> Option<f64> {
        let is_peer = |other: &&Row| {
            other.who != "qoe"
                && other.tier == row.tier
                && other.what == row.what
                && other.stream == row.stream
        };
        let rates = self.rows.iter().filter(is_peer).map(|other| other.million_records_per_cpu_second);
        let best = rates.fold(0.0, f64::max);
        (row.who == "qoe" && best > 0.0).then(|| row.million_records_per_cpu_second / best)
    }

    /// Writes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("\n{}", path.display());
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |place: usize| values.get(place).copied().unwrap_or(0.0);
    if values.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![]), 0.0);
    }
}
