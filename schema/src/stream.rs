//! What a stream is: one table's columns, and for each column the elements that fill it. From this one
//! declaration come the decode plan's wishes, the encoder, the DDL and the reference page; a column list
//! must never be written a second time anywhere.

use ipfix::{Column, ColumnKind, Convert, Element, Source, Wanted};

use crate::table::{DataIndex, MERGE_TREE, Table, TableColumn, TableOptions, insert_settings, ttl_rules};

/// The types that a stream's columns have in ClickHouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Unsigned, 1 byte.
    UInt8,
    /// Unsigned, 2 bytes.
    UInt16,
    /// Unsigned, 4 bytes.
    UInt32,
    /// Unsigned, 8 bytes.
    UInt64,
    /// Four bytes, handled as a number in host order.
    IPv4,
    /// Sixteen bytes in network order.
    IPv6,
    /// Bytes of any length.
    Text,
    /// Bytes of any length, few distinct values: sent and stored as a dictionary.
    LowCardinalityText,
    /// A day, UTC. Only for computed columns.
    Date,
    /// Seconds, UTC. Only for computed columns.
    DateTime,
    /// Milliseconds since 1970, UTC.
    DateTimeMillis,
    /// Microseconds since 1970, UTC.
    DateTimeMicros,
    /// A name out of a few, 1 byte; the whole type as ClickHouse writes it.
    Enum8(&'static str),
    /// Unsigned, 8 bytes, or nothing: a 0 is sent as nothing.
    NullableUInt64,
    /// How often a value lay in each bucket. A value is a list of bucket (1 byte) and count (8 bytes, little-endian).
    Histogram,
}

impl ColumnType {
    /// The type as ClickHouse itself writes it.
    pub fn sql(self) -> &'static str {
        match self {
            Self::UInt8 => "UInt8",
            Self::UInt16 => "UInt16",
            Self::UInt32 => "UInt32",
            Self::UInt64 => "UInt64",
            Self::IPv4 => "IPv4",
            Self::IPv6 => "IPv6",
            Self::Text => "String",
            Self::LowCardinalityText => "LowCardinality(String)",
            Self::Date => "Date",
            Self::DateTime => "DateTime('UTC')",
            Self::DateTimeMillis => "DateTime64(3, 'UTC')",
            Self::DateTimeMicros => "DateTime64(6, 'UTC')",
            Self::Enum8(names) => names,
            Self::NullableUInt64 => "Nullable(UInt64)",
            Self::Histogram => "Map(UInt8, UInt64)",
        }
    }

    /// The buffer that holds decoded values of this type.
    pub fn kind(self) -> ColumnKind {
        match self {
            Self::UInt8 | Self::Enum8(_) => ColumnKind::U8,
            Self::UInt16 | Self::Date => ColumnKind::U16,
            Self::UInt32 | Self::IPv4 | Self::DateTime => ColumnKind::U32,
            Self::UInt64 | Self::DateTimeMillis | Self::DateTimeMicros | Self::NullableUInt64 => {
                ColumnKind::U64
            }
            Self::IPv6 => ColumnKind::Bytes16,
            Self::Text | Self::LowCardinalityText | Self::Histogram => ColumnKind::Bytes,
        }
    }

    /// The widths of a field that may fill this type plainly. Integers take every width of RFC 7011
    /// section 6.2; a wider field than the column keeps its low-order bytes, because losing the column for
    /// an exporter that sends a port in 4 bytes would be worse. The same element may be an address of
    /// either family: only the width tells.
    fn widths(self) -> (u16, u16) {
        match self {
            Self::IPv4 => (4, 4),
            Self::IPv6 => (16, 16),
            Self::Text | Self::LowCardinalityText | Self::Histogram => (0, u16::MAX),
            _ => (1, 8),
        }
    }
}

/// An element that can fill a column, and how its value becomes the column's.
#[derive(Clone, Copy, Debug)]
pub struct FilledBy {
    /// The element on the wire.
    pub element: Element,
    /// Conversion of the value.
    pub convert: Convert,
}

impl FilledBy {
    pub(crate) fn source(&self, column_type: ColumnType) -> Source {
        let (min_len, max_len) = match self.convert {
            Convert::Plain => column_type.widths(),
            Convert::SecondsToMillis | Convert::UptimeToMillis => (4, 8),
            Convert::MicrosNtpToMillis | Convert::NanosNtpToMillis => (8, 8),
        };
        Source { element: self.element, min_len, max_len, convert: self.convert }
    }
}

/// Where a column's values come from.
#[derive(Clone, Debug)]
pub enum Filled {
    /// The same value for a whole message: an index into `MessageContext::constants`.
    Constant(usize),
    /// The first of these elements that the template has; without any, the type's default.
    Elements(Vec<FilledBy>),
    /// Made from the record's other columns, the settings and the dictionaries while it is stored.
    Enriched(Enriched),
    /// Not stored: an ALIAS that the server computes from other columns.
    Computed(&'static str),
    /// No element is known yet. The column exists, so that queries may name it; it is not sent.
    Unpublished,
}

/// What is made of a record while it is stored. A value is kept that decides keys of aggregates or must not
/// change when a dictionary does; everything else is looked up by queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enriched {
    /// Whether the record goes from the subscriber or to it.
    Direction,
    /// What the subscriber's end is, by the dictionaries of our own and of excluded AS numbers and networks.
    SubscriberFlags,
    /// Where the login comes from.
    LoginFrom,
    /// Category of the host.
    HostCategory,
    /// Newest version of the dictionaries that were in force.
    DictionaryVersion,
    /// Microseconds in a unit of the exported round-trip time.
    RttUnit,
    /// What a flow tells of its translation: that there is one.
    NatEvent,
}

