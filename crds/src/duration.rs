//! Lengths of time as users write them: `30s`, `10m`, `24h`, `30d`.
//!
//! A value keeps the unit it was written in, so that a configuration which is read and written
//! again does not change.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// What is expected of a [`Duration`], as error messages put it.
pub const DURATION_EXPECTED: &str = "a duration such as 30s, 10m, 24h or 30d";
/// What is expected of a [`Delay`], as error messages put it.
pub const DELAY_EXPECTED: &str = "0s or a duration such as 30s, 10m, 24h or 30d";

/// The unit a duration was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// `s`
    Seconds,
    /// `m`
    Minutes,
    /// `h`
    Hours,
    /// `d`, always 24 hours
    Days,
}

impl Unit {
    /// Length of the unit in seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Unit::Seconds => 1,
            Unit::Minutes => 60,
            Unit::Hours => 3_600,
            Unit::Days => 86_400,
        }
    }

    const fn suffix(self) -> char {
        match self {
            Unit::Seconds => 's',
            Unit::Minutes => 'm',
            Unit::Hours => 'h',
            Unit::Days => 'd',
        }
    }
}

/// A length of time of at least one second: `^[1-9][0-9]{0,5}(s|m|h|d)$`.
#[derive(Debug, Clone, Copy)]
pub struct Duration {
    amount: u32,
    unit: Unit,
}

impl Duration {
    /// `amount` seconds; an amount of 0 is taken as 1, because a `Duration` is never empty.
    pub const fn from_secs(amount: u32) -> Duration {
        Duration { amount: if amount == 0 { 1 } else { amount }, unit: Unit::Seconds }
    }

    /// `amount` hours; 0 is taken as 1.
    pub const fn from_hours(amount: u32) -> Duration {
        Duration { amount: if amount == 0 { 1 } else { amount }, unit: Unit::Hours }
    }

    /// The length in seconds.
    pub const fn as_secs(self) -> u64 {
        self.amount as u64 * self.unit.seconds()
    }

    /// The length in milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.as_secs() * 1_000
    }
}

impl PartialEq for Duration {
    /// By length: `60s` equals `1m`.
    fn eq(&self, other: &Duration) -> bool {
        self.as_secs() == other.as_secs()
    }
}

impl Eq for Duration {}

impl PartialOrd for Duration {
    fn partial_cmp(&self, other: &Duration) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Duration {
    fn cmp(&self, other: &Duration) -> std::cmp::Ordering {
        self.as_secs().cmp(&other.as_secs())
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> std::time::Duration {
        std::time::Duration::from_secs(duration.as_secs())
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.amount, self.unit.suffix())
    }
}

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {DURATION_EXPECTED}, got {text:?}")]
pub struct DurationError {
    text: String,
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Duration, DurationError> {
        parse(text).ok_or_else(|| DurationError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Duration> {
    let unit = match text.as_bytes().last()? {
        b's' => Unit::Seconds,
        b'm' => Unit::Minutes,
        b'h' => Unit::Hours,
        b'd' => Unit::Days,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    let well_formed = (1..=6).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if !well_formed {
        return None;
    }
    Some(Duration { amount: digits.parse().ok()?, unit })
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DURATION_EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// A length of time that may be nothing: `0s` or what [`Duration`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delay(Option<Duration>);

impl Delay {
    /// No delay, written `0s`.
    pub const ZERO: Delay = Delay(None);

    /// The length in milliseconds.
    pub const fn as_millis(self) -> u64 {
        match self.0 {
            Some(duration) => duration.as_millis(),
            None => 0,
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(duration) => duration.fmt(f),
            None => f.write_str("0s"),
        }
    }
}

impl Serialize for Delay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Delay, D::Error> {
        deserializer.deserialize_any(DelayVisitor)
    }
}

struct DelayVisitor;

impl Visitor<'_> for DelayVisitor {
    type Value = Delay;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DELAY_EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Delay, E> {
        if text == "0s" {
            return Ok(Delay::ZERO);
        }
        match parse(text) {
            Some(duration) => Ok(Delay(Some(duration))),
            None => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit_and_keeps_it() {
        for (text, seconds) in [("1s", 1), ("10m", 600), ("24h", 86_400), ("999999d", 86_399_913_600)] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.as_secs(), seconds);
            assert_eq!(duration.to_string(), text);
        }
        assert_eq!("60s".parse::<Duration>(), "1m".parse());
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "s", "0s", "01s", "1", "1w", "1.5h", "-1s", "1000000s", "1 s", "1é", "é"] {
            assert!(text.parse::<Duration>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_a_delay_may_be_nothing() {
        assert_eq!(serde_json::from_str::<Delay>("\"0s\"").unwrap(), Delay::ZERO);
        assert!(serde_json::from_str::<Delay>("\"0m\"").is_err());
        assert!(serde_json::from_str::<Duration>("\"0s\"").is_err());
    }
}
