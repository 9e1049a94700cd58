//! A dictionary's text, checked line by line: tab-separated, no header, UTF-8. Good rows stay in the text and are
//! only pointed to; a wrong line is named and left out. No text makes this panic, and no line is counted twice:
//! good, bad and blank ones are all lines.

mod cycles;
mod keys;
mod line;
mod prefix;
#[cfg(test)]
mod tests;
mod value;

use std::ops::Range;

use schema::Dictionary;

use self::keys::Keys;
use self::value::Value;

/// How many bad rows are kept with their reasons.
const FIRST_BAD: usize = 100;
/// IPv4 networks beyond this are worth a second look.
const MANY_ADDRESSES: u64 = 100_000_000;

/// A line and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong, for a person.
    pub reason: String,
}

/// The lines that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadRows {
    /// How many there are.
    pub count: u64,
    /// The first 100, by line.
    pub first: Vec<BadRow>,
}

/// A dictionary's rows and what is wrong with the others.
pub struct Parsed<'a> {
    /// Lines of the text: good, bad and blank ones.
    pub lines: u64,
    /// Lines without anything, which are no mistakes.
    pub blank: u64,
    /// Lines that are left out.
    pub bad: BadRows,
    /// Rows that are good but look unintended.
    pub warnings: Vec<BadRow>,
    dictionary: &'static Dictionary,
    text: &'a [u8],
    rows: Vec<Row>,
    keys: Keys,
}

#[derive(Clone, Copy)]
struct Row {
    /// Where its line begins in the text.
    start: usize,
    line: u64,
}

/// Checks a whole text.
pub fn parse<'a>(dictionary: &'static Dictionary, text: &'a [u8]) -> Parsed<'a> {
    let mut parsed = Parsed {
        lines: 0,
        blank: 0,
        bad: BadRows::default(),
        warnings: Vec::new(),
        dictionary,
        text,
        rows: Vec::new(),
        keys: Keys::default(),
    };
    let mut buffers = Buffers::default();
    let mut start = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        parsed.lines += 1;
        parsed.take(Row { start, line: parsed.lines }, &mut buffers);
        start += memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
    }
    if dictionary.parent.is_some() {
        parsed.leave_out_cycles();
    }
    parsed
}

/// Reused from line to line.
#[derive(Default)]
struct Buffers {
    key: Vec<u8>,
    other: Vec<u8>,
}