/// Index of the constant `dpi_id` in `MessageContext::constants`.
pub const DPI_ID: usize = 0;
/// Index of the constant `received_at` (microseconds since 1970, UTC) in `MessageContext::constants`.
pub const RECEIVED_AT: usize = 1;
/// Index of the constant `journal_id` (first 4 bytes of the journal's identity) in
/// `MessageContext::constants`.
pub const JOURNAL_ID: usize = 2;

/// One column of a stream.
#[derive(Clone, Debug)]
pub struct ColumnDecl {
    /// Name in ClickHouse.
    pub name: &'static str,
    /// Type in ClickHouse.
    pub column_type: ColumnType,
    /// Where values come from.
    pub filled: Filled,
    /// The codec's arguments, as the server writes them; empty for the server's default.
    pub codec: &'static str,
    /// Unit of the values; empty where there is none.
    pub unit: &'static str,
    /// What the column means, one line.
    pub comment: &'static str,
}

impl ColumnDecl {
    /// Whether this column is sent: it is not computed by the server, and something is known to fill it.
    pub fn is_inserted(&self) -> bool {
        matches!(self.filled, Filled::Constant(_) | Filled::Elements(_) | Filled::Enriched(_))
    }

    fn wanted(&self) -> Option<Wanted> {
        let kind = self.column_type.kind();
        match &self.filled {
            Filled::Constant(index) => Some(Wanted { kind, sources: Vec::new(), constant: Some(*index) }),
            Filled::Elements(elements) => {
                let sources = elements.iter().map(|from| from.source(self.column_type)).collect();
                Some(Wanted { kind, sources, constant: None })
            }
            // The decoder makes room for it.
            Filled::Enriched(_) => Some(Wanted { kind, sources: Vec::new(), constant: None }),
            Filled::Computed(_) | Filled::Unpublished => None,
        }
    }

    fn table_column(&self) -> TableColumn {
        let comment = match self.unit {
            "" => self.comment.to_owned(),
            unit => format!("{} [{unit}]", self.comment),
        };
        TableColumn {
            name: self.name.to_owned(),
            sql_type: self.column_type.sql().to_owned(),
            alias: match self.filled {
                Filled::Computed(expression) => Some(expression.to_owned()),
                _ => None,
            },
            codec: self.codec.to_owned(),
            comment,
        }
    }
}

/// A stream: what one listener receives and one table stores.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Name of the stream and of its table.
    pub name: &'static str,
    /// One line on what a row is.
    pub comment: &'static str,
    /// All columns, in the table's order.
    pub columns: Vec<ColumnDecl>,
    /// Columns that make a record one of this stream: a template with none of them is not stored.
    pub identifying: &'static [&'static str],
    /// Partition expression, as the server writes it.
    pub partition_by: &'static str,
    /// Sorting key.
    pub order_by: &'static [&'static str],
    /// Second-precision expression from which rows expire and move, as the server writes it.
    pub ttl_from: &'static str,
    /// Data skipping indices.
    pub indices: Vec<DataIndex>,
    /// Columns that are not decoded, for a reader that does not need them: see [`Stream::only`].
    pub skipped: Vec<&'static str>,
}

impl Stream {
    /// The columns that are decoded and sent, in order.
    pub fn inserted_columns(&self) -> impl Iterator<Item = &ColumnDecl> {
        self.columns.iter().filter(|column| column.is_inserted() && !self.skipped.contains(&column.name))
    }

    /// The same stream for a reader that needs only some of its columns. Whose a template is, and how many records it
    /// has, stay the same.
    #[must_use]
    pub fn only(&self, is_needed: impl Fn(&ColumnDecl) -> bool) -> Stream {
        let skipped = self.columns.iter().filter(|column| !is_needed(column)).map(|column| column.name);
        Stream { skipped: skipped.collect(), ..self.clone() }
    }

    /// What the decode plan is compiled against: one wish for each inserted column, in order.
    pub fn wanted(&self) -> Vec<Wanted> {
        self.inserted_columns().filter_map(ColumnDecl::wanted).collect()
    }

    /// Empty buffers for the inserted columns, in order.
    pub fn new_columns(&self) -> Vec<Column> {
        self.inserted_columns().map(|column| Column::new(column.column_type.kind())).collect()
    }

    /// The inserted columns' names for an INSERT statement, `a, b, c`.
    pub fn column_list(&self) -> String {
        let names: Vec<String> =
            self.inserted_columns().map(|column| crate::sql::identifier(column.name)).collect();
        names.join(", ")
    }

    /// The statement whose body is made by [`crate::native::Encoder`].
    pub fn insert_sql(&self, database: &str, table: &str) -> String {
        format!(
            "INSERT INTO {} ({}) FORMAT Native",
            crate::sql::qualified(database, table),
            self.column_list()
        )
    }

    /// The table that stores this stream.
    pub fn table(&self, options: &TableOptions) -> Table {
        let mut settings = insert_settings();
        if let Some(policy) = &options.storage_policy {
            settings.push(("storage_policy".to_owned(), policy.clone()));
        }
        Table {
            database: options.database.clone(),
            name: options.table.clone(),
            engine: MERGE_TREE,
            columns: self.columns.iter().map(ColumnDecl::table_column).collect(),
            indices: self.indices.clone(),
            partition_by: self.partition_by.to_owned(),
            order_by: self.order_by.iter().map(|name| (*name).to_owned()).collect(),
            ttl: ttl_rules(self.ttl_from, options),
            settings,
            comment: crate::owner::owned_comment(self.comment),
            is_shared: true,
        }
    }

    /// The DDL of the table that stores this stream.
    pub fn create_table_sql(&self, options: &TableOptions) -> String {
        self.table(options).create_sql()
    }
}
