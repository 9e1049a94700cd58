//! Whether volumes are large enough: when they are full at the rate at which they grow, and whether what shall be kept
//! fits on them at the rate at which it arrives. Pure but for the samples, which can be taken again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crds::StreamType;
use crds::duration::Duration as Age;
use crds::tables::Tables;

use super::storage::{Policy, Storage};

/// Growth is looked at over so long.
const WINDOW: Duration = Duration::from_secs(3_600);
/// With less than this, growth says nothing.
const SHORTEST: Duration = Duration::from_secs(300);
/// Pause between samples.
const EVERY: Duration = Duration::from_secs(30);
/// Rows of a table that cover less time than this say nothing about its rate, in seconds.
const ENOUGH_SECONDS: u64 = 600;
/// How much of a volume may be used, in percent: merges need room.
const USABLE_PERCENT: u64 = 90;

/// What was free of a volume, lately.
#[derive(Debug, Default)]
pub struct Samples(VecDeque<(Instant, u64)>);

impl Samples {
    /// Takes a sample.
    pub fn observe(&mut self, now: Instant, free: u64) {
        if self.0.back().is_none_or(|(last, _)| now.duration_since(*last) >= EVERY) {
            self.0.push_back((now, free));
        }
        while self.0.front().is_some_and(|(first, _)| now.duration_since(*first) > WINDOW) {
            self.0.pop_front();
        }
    }

    /// In how many hours nothing is free, if it gets less.
    pub fn hours_left(&self) -> Option<f64> {
        let ((first, before), (now, free)) = (*self.0.front()?, *self.0.back()?);
        let time = now.duration_since(first);
        let used = before.saturating_sub(free);
        if time < SHORTEST || used == 0 {
            return None;
        }
        Some(free as f64 / (used as f64 / time.as_secs_f64()) / 3_600.0)
    }
}

/// Bytes that a table brings in a second, and how long it keeps them where, in seconds; `u64::MAX`: for ever.
struct Demand {
    table: &'static str,
    rate: f64,
    hot_for: u64,
    cold_for: u64,
}

/// Why what shall be kept does not fit on the volumes of a server, with numbers, volume by volume. `None`: not enough
/// is known yet. `tables` says how long rows are kept; aggregates that are kept for ever are left out.
pub fn shortages(storage: &Storage, tables: &Tables) -> Option<Vec<String>> {
    let demands: Vec<Demand> =
        StreamType::ALL.into_iter().filter_map(|stream| demand(storage, tables, stream)).collect();
    if demands.is_empty() {
        return None;
    }
    let volume = |name: &str| storage.volumes.iter().find(|volume| volume.name == name);
    let Policy { hot, cold, .. } = &storage.policy;
    // Without knowing where rows arrive, nothing can be said.
    let mut parts = vec![(volume(hot)?, (|demand: &Demand| demand.hot_for) as fn(&Demand) -> u64)];
    if let Some(cold) = cold.as_deref().and_then(volume) {
        parts.push((cold, |demand| demand.cold_for));
    }
    let mut shortages = Vec::new();
    for (volume, seconds_of) in parts {
        let needed: f64 = demands.iter().map(|demand| demand.rate * seconds_of(demand) as f64).sum();
        let usable = volume.total / 100 * USABLE_PERCENT;
        if needed > usable as f64 {
            let tables: Vec<&str> =
                demands.iter().filter(|demand| seconds_of(demand) > 0).map(|demand| demand.table).collect();
            shortages.push(format!(
                "volume {} has {}, of which {USABLE_PERCENT} % can be used; {} need {} at the present rate of {} an hour",
                volume.name,
                bytes(volume.total as f64),
                tables.join(", "),
                bytes(needed),
                bytes(demands.iter().map(|demand| demand.rate).sum::<f64>() * 3_600.0),
            ));
        }
    }
    Some(shortages)
}

