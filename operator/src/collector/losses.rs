//! How many records were lost within the last hour, from counters that count since a journal began.
//! Pure: the clock is handed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back a loss counts.
pub const WINDOW: Duration = Duration::from_secs(3_600);
/// How far apart samples are at least: bounds their number.
const SPACING: Duration = Duration::from_secs(30);

/// Samples of one collector's lost records, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Losses(VecDeque<(Instant, u64)>);

impl Losses {
    /// Takes a sample; returns the growth within the window.
    ///
    /// The first sample after the operator's start is where it begins: what was lost before shows in the
    /// totals, not here. Counters may shrink when records come late.
    pub fn observe(&mut self, now: Instant, lost: u64) -> u64 {
        while self.0.len() > 1 && self.0.get(1).is_some_and(|next| now.duration_since(next.0) >= WINDOW) {
            self.0.pop_front();
        }
        if self.0.back().is_none_or(|last| now.duration_since(last.0) >= SPACING) {
            self.0.push_back((now, lost));
        }
        let lowest = self.0.iter().map(|sample| sample.1).min().unwrap_or(lost);
        lost.saturating_sub(lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_counts_for_an_hour() {
        let mut losses = Losses::default();
        let start = Instant::now();
        assert_eq!(losses.observe(start, 100), 0);
        assert_eq!(losses.observe(start + Duration::from_secs(60), 112), 12);
        for minute in 2..60 {
            assert_eq!(losses.observe(start + Duration::from_secs(60 * minute), 112), 12);
        }
        let later = start + WINDOW + Duration::from_secs(120);
        assert_eq!(losses.observe(later, 112), 0);
        assert!(losses.0.len() <= 122);
    }

    #[test]
    fn a_late_record_takes_its_loss_back() {
        let mut losses = Losses::default();
        let start = Instant::now();
        losses.observe(start, 0);
        assert_eq!(losses.observe(start + Duration::from_secs(1), 5), 5);
        assert_eq!(losses.observe(start + Duration::from_secs(2), 0), 0);
    }
}
