//! One line: whether it is what the dictionary declares, and if not, what a person must correct. A mistake is
//! put into words only when somebody will read it: a file may have millions.

use std::fmt;

use schema::{Dictionary, FieldDecl, FieldType};

use super::value::{Value, largest};

/// Longer lines are no lines of a dictionary.
const MAX_LINE: usize = 64 << 10;
/// How much of a wrong field is shown.
const SHOWN: usize = 60;

/// Why a line is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mistake<'a> {
    TooLong,
    NotUtf8 { column: usize },
    Control { column: usize, found: char },
    Tabs { found: usize, expected: usize },
    Value { field: &'static FieldDecl, found: &'a str },
}

/// Checks a line without its end and puts its key into `key`.
pub(super) fn check<'a>(
    dictionary: &'static Dictionary,
    line: &'a [u8],
    key: &mut Vec<u8>,
) -> Result<(), Mistake<'a>> {
    key.clear();
    if line.len() > MAX_LINE {
        return Err(Mistake::TooLong);
    }
    let text = str::from_utf8(line)
        .map_err(|error| Mistake::NotUtf8 { column: column_of(line, error.valid_up_to()) })?;
    if let Some((at, found)) = control_character(text) {
        return Err(Mistake::Control { column: column_of(line, at), found });
    }
    let found = memchr::memchr_iter(b'\t', line).count();
    let expected = dictionary.fields.len().saturating_sub(1);
    if found != expected {
        return Err(Mistake::Tabs { found, expected });
    }
    for (position, (field, found)) in dictionary.fields.iter().zip(fields(text)).enumerate() {
        let value = Value::read(field, dictionary.parent == Some(field.name), found)
            .ok_or(Mistake::Value { field, found })?;
        if position < dictionary.key {
            value.append_key(key);
        }
    }
    Ok(())
}

/// The fields of a line that [`check`] has found good, with their declarations.
pub(super) fn values<'a>(
    dictionary: &'static Dictionary,
    line: &'a [u8],
) -> impl Iterator<Item = (&'static FieldDecl, Value<'a>)> {
    let text = str::from_utf8(line).unwrap_or_default();
    dictionary.fields.iter().zip(fields(text)).filter_map(|(field, text)| {
        Some((field, Value::read(field, dictionary.parent == Some(field.name), text)?))
    })
}

/// Puts the key of a line that [`check`] has found good into `key`.
pub(super) fn read_key(dictionary: &'static Dictionary, line: &[u8], key: &mut Vec<u8>) {
    key.clear();
    for (_, value) in values(dictionary, line).take(dictionary.key) {
        value.append_key(key);
    }
}

/// What stands between the tabs. A good deal faster than `split`: the fields are short.
fn fields(text: &str) -> impl Iterator<Item = &str> {
    let mut start = 0;
    memchr::memchr_iter(b'\t', text.as_bytes()).chain([text.len()]).filter_map(move |end| {
        let field = text.get(start..end);
        start = end + 1;
        field
    })
}

/// The first control character but the tab, and where it is.
fn control_character(text: &str) -> Option<(usize, char)> {
    // Without a branch for each byte: nearly every line has none. 0xC2 begins the ones beyond ASCII.
    let suspicious = text.bytes().fold(false, |found, byte| {
        found | ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f) | (byte == 0xc2)
    });
    if !suspicious {
        return None;
    }
    text.char_indices().find(|(_, c)| c.is_control() && *c != '\t')
}

/// The column of a byte, counted from 1.
fn column_of(line: &[u8], at: usize) -> usize {
    let before = line.get(..at).unwrap_or(line);
    memchr::memchr_iter(b'\t', before).count() + 1
}

impl fmt::Display for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::TooLong => write!(f, "longer than {} KiB", MAX_LINE >> 10),
            Mistake::NotUtf8 { column } => write!(f, "not UTF-8 in column {column}: save the file as UTF-8"),
            Mistake::Control { column, found } => {
                write!(f, "control character U+{:04X} in column {column}", u32::from(*found))
            }
            Mistake::Tabs { found, expected } => {
                let tabs = if *found == 1 { "tab" } else { "tabs" };
                write!(f, "{found} {tabs}, expected {expected} ({} columns)", expected + 1)
            }
            Mistake::Value { field, found } => {
                let expected = expected(field.field_type);
                if found.trim().is_empty() {
                    return write!(f, "{}: empty, expected {expected}", field.name);
                }
                write!(f, "{}: {} is not {expected}", field.name, Shown(found))
            }
        }
    }
}

fn expected(field_type: FieldType) -> String {
    match field_type {
        FieldType::Prefix => "an IP address or prefix".to_string(),
        FieldType::Host => "a host's name".to_string(),
        FieldType::UInt16 | FieldType::UInt32 | FieldType::UInt64 => {
            format!("a number up to {}", largest(field_type))
        }
        FieldType::Flag => "0, 1 or empty".to_string(),
        FieldType::Text => "a text".to_string(),
    }
}

/// The beginning of a field, in quotes.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "\"{}...\"", self.0.get(..end).unwrap_or_default()),
            None => write!(f, "\"{}\"", self.0),
        }
    }
}
