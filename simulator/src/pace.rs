//! Keeps a connection to its records per second.

use std::time::{Duration, Instant};

/// The longest nap, so that a slow sender still notices when its peer closes.
const MAX_NAP: Duration = Duration::from_millis(50);

/// The shortest nap: many short sleeps would cost more than the sending.
const MIN_NAP: Duration = Duration::from_millis(1);

/// Allows records as time passes. A sender that was held back may catch up.
#[derive(Debug)]
pub(super) struct Pace {
    rate: f64,
    began: Instant,
}

impl Pace {
    /// `rate` in records a second; 0 is no limit.
    pub(super) fn new(rate: f64) -> Pace {
        Pace { rate, began: Instant::now() }
    }

    /// How many records may be sent now, after `sent` were.
    pub(super) fn allowance(&self, sent: u64) -> u64 {
        if self.rate <= 0.0 {
            return u64::MAX;
        }
        let due = self.began.elapsed().as_secs_f64() * self.rate;
        (due as u64).saturating_sub(sent)
    }

    /// The most records a message may hold: at a low rate, a tenth of a second's.
    pub(super) fn records_per_message(&self) -> u64 {
        if self.rate <= 0.0 { u64::MAX } else { ((self.rate / 10.0) as u64).max(1) }
    }

    /// Sleeps until another message is due, after `sent` records, or for [`MAX_NAP`].
    pub(super) fn nap(&self, sent: u64) {
        if self.rate <= 0.0 {
            return;
        }
        let next = (sent + self.records_per_message().min(8)) as f64 / self.rate;
        let remaining = next - self.began.elapsed().as_secs_f64();
        let nap = Duration::try_from_secs_f64(remaining.max(0.0)).unwrap_or(MAX_NAP);
        std::thread::sleep(nap.clamp(MIN_NAP, MAX_NAP));
    }
}