impl<'a> Parsed<'a> {
    /// The dictionary that it was checked against.
    pub fn dictionary(&self) -> &'static Dictionary {
        self.dictionary
    }

    /// How many good rows there are. They are numbered from 0, in the order of their lines.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The line of a row.
    pub fn line(&self, row: usize) -> Option<u64> {
        self.rows.get(row).map(|row| row.line)
    }

    /// Puts the key of a row into `key`: bytes that only the same key has, also in another text of the same
    /// dictionary. Nothing for a row that does not exist.
    pub fn read_key(&self, row: usize, key: &mut Vec<u8>) {
        key.clear();
        if let Some(row) = self.rows.get(row) {
            line::read_key(self.dictionary, line_at(self.text, row.start), key);
        }
    }

    /// The key of a row for a person: `prefix 10.0.0.0/24`.
    pub fn key_text(&self, row: usize) -> String {
        let Some(row) = self.rows.get(row) else { return String::new() };
        let values = line::values(self.dictionary, line_at(self.text, row.start)).take(self.dictionary.key);
        let parts: Vec<String> = values.map(|(field, value)| format!("{} {value}", field.name)).collect();
        parts.join(", ")
    }

    /// The row that has a key, see [`Parsed::read_key`].
    pub fn row_with_key(&self, key: &[u8]) -> Option<usize> {
        let mut other = Vec::new();
        let row = self.keys.find(key, |row| {
            self.read_key(row as usize, &mut other);
            other == key
        });
        row.map(|row| row as usize)
    }

    /// Appends rows as ClickHouse's TabSeparated, one line each: `version`, `dpis` as an array, the fields in
    /// their canonical form.
    pub fn write_tsv(&self, version: u32, dpis: &[u16], rows: Range<usize>, out: &mut Vec<u8>) {
        let list: Vec<String> = dpis.iter().map(u16::to_string).collect();
        let head = format!("{version}\t[{}]", list.join(","));
        for row in self.rows.get(rows).unwrap_or_default() {
            out.extend_from_slice(head.as_bytes());
            for (_, value) in line::values(self.dictionary, line_at(self.text, row.start)) {
                out.push(b'\t');
                value.append_tsv(out);
            }
            out.push(b'\n');
        }
    }

    fn take(&mut self, row: Row, buffers: &mut Buffers) {
        let text = line_at(self.text, row.start);
        if text.iter().all(|byte| *byte == b' ') {
            self.blank += 1;
            return;
        }
        if let Err(mistake) = line::check(self.dictionary, text, &mut buffers.key) {
            self.bad.add(row.line, || mistake.to_string());
            return;
        }
        let Ok(number) = u32::try_from(self.rows.len()) else {
            self.bad.add(row.line, || format!("more than {} rows", u32::MAX));
            return;
        };
        if let Some(first) = self.insert_key(number, buffers) {
            let names: Vec<&str> = self.dictionary.key_fields().iter().map(|field| field.name).collect();
            let first = self.line(first as usize).unwrap_or_default();
            self.bad.add(row.line, || format!("the same {} as in line {first}", names.join(" and ")));
            return;
        }
        self.rows.push(row);
        if is_own_networks(self.dictionary) {
            self.warn_of_many_addresses(row);
        }
    }

    /// Says that the row has the key in the buffers, or which row has it already.
    fn insert_key(&mut self, row: u32, buffers: &mut Buffers) -> Option<u32> {
        let Parsed { dictionary, text, rows, keys, .. } = self;
        let Buffers { key, other } = buffers;
        keys.insert(key, row, |earlier| {
            let Some(earlier) = rows.get(earlier as usize) else { return false };
            line::read_key(dictionary, line_at(text, earlier.start), other);
            other == key
        })
    }

    fn warn_of_many_addresses(&mut self, row: Row) {
        let Some((field, Value::Prefix(prefix))) =
            line::values(self.dictionary, line_at(self.text, row.start)).next()
        else {
            return;
        };
        let Some(addresses) = prefix.ipv4_addresses().filter(|addresses| *addresses > MANY_ADDRESSES) else {
            return;
        };
        let reason = format!("{}: {prefix} has {addresses} addresses: see whether all are meant", field.name);
        self.warnings.push(BadRow { line: row.line, reason });
    }

    /// Makes bad rows of the rows that are their own ancestors.
    fn leave_out_cycles(&mut self) {
        let parents: Vec<Option<u32>> = (0..self.rows.len()).map(|row| self.parent(row)).collect();
        let cycles = cycles::find(&parents);
        if cycles.is_empty() {
            return;
        }
        let mut wrong: Vec<(u32, usize, usize)> = Vec::new();
        for (number, cycle) in cycles.iter().enumerate() {
            wrong.extend(cycle.iter().enumerate().map(|(position, row)| (*row, number, position)));
        }
        wrong.sort_unstable();
        let mut found = BadRows::default();
        for (row, number, position) in &wrong {
            let cycle = cycles.get(*number).map(Vec::as_slice).unwrap_or_default();
            found.add(self.line(*row as usize).unwrap_or_default(), || {
                cycles::reason(cycle, *position, |row| self.number(row as usize, None).unwrap_or_default())
            });
        }
        self.bad.merge(found);
        self.keep_all_but(&wrong.iter().map(|(row, ..)| *row).collect::<Vec<_>>());
    }

    /// The row that a row names as its parent.
    fn parent(&self, row: usize) -> Option<u32> {
        let id = self.number(row, self.dictionary.parent).filter(|id| *id != 0)?;
        let mut key = Vec::new();
        Value::Number(id).append_key(&mut key);
        u32::try_from(self.row_with_key(&key)?).ok()
    }

    /// The number in a field of a row; in the first one, without a name.
    fn number(&self, row: usize, name: Option<&str>) -> Option<u64> {
        let row = self.rows.get(row)?;
        let mut values = line::values(self.dictionary, line_at(self.text, row.start));
        match values.find(|(field, _)| name.is_none_or(|name| name == field.name)) {
            Some((_, Value::Number(number))) => Some(number),
            _ => None,
        }
    }

    /// Leaves out rows; `out` is sorted.
    fn keep_all_but(&mut self, out: &[u32]) {
        let before = std::mem::take(&mut self.rows);
        self.keys = Keys::default();
        let mut buffers = Buffers::default();
        for (number, row) in (0_u32..).zip(before) {
            if out.binary_search(&number).is_ok() {
                continue;
            }
            line::read_key(self.dictionary, line_at(self.text, row.start), &mut buffers.key);
            let Ok(number) = u32::try_from(self.rows.len()) else { return };
            self.insert_key(number, &mut buffers);
            self.rows.push(row);
        }
    }
}

impl BadRows {
    fn add(&mut self, line: u64, reason: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < FIRST_BAD {
            self.first.push(BadRow { line, reason: reason() });
        }
    }

    fn merge(&mut self, other: BadRows) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.sort_by_key(|row| row.line);
        self.first.truncate(FIRST_BAD);
    }
}

/// Whether the networks are the provider's, of which nobody has hundreds of millions of addresses.
fn is_own_networks(dictionary: &'static Dictionary) -> bool {
    [schema::dictionaries::SUBNETS_LOCAL.name, schema::dictionaries::SUBNETS_EXCLUDE.name]
        .contains(&dictionary.name)
}

/// The line that begins at `start`, without its end.
fn line_at(text: &[u8], start: usize) -> &[u8] {
    let rest = text.get(start..).unwrap_or_default();
    let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    let line = rest.get(..end).unwrap_or(rest);
    line.strip_suffix(b"\r").unwrap_or(line)
}
