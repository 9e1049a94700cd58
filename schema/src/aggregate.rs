//! What an aggregate is: tables of one stream whose rows stand for many records of an interval of time. From this
//! one declaration come what the receiver gathers, the blocks that it sends, the DDL with its rollups and the
//! reference page; a column list must never be written a second time anywhere.
//!
//! All tables of a family hold the same measures. The first is the wide one, with every key; the narrow ones beside
//! it have some of its keys and answer their questions from far fewer rows. All are AggregatingMergeTree with
//! SimpleAggregateFunction columns: rows of the same key become one when parts are merged, and rollups turn rows of
//! shorter intervals into rows of longer ones, both without a rounding or a loss.

use crate::stream::{ColumnType, Stream};
use crate::table::{Table, TableColumn, TableOptions, age_rule, aggregate_settings, retention_rules};

/// Name of the column that says where a row's interval begins.
pub const TIME: &str = "time";
/// Name of the column with the DPI's number.
pub const DPI: &str = "dpi_id";

const ZSTD: &str = "ZSTD(1)";
const PACKED: &str = "T64, ZSTD(1)";
/// Lengths of rollups that the sorting key knows, in minutes, longest first. The key of a table cannot change, so
/// it has all of them from the beginning.
const LEVELS: [u32; 4] = [60, 30, 15, 5];

/// All aggregates of one stream.
#[derive(Clone, Debug)]
pub struct Family {
    /// The stream whose records are gathered.
    pub stream: &'static Stream,
    /// The stream's column that says when it happened.
    pub time: &'static str,
    /// What rows are told apart by besides time and DPI, in the sorting order of the wide table.
    pub keys: Vec<KeyDecl>,
    /// What is counted, the same in each table.
    pub measures: Vec<MeasureDecl>,
    /// The wide table, then the narrow ones.
    pub tables: Vec<AggregateTable>,
}

/// One key.
#[derive(Clone, Debug)]
pub struct KeyDecl {
    /// Name of the column.
    pub name: &'static str,
    /// Its type.
    pub column_type: ColumnType,
    /// What its value is made of.
    pub of: KeyOf,
    /// The name by which the configuration switches it on; empty: it is always on.
    pub switch: &'static str,
    /// What it means.
    pub comment: &'static str,
}

