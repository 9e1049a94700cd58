//! When a TTL deletes rows, read from its text, to tell whether another TTL would delete them sooner. It knows
//! the forms that we declare and their like; any other text must count as unknown, never as harmless.

use crate::clauses::outside_quotes;

/// When rows of a table are deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// Never.
    Never,
    /// So many seconds after the value of an expression.
    After {
        /// The expression.
        from: String,
        /// Seconds.
        seconds: u64,
    },
    /// The text says something that is not understood.
    Unknown,
}

impl Deletion {
    /// What the TTL rules of a table, as the server prints them, delete.
    pub(crate) fn of(ttl: &str) -> Deletion {
        let mut found = Deletion::Never;
        for rule in rules(ttl) {
            match deletion_of_rule(&rule) {
                Deletion::Never => {}
                other if found == Deletion::Never => found = other,
                // Two rules that delete: which one is sooner would need more than their text.
                _ => return Deletion::Unknown,
            }
        }
        found
    }

    /// Whether `wanted` may delete a row before this does.
    pub(crate) fn is_sooner_with(&self, wanted: &Deletion) -> bool {
        match (self, wanted) {
            (_, Deletion::Never) => false,
            (Deletion::After { from, seconds }, Deletion::After { from: wanted_from, seconds: wanted }) => {
                from != wanted_from || wanted < seconds
            }
            (Deletion::Never | Deletion::Unknown | Deletion::After { .. }, _) => true,
        }
    }

    /// For a person: `after 24h`.
    pub(crate) fn text(&self) -> String {
        match self {
            Deletion::Never => "never".to_owned(),
            Deletion::After { seconds, .. } => format!("after {}", age(*seconds)),
            Deletion::Unknown => "by a rule that qoeplane did not make".to_owned(),
        }
    }
}

/// Seconds as a configuration has them: `36h`, `7d`.
fn age(seconds: u64) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds > 0 && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

