//! From arrival to queryable: asks again and again for the newest record that a query sees. What a poll sees and the
//! one before did not has become visible between the two; the end of the later one is counted, so that no figure is
//! better than the truth. Arrivals are taken as even between two polls, and records as visible in their order.

use std::time::{Duration, Instant};

use anyhow::ensure;
use receiver::insert::now_us;
use serde::{Deserialize, Serialize};

use crate::database::Database;

/// A poll begins so long after the one before, or when that has ended.
const EVERY: Duration = Duration::from_millis(20);
/// Each millisecond of arrivals counts once.
const SAMPLE_US: u64 = 1_000;

/// How long it took, in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fresh {
    /// Half of the records took no longer.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// None took longer.
    pub max_ms: f64,
    /// The longest time between the ends of two polls.
    pub resolution_ms: f64,
    /// Records that were visible in the end.
    pub records: u64,
}

/// Polls until so many records are visible.
///
/// # Errors
/// They are not, in `patience`; or the database does not answer.
pub fn fresh(database: &Database, table: &str, records: u64, patience: Duration) -> anyhow::Result<Fresh> {
    let sql = format!(
        "SELECT count(), toUnixTimestamp64Micro(min(received_at)), toUnixTimestamp64Micro(max(received_at)) FROM {table}"
    );
    let begun = Instant::now();
    let mut seen_until = None;
    let mut samples = Vec::new();
    let mut resolution = Duration::ZERO;
    let mut polled = Instant::now();
    loop {
        let poll = Instant::now();
        let answer = database.numbers(&sql)?;
        let now = now_us();
        resolution = resolution.max(polled.elapsed());
        polled = Instant::now();
        let [count, first, last] = answer.as_slice() else { continue };
        if *count > 0 {
            let mut arrival = seen_until.unwrap_or(*first);
            while arrival < *last {
                arrival += SAMPLE_US;
                samples.push(now.saturating_sub(arrival.min(*last)));
            }
            seen_until = Some(*last);
        }
        if *count >= records {
            samples.sort_unstable();
            return Ok(Fresh {
                p50_ms: at(&samples, 0.5),
                p99_ms: at(&samples, 0.99),
                max_ms: at(&samples, 1.0),
                resolution_ms: resolution.as_secs_f64() * 1e3,
                records: *count,
            });
        }
        ensure!(begun.elapsed() < patience, "only {count} of {records} records became visible");
        std::thread::sleep(EVERY.saturating_sub(poll.elapsed()));
    }
}

fn at(samples: &[u64], share: f64) -> f64 {
    let place = (samples.len() as f64 * share) as usize;
    samples.get(place.min(samples.len().saturating_sub(1))).copied().unwrap_or(0) as f64 / 1e3
}
