//! The reference pages and the DDL dump, made from the declarations. They are committed and compared by a
//! test: `QOE_UPDATE=1 cargo test -p schema` writes them anew.

use std::fmt::Write as _;

use ipfix::Convert;

use crate::desired::Desired;
use crate::dictionary::{Dictionary, Layout};
use crate::stream::{ColumnDecl, DPI_ID, Filled, FilledBy, JOURNAL_ID, RECEIVED_AT, Stream};
use crate::table::{Table, TableOptions};

/// The reference page of a stream.
pub fn stream_markdown(stream: &Stream) -> String {
    let mut page = heading(stream.name, stream.comment);
    let _ = write!(
        page,
        "Sorted by ({}), partitioned by {}. Records are stored if their template fills at least one of {} and is \
         not clearly another stream's.\n\n\
         | column | type | filled from | unit | meaning |\n|---|---|---|---|---|\n",
        stream.order_by.join(", "),
        stream.partition_by,
        stream.identifying.join(", "),
    );
    for column in &stream.columns {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            column.name,
            column.column_type.sql(),
            filled_from(column),
            column.unit,
            column.comment,
        );
    }
    page.push_str(
        "\nElements: a plain number is IANA's, `pen/id` an enterprise's; the first one that the template has is \
         used. Numbers may come in any width of 1 to 8 octets; an IPv4 address has 4, an IPv6 address 16.\n",
    );
    page
}

/// The reference page of all dictionaries.
pub fn dictionaries_markdown() -> String {
    let mut page = String::from(
        "# Dictionaries\n\nThe fields of a line, in order, are the columns of `<name>_rows` and the attributes of \
         `<name>_dic`. How they are used: [dictionaries](../dictionaries.md).\n",
    );
    for dictionary in crate::dictionaries::all() {
        let Dictionary { name, comment, fields, .. } = dictionary;
        let key: Vec<&str> = dictionary.key_fields().iter().map(|field| field.name).collect();
        let _ = write!(
            page,
            "\n## {name}\n\n{}. Unique by {}. Asked by `{}`.\n\n| field | type | meaning |\n|---|---|---|\n",
            capitalised(comment),
            key.join(", "),
            question(dictionary),
        );
        for field in *fields {
            let _ = writeln!(page, "| {} | {} | {} |", field.name, field.field_type.name(), field.comment);
        }
    }
    page
}

/// How SQL asks a dictionary.
fn question(dictionary: &Dictionary) -> String {
    let answer = dictionary.fields.get(dictionary.key).map_or("", |field| field.name);
    let keys: Vec<&str> = dictionary.key_fields().iter().map(|field| field.name).collect();
    let key = match dictionary.layout {
        Layout::Hashed => keys.join(", "),
        Layout::ComplexKeyHashed => format!("tuple({})", keys.join(", ")),
        Layout::IpTrie => "address".to_owned(),
    };
    format!("dictGet('qoestor.{}', '{answer}', {key})", dictionary.dictionary_name())
}

/// The reference page of any other table.
pub fn table_markdown(table: &Table) -> String {
    let comment = table.comment.split_once(": ").map_or("", |(_, text)| text);
    let mut page = heading(&table.name, comment);
    page.push_str("| column | type | meaning |\n|---|---|---|\n");
    for column in &table.columns {
        let _ = writeln!(page, "| {} | {} | {} |", column.name, column.sql_type, column.comment);
    }
    page
}

/// The reference page of all aggregates.
pub fn aggregates_markdown() -> String {
    let mut page = String::from(
        "# Aggregates\n\nEach table has `time` (beginning of the interval, UTC), `dpi_id`, its keys, and the family's \
         measures. They are AggregatingMergeTree: the same key may stand in several rows until parts are merged, so \
         queries always use the function that stands beside a measure. How they are made: \
         [aggregates](../aggregates.md).\n",
    );
    for family in crate::aggregates::all() {
        let _ = write!(
            page,
            "\n## {}\n\n| table | a row is for | keys besides time and DPI |\n|---|---|---|\n",
            family.stream.name
        );
        for table in &family.tables {
            let length = match table.minutes {
                None => "the configured interval".to_owned(),
                Some(60) => "an hour".to_owned(),
                Some(1) => "a minute".to_owned(),
                Some(minutes) => format!("{minutes} minutes, or the configured interval if that is longer"),
            };
            let keys = if table.keys.is_empty() { "none".to_owned() } else { table.keys.join(", ") };
            let _ = writeln!(page, "| {} | {length} | {keys} |", table.name);
        }
        page.push_str("\n| key | type | switched by | meaning |\n|---|---|---|---|\n");
        for key in &family.keys {
            let switch = if key.switch.is_empty() { "always on" } else { key.switch };
            let _ =
                writeln!(page, "| {} | {} | {switch} | {} |", key.name, key.column_type.sql(), key.comment);
        }
        page.push_str("\n| measure | function | type | unit | meaning |\n|---|---|---|---|---|\n");
        for measure in &family.measures {
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} |",
                measure.name,
                measure.of.function(),
                measure.of.column_type().sql(),
                measure.unit,
                measure.comment
            );
        }
    }
    page
}

/// The DDL of every table, with the defaults of one machine: raw rows for a day, the ledger for a year.
pub fn schema_sql() -> String {
    let database = "qoestor";
    let mut desired = Desired::new(database);
    for stream in crate::streams::all() {
        let raw = TableOptions { keep_for: Some(24 * 3600), ..TableOptions::new(database, stream.name) };
        desired = desired.with_table(stream.table(&raw));
    }
    let mut text = format!("{};\n", crate::plan::create_database_sql(&desired));
    for table in &desired.tables {
        let _ = write!(text, "\n{};\n", table.create_sql());
    }
    text
}

fn heading(name: &str, comment: &str) -> String {
    format!("# {name}\n\n{}.\n\n", capitalised(comment))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

fn filled_from(column: &ColumnDecl) -> String {
    match &column.filled {
        Filled::Constant(DPI_ID) => "configuration of the listener".to_owned(),
        Filled::Constant(RECEIVED_AT) => "clock of the receiver".to_owned(),
        Filled::Constant(JOURNAL_ID) => "journal".to_owned(),
        Filled::Constant(_) => "receiver".to_owned(),
        Filled::Enriched(_) => "enrichment".to_owned(),
        Filled::Computed(expression) => format!("`{expression}`, not stored"),
        Filled::Unpublished => "nothing yet".to_owned(),
        Filled::Elements(elements) => elements.iter().map(element_text).collect::<Vec<_>>().join(", "),
    }
}

fn element_text(from: &FilledBy) -> String {
    let conversion = match from.convert {
        Convert::Plain => "",
        Convert::SecondsToMillis => " (seconds)",
        Convert::MicrosNtpToMillis => " (NTP microseconds)",
        Convert::NanosNtpToMillis => " (NTP nanoseconds)",
        Convert::UptimeToMillis => " (uptime)",
    };
    format!("{}{conversion}", from.element)
}
