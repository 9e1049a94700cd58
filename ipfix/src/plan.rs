//! Plans: how records of one template become columns, worked out once per template.
//!
//! A plan holds, per wanted column, where its field lies in a record and how it is read. Decoding
//! then runs column by column: no look-up, no allocation and no decision per record or value. What
//! the bytes say is never trusted: nothing outside a set is read, and after every call all columns
//! have the same length.

mod fill;
mod operations;
mod records;

use std::ops::Range;

use crate::column::{Column, ColumnKind};
use crate::element::Element;
use crate::template::{FieldSpec, Template};
use operations::{Operation, Operations};
use records::{FixedRecords, Layout, Place, Records, VariableRecords};

/// How a number on the wire becomes the number in the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convert {
    /// As it is.
    Plain,
    /// Unix seconds to Unix milliseconds.
    SecondsToMillis,
    /// An NTP timestamp (elements of type dateTimeMicroseconds, 8 bytes) to Unix milliseconds.
    MicrosNtpToMillis,
    /// An NTP timestamp (elements of type dateTimeNanoseconds, 8 bytes) to Unix milliseconds.
    NanosNtpToMillis,
    /// Milliseconds since the exporter booted (elements 21 and 22) to Unix milliseconds. When it
    /// booted is told by element 160 of the same record, else by the header's uptime and export
    /// time (NetFlow v9). If neither is there, the export time has to do.
    UptimeToMillis,
}

/// An element that can fill a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The element.
    pub element: Element,
    /// The shortest length that is accepted, in bytes.
    pub min_len: u16,
    /// The longest length that is accepted, in bytes; 65535 allows variable length. If it is longer
    /// than the column's kind, the low-order bytes are taken.
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
    /// If there is none, the column gets defaults.
    pub sources: Vec<Source>,
    /// If given, every row gets this constant of [`MessageContext::constants`] instead (for numbers;
    /// a constant that is not there is 0).
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

/// A data set within a buffer that holds several.
#[derive(Clone, Debug)]
pub struct DataSet<'a> {
    /// Where the set's body lies in the buffer.
    pub body: Range<usize>,
    /// The context of its message.
    pub context: MessageContext<'a>,
}

/// Memory that decoding uses again and again.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// Where the segments of the records begin, see [`Layout::find_records`].
    positions: Vec<u32>,
    decoded: Vec<Decoded>,
}

impl Scratch {
    /// Whether so many records were found that more before the next [`Plan::fill`] only costs memory.
    pub fn is_full(&self) -> bool {
        self.positions.len() >= POSITIONS_AT_ONCE
    }

    fn clear(&mut self) {
        self.positions.clear();
        self.decoded.clear();
    }
}

/// How records of one template become columns.
#[derive(Clone, Debug)]
pub struct Plan {
    layout: Layout,
    operations: Operations,
    /// How many columns were wanted.
    columns: usize,
}

/// Sets are decoded together until there are so many positions (about 30 sets of the DPI's): they stay in
/// the first-level cache, and a loop over one column runs long enough to be worth its start.
const POSITIONS_AT_ONCE: usize = 1024;

impl Plan {
    /// Works out how records of `template` fill the wanted columns.
    pub fn compile(template: &Template, wanted: &[Wanted]) -> Self {
        let (layout, places) = Layout::of(template);
        let fields: Vec<(FieldSpec, Place)> = template.fields.iter().copied().zip(places).collect();
        Self { layout, operations: Operations::of(wanted, &fields), columns: wanted.len() }
    }

    /// How many of the wanted columns found a source in the template.
    pub fn matched(&self) -> usize {
        self.operations.matched()
    }

    /// Decodes the records of a data set and appends them to the columns, which must be those that
    /// the plan was compiled for: a column of another kind gets defaults.
    ///
    /// For templates with fields of variable length [`Self::decode_many`] is faster.
    pub fn decode(&self, set_body: &[u8], context: &MessageContext<'_>, columns: &mut [Column]) -> Decoded {
        let set = DataSet { body: 0..set_body.len(), context: *context };
        let mut scratch = Scratch::default();
        let decoded = self.decode_many(set_body, &[set], columns, &mut scratch);
        decoded.first().copied().unwrap_or_default()
    }

