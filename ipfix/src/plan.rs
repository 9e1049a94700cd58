//! Plans: how records of one template become columns, worked out once per template.

use crate::column::{Column, ColumnKind};
use crate::element::Element;
use crate::template::Template;

/// How a number on the wire becomes the number in the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convert {
    /// As it is.
    Plain,
    /// Unix seconds to Unix milliseconds.
    SecondsToMillis,
    /// An NTP timestamp (elements of type dateTimeMicroseconds) to Unix milliseconds.
    MicrosNtpToMillis,
    /// An NTP timestamp (elements of type dateTimeNanoseconds) to Unix milliseconds.
    NanosNtpToMillis,
    /// Milliseconds since the exporter booted (elements 21 and 22) to Unix milliseconds.
    UptimeToMillis,
}

/// An element that can fill a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The element.
    pub element: Element,
    /// The shortest length that is accepted.
    pub min_len: u16,
    /// The longest length that is accepted; 65535 allows variable length.
    pub max_len: u16,
    /// What is done to the number.
    pub convert: Convert,
}

/// A column that is wanted, and where its values may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What the column holds.
    pub kind: ColumnKind,
    /// The elements that can fill it: the first that the template has, in an accepted length, does.
    pub sources: Vec<Source>,
    /// If given, every row gets this constant of [`MessageContext::constants`] instead.
    pub constant: Option<usize>,
}

/// What a record's values may depend on besides the record.
#[derive(Clone, Copy, Debug)]
pub struct MessageContext<'a> {
    /// The header's export time, Unix seconds.
    pub export_time: u32,
    /// The header's uptime in milliseconds (NetFlow v9), otherwise 0.
    pub uptime_ms: u32,
    /// The constants that [`Wanted::constant`] refers to.
    pub constants: &'a [u64],
}

/// What was found in a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The records that were decoded.
    pub records: u32,
    /// Whether bytes after them are neither a record nor padding.
    pub malformed_tail: bool,
}

/// How records of one template become columns.
#[derive(Clone, Debug)]
pub struct Plan {
    matched: usize,
}

impl Plan {
    /// Works out how records of `template` fill the wanted columns.
    pub fn compile(_template: &Template, _wanted: &[Wanted]) -> Self {
        Self { matched: 0 }
    }

    /// How many of the wanted columns found a source in the template.
    pub fn matched(&self) -> usize {
        self.matched
    }

    /// Decodes the records of a data set and appends them to the columns.
    pub fn decode(&self, _set_body: &[u8], _ctx: &MessageContext<'_>, _columns: &mut [Column]) -> Decoded {
        Decoded::default()
    }

    /// The number of records in a data set.
    pub fn count_records(&self, _set_body: &[u8]) -> u32 {
        0
    }
}
