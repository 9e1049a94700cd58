//! Numbers for people: sums, rounded. Exact ones are metrics and the table `ledger`.

use crds::receiver::{ByReason, Status, StreamStatus};
use crds::status::Totals;

use super::ReceiverFacts;

/// Above this, numbers are rounded to three digits.
const EXACT_BELOW: u64 = 1_000_000;

/// Sums over all receivers that answered.
pub(super) fn totals(receivers: &[ReceiverFacts]) -> Totals {
    if receivers.iter().flat_map(streams).next().is_none() {
        return Totals::default();
    }
    let sums = balance(receivers.iter().flat_map(streams));
    let [received, stored, waiting, missing] = sums.map(|sum| Some(short(sum)));
    Totals { received, stored, waiting, missing }
}

/// Records received, stored, waiting and missing of some streams together.
pub(super) fn balance<'a>(streams: impl Iterator<Item = &'a StreamStatus>) -> [u64; 4] {
    let mut sums = [0_u64; 4];
    for stream in streams {
        let destination = &stream.destination;
        let values = [destination.decoded, destination.stored, destination.waiting, stream.sequence.missing];
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = sum.saturating_add(value);
        }
    }
    sums
}

/// The streams of a receiver that answered.
pub(super) fn streams(receiver: &ReceiverFacts) -> impl Iterator<Item = &StreamStatus> {
    let status = receiver.status.as_ref().and_then(|answer| answer.as_ref().ok());
    status.into_iter().flat_map(|status| &status.dpis).flat_map(|dpi| &dpi.streams)
}

/// Records (and refused messages) that are lost, since the journals were made.
pub(super) fn lost(status: &Status) -> u64 {
    let streams = status.dpis.iter().flat_map(|dpi| &dpi.streams);
    streams.fold(0, |sum: u64, stream| {
        sum.saturating_add(stream.sequence.missing)
            .saturating_add(sum_of(&stream.sequence.undecodable))
            .saturating_add(sum_of(&stream.wire.refused))
            .saturating_add(stream.journal.lost_frames)
            .saturating_add(stream.destination.skipped)
    })
}

/// All reasons together.
pub(super) fn sum_of(reasons: &ByReason) -> u64 {
    reasons.values().fold(0, |sum: u64, value| sum.saturating_add(*value))
}

/// `950`, `1.2k`, `34.5M`: three digits at most.
pub fn short(number: u64) -> String {
    if number < 1_000 {
        return number.to_string();
    }
    let mut scaled = number as f64;
    let mut unit = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        scaled /= 1_000.0;
        unit = next;
        if scaled < 999.5 {
            break;
        }
    }
    if scaled < 99.95 { format!("{scaled:.1}{unit}") } else { format!("{scaled:.0}{unit}") }
}

/// Large numbers to three digits, downwards, so that stored never looks like more than received.
pub(super) fn rounded(number: u64) -> u64 {
    if number < EXACT_BELOW {
        return number;
    }
    let mut unit = 1;
    while number / unit >= 1_000 {
        unit *= 10;
    }
    number / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_three_digits() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0k"),
            (1_249, "1.2k"),
            (99_949, "99.9k"),
            (999_499, "999k"),
            (999_999, "1.0M"),
            (1_200_000, "1.2M"),
            (5_000_000_000, "5.0G"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(short(number), text, "{number}");
        }
    }

    #[test]
    fn large_numbers_are_rounded_down() {
        for (number, expected) in [
            (0, 0),
            (999_999, 999_999),
            (1_000_000, 1_000_000),
            (1_234_567, 1_230_000),
            (98_765_432, 98_700_000),
        ] {
            assert_eq!(rounded(number), expected);
        }
        assert_eq!(rounded(u64::MAX), 18_400_000_000_000_000_000);
    }
}
