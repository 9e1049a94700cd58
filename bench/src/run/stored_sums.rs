//! The sums of a table, asked of ClickHouse, against those of what was sent.

use anyhow::{Context, bail, ensure};
use schema::{ColumnType, Filled};

use crate::database::Database;
use crate::sums::{Sums, name};

/// Compares every column of fullflow that a field fills.
///
/// # Errors
/// One differs, or the database does not answer.
pub fn check_fullflow(database: &Database, sent: &Sums) -> anyhow::Result<()> {
    let mut expected = Vec::new();
    let mut asked = Vec::new();
    for column in schema::fullflow().inserted_columns() {
        let Filled::Elements(elements) = &column.filled else { continue };
        let names = elements.iter().map(|by| name(by.element));
        let Some(field) = names.into_iter().find(|name| sent.fields.contains_key(name)) else { continue };
        expected.push((column.name, sent.of(&field)));
        asked.push(expression(column.name, column.column_type));
    }
    let answers = database.numbers(&format!("SELECT count(), {} FROM fullflow", asked.join(", ")))?;
    let (count, answers) = answers.split_first().context("no answer")?;
    if *count != sent.records {
        bail!("fullflow has {count} rows instead of {}", sent.records);
    }
    for ((column, expected), answer) in expected.iter().zip(answers) {
        if expected != answer {
            bail!("fullflow.{column} sums up to {answer} instead of {expected}");
        }
    }
    Ok(())
}

/// The sum over a column as [`Sums`] has it.
fn expression(column: &str, column_type: ColumnType) -> String {
    let bytes = |value: &str| format!("sum(arraySum(reinterpret({value}, 'Array(UInt8)')))");
    match column_type {
        ColumnType::IPv4 => format!("sum(toUInt32({column}))"),
        ColumnType::IPv6 => bytes(&format!("IPv6StringToNum(toString({column}))")),
        ColumnType::Text | ColumnType::LowCardinalityText => {
            format!("sum(length({column})) * 4294967296 + {}", bytes(&format!("toString({column})")))
        }
        ColumnType::DateTimeMillis => format!("sum(toUInt64(toUnixTimestamp64Milli({column})))"),
        _ => format!("sum(toUInt64({column}))"),
    }
}

/// What each table of the aggregates has to have: a measure and the fields that it is the sum of.
const MEASURES: [(&str, &str); 7] = [
    ("octets_from + octets_to", "1"),
    ("packets_from + packets_to", "2"),
    ("dropped_octets", "132"),
    ("dropped_packets", "133"),
    ("fragments", "43823.2010"),
    ("retransmits_from + retransmits_to", "43823.2011"),
    ("flows_from + flows_to", ""),
];

/// Compares the tables of the aggregates.
///
/// # Errors
/// One differs, or the database does not answer.
pub fn check_aggregates(database: &Database, sent: &Sums) -> anyhow::Result<()> {
    let sums: Vec<String> = MEASURES.iter().map(|(measure, _)| format!("sum({measure})")).collect();
    for table in aggregates() {
        let answers = database.numbers(&format!("SELECT {} FROM {table}", sums.join(", ")))?;
        for ((measure, field), answer) in MEASURES.iter().zip(answers) {
            let expected = if field.is_empty() { sent.records } else { sent.of(field) };
            if expected != answer {
                bail!("{table}: {measure} sums up to {answer} instead of {expected}");
            }
        }
    }
    Ok(())
}

/// Most records have a login: their own, or that of their subscriber's address.
///
/// # Errors
/// They do not, so subscribers were not looked up; or the database does not answer.
pub fn check_logins(database: &Database, records: u64) -> anyhow::Result<()> {
    let with = database.number("SELECT countIf(login != '') FROM fullflow")?;
    ensure!(with * 5 >= records * 4, "only {with} of {records} rows have a login");
    Ok(())
}

/// Tables of the aggregates of fullflow.
pub fn aggregates() -> impl Iterator<Item = &'static str> {
    schema::aggregates::fullflow().tables.iter().map(|table| table.name)
}
