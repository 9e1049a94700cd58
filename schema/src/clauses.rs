//! TTL and settings out of `system.tables.engine_full`, the only place where a server shows them. It reads
//! text that the server has already normalised; it must not be used on anything a person wrote.

use std::collections::BTreeMap;

/// The clauses of a table's engine that may be changed later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clauses {
    /// TTL rules, joined by `, `; empty for none.
    pub ttl: String,
    /// Settings by name, values unquoted.
    pub settings: BTreeMap<String, String>,
}

/// Splits `MergeTree PARTITION BY .. ORDER BY .. TTL .. SETTINGS a = 1, b = 'x'`.
pub(crate) fn clauses(engine_full: &str) -> Clauses {
    let settings_at = find_outside_quotes(engine_full, " SETTINGS ");
    let (rest, settings) = match settings_at {
        Some(at) => (head(engine_full, at), tail(engine_full, at + " SETTINGS ".len())),
        None => (engine_full, ""),
    };
    let ttl = match find_outside_quotes(rest, " TTL ") {
        Some(at) => tail(rest, at + " TTL ".len()),
        None => "",
    };
    Clauses { ttl: ttl.to_owned(), settings: split_settings(settings) }
}

fn split_settings(mut text: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    while !text.is_empty() {
        let (one, rest) = match find_outside_quotes(text, ", ") {
            Some(at) => (head(text, at), tail(text, at + 2)),
            None => (text, ""),
        };
        if let Some((name, value)) = one.split_once(" = ") {
            settings.insert(name.to_owned(), unquote(value));
        }
        text = rest;
    }
    settings
}

fn unquote(value: &str) -> String {
    match value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        Some(inner) => inner.replace("\\'", "'").replace("\\\\", "\\"),
        None => value.to_owned(),
    }
}

/// Where `wanted` first occurs outside of string literals and quoted names.
fn find_outside_quotes(text: &str, wanted: &str) -> Option<usize> {
    outside_quotes(text).map(|(at, _)| at).find(|at| tail(text, *at).starts_with(wanted))
}

/// The letters outside of string literals and quoted names, and where they stand.
pub(crate) fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let mut quote = None;
    let mut escaped = false;
    text.char_indices().filter(move |(_, letter)| {
        let Some(open) = quote else {
            quote = matches!(letter, '\'' | '`').then_some(*letter);
            return quote.is_none();
        };
        if escaped {
            escaped = false;
        } else if *letter == '\\' {
            escaped = true;
        } else if *letter == open {
            quote = None;
        }
        false
    })
}

fn head(text: &str, at: usize) -> &str {
    text.get(..at).unwrap_or_default()
}

fn tail(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_and_settings_are_found() {
        let found = clauses(
            "MergeTree PARTITION BY toStartOfHour(t) ORDER BY (a, ` TTL `) TTL toDateTime(t) + toIntervalSecond(60) TO \
             VOLUME 'co SETTINGS ld', toDateTime(t) + toIntervalSecond(90) SETTINGS storage_policy = 'a, b = \\'', \
             index_granularity = 8192",
        );
        assert_eq!(
            found.ttl,
            "toDateTime(t) + toIntervalSecond(60) TO VOLUME 'co SETTINGS ld', toDateTime(t) + toIntervalSecond(90)"
        );
        assert_eq!(found.settings.len(), 2);
        assert_eq!(found.settings["storage_policy"], "a, b = '");
        assert_eq!(found.settings["index_granularity"], "8192");
    }

    #[test]
    fn engines_without_clauses_have_none() {
        assert_eq!(clauses("Memory"), Clauses::default());
        assert_eq!(clauses(""), Clauses::default());
        assert_eq!(clauses("MergeTree ORDER BY é SETTINGS"), Clauses::default());
    }
}