/// The rules between commas that are in no quotes and no parentheses.
fn rules(ttl: &str) -> Vec<String> {
    let mut rules = Vec::new();
    let (mut start, mut depth) = (0, 0_i32);
    for (at, letter) in outside_quotes(ttl) {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                rules.extend(ttl.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    rules.extend(ttl.get(start..));
    let mut whole: Vec<String> = Vec::new();
    for part in rules.into_iter().map(str::trim).filter(|rule| !rule.is_empty()) {
        // A rule begins with an age; what does not belongs to the lists of the rule before.
        match whole.last_mut() {
            Some(before) if before.contains(GROUP_BY) && !part.contains(" + toInterval") => {
                before.push_str(", ");
                before.push_str(part);
            }
            _ => whole.push(part.to_owned()),
        }
    }
    whole
}

const GROUP_BY: &str = ") GROUP BY ";

/// Which rows of a table become one, and when, read from its TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rollups(Vec<Rollup>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rollup {
    /// What decides which rows become one.
    keys: String,
    /// From which age on.
    seconds: u64,
}

impl Rollups {
    /// The rollups among the TTL rules of a table, as the server prints them.
    pub(crate) fn of(ttl: &str) -> Rollups {
        let rollup = |rule: &String| {
            let (age, merged) = rule.split_once(GROUP_BY)?;
            let (_, interval) = age.split_once(" + toInterval")?;
            let (unit, count) = interval.split_once('(')?;
            let seconds = seconds_of(unit)?.checked_mul(count.parse().ok()?)?;
            let keys = merged.split_once(" SET ").map_or(merged, |(keys, _)| keys);
            Some(Rollup { keys: keys.to_owned(), seconds })
        };
        Rollups(rules(ttl).iter().filter_map(rollup).collect())
    }

    /// Whether `wanted` merges a row that this would leave alone.
    pub(crate) fn is_sooner_with(&self, wanted: &Rollups) -> bool {
        let is_there = |wanted: &Rollup| {
            self.0.iter().any(|present| present.keys == wanted.keys && present.seconds <= wanted.seconds)
        };
        !wanted.0.iter().all(is_there)
    }

    /// For a person: `after 7d, 30d`.
    pub(crate) fn text(&self) -> String {
        match self.0.as_slice() {
            [] => "never".to_owned(),
            rollups => {
                let ages: Vec<String> = rollups.iter().map(|rollup| age(rollup.seconds)).collect();
                format!("after {}", ages.join(", "))
            }
        }
    }
}

fn deletion_of_rule(rule: &str) -> Deletion {
    // `from + toIntervalSecond(1)` and nothing, or ` TO VOLUME 'x'`, behind it.
    let Some((from, interval)) = rule.split_once(" + toInterval") else { return Deletion::Unknown };
    let Some((unit, rest)) = interval.split_once('(') else { return Deletion::Unknown };
    let Some((count, rest)) = rest.split_once(')') else { return Deletion::Unknown };
    let seconds = seconds_of(unit).zip(count.parse::<u64>().ok());
    let Some(seconds) = seconds.and_then(|(unit, count)| count.checked_mul(unit)) else {
        return Deletion::Unknown;
    };
    match rest.trim() {
        "" | "DELETE" => Deletion::After { from: from.to_owned(), seconds },
        // Its rows become fewer, and what they tell does not: see `Rollups`.
        merged if merged.starts_with("GROUP BY ") => Deletion::Never,
        to if to.starts_with("TO VOLUME '") || to.starts_with("TO DISK '") => Deletion::Never,
        _ => Deletion::Unknown,
    }
}

fn seconds_of(unit: &str) -> Option<u64> {
    match unit {
        "Second" => Some(1),
        "Minute" => Some(60),
        "Hour" => Some(3_600),
        "Day" => Some(86_400),
        "Week" => Some(7 * 86_400),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(from: &str, seconds: u64) -> Deletion {
        Deletion::After { from: from.to_owned(), seconds }
    }

    #[test]
    fn the_rule_that_deletes_is_found() {
        assert_eq!(Deletion::of(""), Deletion::Never);
        let time = "toDateTime(received_at)";
        assert_eq!(Deletion::of("toDateTime(received_at) + toIntervalSecond(60)"), after(time, 60));
        assert_eq!(Deletion::of("toDateTime(received_at) + toIntervalDay(2) DELETE"), after(time, 172_800));
        let tiered = "toDateTime(received_at) + toIntervalSecond(5) TO VOLUME 'co, l\\'d', \
                      toDateTime(received_at) + toIntervalHour(1)";
        assert_eq!(Deletion::of(tiered), after(time, 3600));
        assert_eq!(Deletion::of("t + toIntervalSecond(5) TO DISK 'slow'"), Deletion::Never);
    }

    #[test]
    fn what_is_not_understood_is_unknown() {
        for text in [
            "t + toIntervalMonth(1)",
            "t + toIntervalSecond(1) WHERE x = 1",
            "t + toIntervalSecond(1) RECOMPRESS CODEC(ZSTD(1))",
            "t + toIntervalSecond(x)",
            "t",
            "t + toIntervalSecond(1), u + toIntervalSecond(1)",
            "t + toIntervalWeek(18446744073709551615)",
            "t + toIntervalSecond(1) + toIntervalSecond(1)",
        ] {
            assert_eq!(Deletion::of(text), Deletion::Unknown, "{text}");
        }
    }

    #[test]
    fn sooner_is_what_deletes_a_row_before() {
        let (hour, day) = (after("t", 3_600), after("t", 86_400));
        assert!(day.is_sooner_with(&hour));
        assert!(Deletion::Never.is_sooner_with(&day));
        assert!(Deletion::Unknown.is_sooner_with(&day));
        assert!(day.is_sooner_with(&after("u", 86_400)));
        assert!(!hour.is_sooner_with(&day));
        assert!(!day.is_sooner_with(&day));
        assert!(!day.is_sooner_with(&Deletion::Never));
        assert!(!Deletion::Unknown.is_sooner_with(&Deletion::Never));
    }

    #[test]
    fn rollups_are_told_from_deletions() {
        let ttl = |week: u64, month: u64| {
            format!(
                "time + toIntervalSecond({week}) GROUP BY toStartOfHour(time), a, toStartOfInterval(time, \
                 toIntervalMinute(30)) SET n = sum(n), time = toStartOfInterval(any(time), toIntervalMinute(30)), \
                 time + toIntervalSecond({month}) GROUP BY toStartOfHour(time), a SET n = sum(n), time = \
                 toStartOfHour(any(time)), time + toIntervalSecond(900000) TO VOLUME 'cold', time + \
                 toIntervalSecond(999999)"
            )
        };
        let usual = Rollups::of(&ttl(604_800, 2_592_000));
        assert_eq!(usual.text(), "after 7d, 30d");
        assert_eq!(Deletion::of(&ttl(1, 2)), after("time", 999_999));
        assert!(!usual.is_sooner_with(&usual));
        assert!(usual.is_sooner_with(&Rollups::of(&ttl(604_799, 2_592_000))));
        assert!(usual.is_sooner_with(&Rollups::of(&ttl(604_800, 2_591_999))));
        assert!(!usual.is_sooner_with(&Rollups::of(&ttl(604_801, 2_592_001))));
        assert!(!usual.is_sooner_with(&Rollups::of("")));
        assert!(Rollups::of("").is_sooner_with(&usual));
    }

    #[test]
    fn ages_read_like_the_configuration() {
        assert_eq!(after("t", 86_400).text(), "after 1d");
        assert_eq!(after("t", 129_600).text(), "after 36h");
        assert_eq!(after("t", 90).text(), "after 90s");
        assert_eq!(after("t", 0).text(), "after 0s");
    }
}
