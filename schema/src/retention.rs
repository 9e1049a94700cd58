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
            match deletion_of_rule(rule) {
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
fn rules(ttl: &str) -> Vec<&str> {
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
    rules.into_iter().map(str::trim).filter(|rule| !rule.is_empty()).collect()
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
            "t + toIntervalSecond(1) GROUP BY a SET b = max(b)",
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
    fn ages_read_like_the_configuration() {
        assert_eq!(after("t", 86_400).text(), "after 1d");
        assert_eq!(after("t", 129_600).text(), "after 36h");
        assert_eq!(after("t", 90).text(), "after 90s");
        assert_eq!(after("t", 0).text(), "after 0s");
    }
}