/// What a key's value is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOf {
    /// A column of the stream as it is.
    Column(&'static str),
    /// Of two columns that of the subscriber's end: the second where the record goes to the subscriber.
    Subscriber(&'static str, &'static str),
    /// The same of two columns of IPv6 addresses, without what lies behind the 64th bit: a subscriber's devices change
    /// that every day and more often.
    SubscriberNetwork(&'static str, &'static str),
    /// A column of IPv6 addresses, without what lies behind the 64th bit.
    Network(&'static str),
    /// Of two columns that of the other end.
    Host(&'static str, &'static str),
    /// A host's name in lower case, shortened to the registered domain or not, as configured.
    Name(&'static str),
    /// The class selector of a TOS octet: its upper three bits.
    ClassSelector(&'static str),
}

/// One measure.
#[derive(Clone, Debug)]
pub struct MeasureDecl {
    /// Name of the column.
    pub name: &'static str,
    /// What it gathers.
    pub of: MeasureOf,
    /// Of which records.
    pub way: Way,
    /// Unit; empty where there is none.
    pub unit: &'static str,
    /// What it means.
    pub comment: &'static str,
}

/// Which records a measure gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All.
    Both,
    /// Those from the subscriber: all but the others, in which the source counts as the subscriber.
    From,
    /// Those to the subscriber.
    To,
}

impl Way {
    /// Whether a record is among them.
    pub fn takes(self, is_to: bool) -> bool {
        match self {
            Way::Both => true,
            Way::From => !is_to,
            Way::To => is_to,
        }
    }
}

/// What a measure gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasureOf {
    /// How many records.
    Count,
    /// How many records in which a column is not 0.
    CountNonZero(&'static str),
    /// The sum of a column.
    Sum(&'static str),
    /// Of the round-trip time, where it was measured: how often.
    RttCount,
    /// Its sum.
    RttSum,
    /// The shortest; NULL where none was measured.
    RttMin,
    /// The longest; NULL where none was measured.
    RttMax,
    /// How often it lay in each bucket, see [`bucket`].
    RttHistogram,
}

impl MeasureOf {
    /// The type of its values, as they are sent.
    pub fn column_type(self) -> ColumnType {
        match self {
            Self::Count | Self::CountNonZero(_) | Self::Sum(_) | Self::RttCount | Self::RttSum => {
                ColumnType::UInt64
            }
            Self::RttMin | Self::RttMax => ColumnType::NullableUInt64,
            Self::RttHistogram => ColumnType::Histogram,
        }
    }

    /// The function that makes one value of two.
    pub fn function(self) -> &'static str {
        match self {
            Self::RttMin => "min",
            Self::RttMax => "max",
            Self::RttHistogram => "sumMap",
            _ => "sum",
        }
    }
}

/// One table of a family.
#[derive(Clone, Debug)]
pub struct AggregateTable {
    /// Its name.
    pub name: &'static str,
    /// One line on what a row is.
    pub comment: &'static str,
    /// Names of its keys besides time and DPI, in sorting order.
    pub keys: Vec<&'static str>,
    /// Its interval in minutes; `None`: as configured for the family.
    pub minutes: Option<u32>,
}

/// What may differ between installations for the tables of a family.
#[derive(Clone, Debug)]
pub struct AggregateOptions {
    /// Retention and volumes; of the times of rows.
    pub table: TableOptions,
    /// The table's interval in minutes.
    pub minutes: u32,
    /// Longer intervals for older rows: minutes, and from which age in seconds.
    pub rollups: Vec<(u32, u64)>,
}

impl AggregateOptions {
    /// A quarter of an hour, half an hour after a week, an hour after thirty days; for ever.
    pub fn new(database: &str, table: &AggregateTable) -> Self {
        Self {
            table: TableOptions::new(database, table.name),
            minutes: table.minutes.unwrap_or(DEFAULT_MINUTES),
            rollups: DEFAULT_ROLLUPS.to_vec(),
        }
    }
}

/// The interval of a family unless told otherwise.
pub const DEFAULT_MINUTES: u32 = 15;
/// Its rollups unless told otherwise: minutes, and from which age in seconds.
pub const DEFAULT_ROLLUPS: [(u32, u64); 2] = [(30, 7 * 86_400), (60, 30 * 86_400)];

impl Family {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&KeyDecl> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Name and type of the columns of a table as blocks have them: time, DPI, keys, measures.
    pub fn block_columns(&self, table: &AggregateTable) -> Vec<(&'static str, ColumnType)> {
        let mut columns = vec![(TIME, ColumnType::DateTime), (DPI, ColumnType::UInt16)];
        let keys = table.keys.iter().filter_map(|name| self.key(name));
        columns.extend(keys.map(|key| (key.name, key.column_type)));
        columns.extend(self.measures.iter().map(|measure| (measure.name, measure.of.column_type())));
        columns
    }

    /// The statement whose body is a block of [`Family::block_columns`].
    pub fn insert_sql(&self, database: &str, table: &AggregateTable) -> String {
        let names: Vec<String> =
            self.block_columns(table).iter().map(|(name, _)| crate::sql::identifier(name)).collect();
        format!(
            "INSERT INTO {} ({}) FORMAT Native",
            crate::sql::qualified(database, table.name),
            names.join(", ")
        )
    }

    /// A table of this family as it should be.
    pub fn table(&self, table: &AggregateTable, options: &AggregateOptions) -> Table {
        let mut columns = vec![
            column(TIME, "DateTime('UTC')", "Delta(4), ZSTD(1)", "beginning of the interval [UTC]"),
            column(DPI, "UInt16", ZSTD, "the DPI, by its number in the configuration"),
        ];
        for key in table.keys.iter().filter_map(|name| self.key(name)) {
            columns.push(column(key.name, key.column_type.sql(), ZSTD, key.comment));
        }
        for measure in &self.measures {
            let of = measure.of;
            let sql_type = format!("SimpleAggregateFunction({}, {})", of.function(), of.column_type().sql());
            let codec = if of.column_type() == ColumnType::UInt64 { PACKED } else { ZSTD };
            let comment = match measure.unit {
                "" => measure.comment.to_owned(),
                unit => format!("{} [{unit}]", measure.comment),
            };
            columns.push(column(measure.name, &sql_type, codec, &comment));
        }
        let mut settings = aggregate_settings();
        if let Some(policy) = &options.table.storage_policy {
            settings.push(("storage_policy".to_owned(), policy.clone()));
        }
        Table {
            database: options.table.database.clone(),
            name: options.table.table.clone(),
            engine: "AggregatingMergeTree",
            columns,
            indices: Vec::new(),
            partition_by: format!("toMonday({TIME})"),
            order_by: order_by(table),
            ttl: self.ttl(table, options),
            settings,
            comment: crate::owner::owned_comment(table.comment),
            is_shared: true,
        }
    }

    /// Rollups, then when rows move and go. The whole text is generated: a measure that a rollup does not name would
    /// silently become that of any one of its rows.
    fn ttl(&self, table: &AggregateTable, options: &AggregateOptions) -> String {
        let mut rules = Vec::new();
        let order = order_by(table);
        for &(minutes, after) in options.rollups.iter().filter(|(minutes, _)| *minutes > options.minutes) {
            let Some(level) = LEVELS.iter().position(|level| *level == minutes) else { continue };
            // The hour, the DPI and the keys, then the levels down to this one.
            let keys: Vec<&str> =
                order.iter().take(2 + table.keys.len() + level).map(String::as_str).collect();
            let mut set: Vec<String> = self
                .measures
                .iter()
                .map(|measure| format!("{0} = {1}({0})", measure.name, measure.of.function()))
                .collect();
            set.push(format!("{TIME} = {}", start_of_any(minutes)));
            rules.push(format!(
                "{} GROUP BY {} SET {}",
                age_rule(TIME, after),
                keys.join(", "),
                set.join(", ")
            ));
        }
        rules.extend(retention_rules(TIME, &options.table));
        rules.join(", ")
    }

    /// The narrowest table that has these keys and intervals of at most `minutes`, where the wide one has those of
    /// `wide_minutes`: the one to ask for a measure. `None`: only the raw rows can answer.
    pub fn narrowest(&self, keys: &[&str], minutes: u32, wide_minutes: u32) -> Option<&AggregateTable> {
        let fits = |table: &&AggregateTable| {
            let length = table.minutes_with(wide_minutes);
            length <= minutes
                && minutes.is_multiple_of(length)
                && keys.iter().all(|key| *key == DPI || table.keys.contains(key))
        };
        // Fewer keys make fewer rows, and so do longer intervals.
        self.tables
            .iter()
            .filter(fits)
            .min_by_key(|table| (table.keys.len(), std::cmp::Reverse(table.minutes_with(wide_minutes))))
    }
}

impl AggregateTable {
    /// Its interval in minutes, where the wide table has `wide_minutes`. A narrow table is made of the wide one's
    /// rows, so its intervals are no shorter; totals are made of the records themselves.
    pub fn minutes_with(&self, wide_minutes: u32) -> u32 {
        match self.minutes {
            None => wide_minutes,
            Some(minutes) if self.keys.is_empty() => minutes,
            Some(minutes) => minutes.max(wide_minutes),
        }
    }
}

fn order_by(table: &AggregateTable) -> Vec<String> {
    // Time first, so that a day is found without reading the others; within an hour whatever is asked together.
    let mut order = vec![start_of(60)];
    order.push(DPI.to_owned());
    order.extend(table.keys.iter().map(|name| (*name).to_owned()));
    order.extend(LEVELS.iter().skip(1).map(|minutes| start_of(*minutes)));
    order.push(TIME.to_owned());
    order
}

fn start_of(minutes: u32) -> String {
    rounded(TIME, minutes)
}

fn start_of_any(minutes: u32) -> String {
    rounded(&format!("any({TIME})"), minutes)
}

fn rounded(time: &str, minutes: u32) -> String {
    match minutes {
        60 => format!("toStartOfHour({time})"),
        _ => format!("toStartOfInterval({time}, toIntervalMinute({minutes}))"),
    }
}

fn column(name: &str, sql_type: &str, codec: &str, comment: &str) -> TableColumn {
    TableColumn {
        name: name.to_owned(),
        sql_type: sql_type.to_owned(),
        alias: None,
        codec: codec.to_owned(),
        comment: comment.to_owned(),
    }
}

/// Lengths that a rollup may have, in minutes.
pub fn rollup_minutes() -> [u32; 4] {
    LEVELS
}

/// The bucket of a round-trip time in microseconds: eight for each doubling, so that a bucket's borders are 9 %
/// apart. 0 is no time and has none. A time from 2^32 on lies in the last.
pub fn bucket(microseconds: u64) -> u8 {
    if microseconds == 0 {
        return 0;
    }
    let capped = microseconds.min(u64::from(u32::MAX));
    let doublings = capped.ilog2();
    // The three bits behind the first.
    let eighth = ((capped << 3) >> doublings) & 7;
    (doublings * 8) as u8 | eighth as u8
}

/// Where a bucket begins, in microseconds.
pub fn bucket_start(bucket: u8) -> f64 {
    let (doublings, eighth) = (bucket / 8, bucket % 8);
    (1.0 + f64::from(eighth) / 8.0) * 2f64.powi(i32::from(doublings))
}

#[cfg(test)]
mod tests;
