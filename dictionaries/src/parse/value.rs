//! One field of a line: read from its text and written in its canonical form. Allocates nothing but the lower
//! case of hosts that are not lower case already; must never take a text for something that it is not.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use schema::{FieldDecl, FieldType};

use super::prefix::Prefix;

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Prefix(Prefix),
    Number(u64),
    Text(Cow<'a, str>),
}

impl<'a> Value<'a> {
    /// None if the text is not what the field holds. An empty `parent` is 0: no parent.
    pub(super) fn read(field: &FieldDecl, is_parent: bool, text: &'a str) -> Option<Value<'a>> {
        if field.field_type == FieldType::Text {
            return Some(Value::Text(Cow::Borrowed(text)));
        }
        let trimmed = text.trim();
        if trimmed.is_empty() && is_parent {
            return Some(Value::Number(0));
        }
        match field.field_type {
            FieldType::Prefix => Prefix::read(trimmed).map(Value::Prefix),
            FieldType::UInt16 | FieldType::UInt32 | FieldType::UInt64 => {
                read_number(trimmed, largest(field.field_type)).map(Value::Number)
            }
            FieldType::Flag if trimmed.is_empty() => Some(Value::Number(0)),
            FieldType::Flag => read_number(trimmed, 1).map(Value::Number),
            FieldType::Host => read_host(trimmed),
            FieldType::Text => Some(Value::Text(Cow::Borrowed(text))),
        }
    }

    /// Appends the bytes that no other value of the same field has, and that end in a way of their own.
    pub(super) fn append_key(&self, key: &mut Vec<u8>) {
        match self {
            Value::Prefix(prefix) => prefix.append_key(key),
            Value::Number(number) => key.extend_from_slice(&number.to_be_bytes()),
            Value::Text(text) => {
                key.extend_from_slice(&text.len().to_be_bytes());
                key.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Appends the value as ClickHouse reads it in TabSeparated.
    pub(super) fn append_tsv(&self, out: &mut Vec<u8>) {
        match self {
            // Writing to a Vec cannot fail.
            Value::Prefix(prefix) => drop(write!(out, "{prefix}")),
            Value::Number(number) => drop(write!(out, "{number}")),
            Value::Text(text) => append_escaped(text.as_bytes(), out),
        }
    }
}

/// For people.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Prefix(prefix) => prefix.fmt(f),
            Value::Number(number) => number.fmt(f),
            Value::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

/// The largest number of a type.
pub(super) fn largest(field_type: FieldType) -> u64 {
    match field_type {
        FieldType::UInt16 => u64::from(u16::MAX),
        FieldType::UInt32 => u64::from(u32::MAX),
        FieldType::UInt64 => u64::MAX,
        FieldType::Flag => 1,
        FieldType::Prefix | FieldType::Host | FieldType::Text => 0,
    }
}

fn read_number(text: &str, most: u64) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for byte in text.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    Some(number).filter(|number| *number <= most)
}

fn read_host(trimmed: &str) -> Option<Value<'_>> {
    let host = trimmed.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    // A domain stands for all hosts in it anyway.
    let host = host.strip_prefix("*.").unwrap_or(host);
    if host.is_empty() {
        return None;
    }
    let is_canonical = host.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    Some(Value::Text(if is_canonical { Cow::Borrowed(host) } else { Cow::Owned(host.to_lowercase()) }))
}

/// A line has neither tabs in its fields nor other control characters: the backslash alone means something.
fn append_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((before, after)) = memchr::memchr(b'\\', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(before);
        out.extend_from_slice(b"\\\\");
        rest = after.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field_type: FieldType, text: &str) -> Option<String> {
        let field = FieldDecl { name: "field", field_type, comment: "" };
        let value = Value::read(&field, false, text)?;
        let mut out = Vec::new();
        value.append_tsv(&mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn numbers_are_decimal_and_fit() {
        for (field_type, most, beyond) in [
            (FieldType::UInt16, "65535", "65536"),
            (FieldType::UInt32, "4294967295", "4294967296"),
            (FieldType::UInt64, "18446744073709551615", "18446744073709551616"),
        ] {
            assert_eq!(read(field_type, most).as_deref(), Some(most));
            assert_eq!(read(field_type, beyond), None);
            assert_eq!(read(field_type, " 007 ").as_deref(), Some("7"));
            for text in ["", " ", "-1", "+1", "0x1", "1.0", "1 2", "x", "99999999999999999999999"] {
                assert_eq!(read(field_type, text), None, "{text}");
            }
        }
    }

    #[test]
    fn a_flag_is_empty_or_0_or_1() {
        for (text, canonical) in [("", "0"), (" ", "0"), ("0", "0"), ("1", "1"), (" 1", "1")] {
            assert_eq!(read(FieldType::Flag, text).as_deref(), Some(canonical), "{text}");
        }
        for text in ["2", "-", "yes", "true"] {
            assert_eq!(read(FieldType::Flag, text), None, "{text}");
        }
    }

    #[test]
    fn an_empty_parent_is_0() {
        let field = FieldDecl { name: "parent", field_type: FieldType::UInt64, comment: "" };
        assert_eq!(Value::read(&field, true, " "), Some(Value::Number(0)));
        assert_eq!(Value::read(&field, true, "5"), Some(Value::Number(5)));
        assert_eq!(Value::read(&field, true, "x"), None);
    }

    #[test]
    fn hosts_are_trimmed_and_in_lower_case() {
        for (text, canonical) in [
            ("example.com", "example.com"),
            (" WWW.Example.COM. ", "www.example.com"),
            ("example.com. .", "example.com"),
            ("ПРИМЕР.рф", "пример.рф"),
        ] {
            assert_eq!(read(FieldType::Host, text).as_deref(), Some(canonical), "{text}");
        }
        for text in ["", " ", ".", " . ."] {
            assert_eq!(read(FieldType::Host, text), None, "{text}");
        }
    }

    #[test]
    fn texts_stay_as_they_are_and_backslashes_are_doubled() {
        for (text, written) in [("", ""), (" a b ", " a b "), (r"\", r"\\"), (r"a\tb\\c\", r"a\\tb\\\\c\\")] {
            assert_eq!(read(FieldType::Text, text).as_deref(), Some(written), "{text}");
        }
    }

    #[test]
    fn neighbouring_texts_do_not_run_into_each_other() {
        let key = |texts: [&'static str; 2]| {
            let mut key = Vec::new();
            for text in texts {
                Value::Text(Cow::Borrowed(text)).append_key(&mut key);
            }
            key
        };
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
    }
}