    /// Decodes several data sets of one buffer, in their order, and appends their records to the
    /// columns. Says for each set what was found in it. A set that does not lie within the buffer is
    /// cut to it.
    pub fn decode_many<'s>(
        &self,
        buffer: &[u8],
        sets: &[DataSet<'_>],
        columns: &mut [Column],
        scratch: &'s mut Scratch,
    ) -> &'s [Decoded] {
        scratch.clear();
        let mut all = Vec::with_capacity(sets.len());
        let mut filled = 0;
        for (index, set) in sets.iter().enumerate() {
            all.push(self.find(buffer, set, scratch));
            if scratch.is_full() || index + 1 == sets.len() {
                self.fill(buffer, sets.get(filled..=index).unwrap_or_default(), columns, scratch);
                filled = index + 1;
            }
        }
        scratch.decoded = all;
        &scratch.decoded
    }

    /// Finds the records of a data set, to be filled into columns together with those of the sets
    /// before and after it: see [`Self::fill`]. For who must know how many there are, but would
    /// rather decode many sets at once; [`Scratch::is_full`] says when that brings nothing more.
    pub fn find(&self, buffer: &[u8], set: &DataSet<'_>, scratch: &mut Scratch) -> Decoded {
        let decoded = match self.layout.stride() {
            Some(_) => self.layout.count_records(body_in(buffer, set)),
            None => self.layout.find_records(buffer, &set.body, &mut scratch.positions),
        };
        scratch.decoded.push(decoded);
        decoded
    }

    /// Appends the records of the sets that were found since the last call, in the same order and
    /// the same buffer.
    pub fn fill(&self, buffer: &[u8], sets: &[DataSet<'_>], columns: &mut [Column], scratch: &mut Scratch) {
        if let Some(stride) = self.layout.stride() {
            // Sets are decoded one by one: reading a set's bytes is what costs most, and they are
            // read once if its columns are filled before the next set's.
            for (set, decoded) in sets.iter().zip(&scratch.decoded) {
                let records = FixedRecords::new(body_in(buffer, set), stride, decoded.records as usize);
                self.append_fields(columns, &records, |column, operation| {
                    fill::append(column, operation, &records, &set.context);
                });
            }
        } else {
            let records = VariableRecords::new(buffer, &scratch.positions, self.layout.segments());
            self.fill_batch(&records, sets, &scratch.decoded, columns);
        }
        self.append_without_fields(columns, sets, &scratch.decoded);
        scratch.clear();
    }

    /// The number of records in a data set, without decoding them.
    pub fn count_records(&self, set_body: &[u8]) -> u32 {
        self.layout.count_records(set_body).records
    }

    fn fill_batch(
        &self,
        records: &VariableRecords<'_>,
        sets: &[DataSet<'_>],
        decoded: &[Decoded],
        columns: &mut [Column],
    ) {
        let Some(first) = sets.first() else { return };
        self.append_fields(columns, records, |column, operation| {
            if !operation.needs_context() {
                fill::append(column, operation, records, &first.context);
                return;
            }
            let mut rest = *records;
            for (set, decoded) in sets.iter().zip(decoded) {
                let (of_set, others) = rest.split_at(decoded.records as usize);
                fill::append(column, operation, &of_set, &set.context);
                rest = others;
            }
        });
    }

    /// Appends to every column that a field fills; `append_other` does so for those that are in no run.
    fn append_fields(
        &self,
        columns: &mut [Column],
        records: &impl Records,
        append_other: impl Fn(&mut Column, Operation),
    ) {
        for run in &self.operations.runs {
            fill::append_run(run, columns, records);
        }
        for &(column, operation) in &self.operations.others {
            if let Some(column) = columns.get_mut(column) {
                append_other(column, operation);
            }
        }
    }

    /// Appends to every other column, for all sets at once.
    fn append_without_fields(&self, columns: &mut [Column], sets: &[DataSet<'_>], decoded: &[Decoded]) {
        let records = || decoded.iter().map(|decoded| decoded.records as usize);
        let all = records().sum();
        for &(column, constant) in &self.operations.without_field {
            let Some(column) = columns.get_mut(column) else { continue };
            let Some(constant) = constant else {
                column.push_defaults(all);
                continue;
            };
            // Messages that arrived together have the same constants, but for their domain's.
            let (mut value, mut rows) = (0, 0);
            for (set, records) in sets.iter().zip(records()) {
                let of_set = set.context.constants.get(constant).copied().unwrap_or(0);
                if of_set != value {
                    column.push_constant(value, rows);
                    (value, rows) = (of_set, 0);
                }
                rows += records;
            }
            column.push_constant(value, rows);
        }
        for unknown in columns.iter_mut().skip(self.columns) {
            unknown.push_defaults(all);
        }
    }
}

fn body_in<'b>(buffer: &'b [u8], set: &DataSet<'_>) -> &'b [u8] {
    let end = set.body.end.min(buffer.len());
    buffer.get(set.body.start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