fn demand(storage: &Storage, tables: &Tables, stream: StreamType) -> Option<Demand> {
    let name = stream.table();
    let local = schema::local_name(name);
    let tables_there = storage.tables.as_ref()?;
    let found = tables_there.get(name).or_else(|| tables_there.get(&local))?;
    if found.seconds < ENOUGH_SECONDS {
        return None;
    }
    let kept = tables.raw(stream);
    let seconds = |age: Age| age.as_millis() / 1_000;
    let keep = seconds(kept.keep_for());
    let hot_for = kept.move_to_cold_after.map_or(keep, |after| seconds(after).min(keep));
    let rate = found.total() as f64 / found.seconds as f64;
    Some(Demand { table: name, rate, hot_for, cold_for: keep - hot_for })
}

/// Bytes for people: `812M`, `1.2G`, in powers of 1024 as volumes are written.
pub fn bytes(number: f64) -> String {
    let mut scaled = number;
    let mut unit = "";
    for next in ["Ki", "Mi", "Gi", "Ti", "Pi"] {
        if scaled < 1_000.0 {
            break;
        }
        scaled /= 1_024.0;
        unit = next;
    }
    if unit.is_empty() || scaled >= 99.95 {
        format!("{scaled:.0}{unit}")
    } else {
        format!("{scaled:.1}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use crds::managed::{COLD, HOT};

    use super::super::storage::{Table, Volume};
    use super::*;

    const GIB: u64 = 1 << 30;

    fn storage(hot: u64, bytes: u64, seconds: u64) -> Storage {
        let volume = |name: &str, total: u64| Volume { name: name.to_owned(), total, free: total };
        let table = Table { rows: 1, bytes: [(HOT.to_owned(), bytes)].into(), seconds };
        Storage {
            version: String::new(),
            policy: Policy { name: String::new(), hot: HOT.to_owned(), cold: Some(COLD.to_owned()) },
            volumes: vec![volume(HOT, hot), volume(COLD, 100 * GIB)],
            tables: Some([("fullflow".to_owned(), table)].into()),
            cluster_size: Some(1),
        }
    }

    fn tables(text: &str) -> Tables {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_day_at_one_gib_an_hour_needs_24() {
        let default = tables("{}");
        assert_eq!(shortages(&storage(30 * GIB, GIB, 3_600), &default), Some(Vec::new()));
        let short = shortages(&storage(20 * GIB, GIB, 3_600), &default).unwrap();
        assert_eq!(
            short,
            [
                "volume hot has 20.0Gi, of which 90 % can be used; fullflow need 24.0Gi at the present rate of 1.0Gi an hour"
            ]
        );
        let moved = tables(r#"{"fullflow": {"keepFor": "24h", "moveToColdAfter": "6h"}}"#);
        assert_eq!(shortages(&storage(20 * GIB, GIB, 3_600), &moved), Some(Vec::new()));
        let long = tables(r#"{"fullflow": {"keepFor": "30d", "moveToColdAfter": "6h"}}"#);
        assert!(
            shortages(&storage(20 * GIB, GIB, 3_600), &long).unwrap()[0].starts_with("volume cold has 100Gi")
        );
        assert_eq!(shortages(&storage(20 * GIB, GIB, 60), &default), None, "a minute says nothing");
        let mut other = storage(20 * GIB, GIB, 3_600);
        other.policy.hot = "ssd".to_owned();
        assert_eq!(shortages(&other, &default), None, "where rows arrive is not known");
        other.volumes[0].name = "ssd".to_owned();
        assert!(shortages(&other, &default).unwrap()[0].starts_with("volume ssd has 20.0Gi"));
    }

    #[test]
    fn hours_left_come_from_growth() {
        let mut samples = Samples::default();
        let begun = Instant::now();
        let mut left = |seconds: u64, free: u64| {
            samples.observe(begun + Duration::from_secs(seconds), free);
            samples.hours_left()
        };
        assert_eq!(left(0, 1_000), None);
        assert_eq!(left(60, 990), None, "too short to say");
        let hours = left(1_800, 900).unwrap();
        assert!((hours - 4.5).abs() < 0.01, "{hours}");
        assert_eq!(left(1_900, 1_000), None, "it does not grow");
    }

    #[test]
    fn sizes_are_written_as_volumes_are() {
        for (number, text) in
            [(0.0, "0"), (999.0, "999"), (1_024.0, "1.0Ki"), (1.5e9, "1.4Gi"), (2.2e11, "205Gi")]
        {
            assert_eq!(bytes(number), text);
        }
    }
}
