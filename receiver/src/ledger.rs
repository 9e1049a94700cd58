//! The ledger: the three balances of a stream as cumulative figures, and once a minute what was added
//! to them as a row of `qoestor.ledger`, inserted exactly once like everything else.

use std::io;

use schema::LedgerRow;

use crate::decode::SequenceFigures;
use crate::insert::{Committed, Failure, Pipeline, now_us};
use crate::intent_log::{LedgerMark, PendingLedgerRow, Totals, Wire};
use crate::journal::frame::crc32c;
use crate::journal::lock;

/// All figures of a stream since its journal began: the wire as of now, everything else up to the
/// low-water mark, so that the row can be made again after a crash. Without a wire, only the destination's.
pub fn cumulative(committed: &Committed, wire: Option<&Wire>) -> LedgerRow {
    let Some(wire) = wire else { return destination(committed) };
    let state = &committed.after.state;
    let counters = &state.counters;
    let SequenceFigures { records, packets } = state.sequence_figures();
    LedgerRow {
        messages_arrived: wire.arrived,
        messages_journaled: wire.journaled,
        messages_refused: wire.refused.values().sum(),
        refused: wire.refused.clone(),
        records_announced: records.announced,
        records_options: counters.options,
        records_missing: signed(records.missing),
        records_undecodable: counters.undecodable_total(),
        undecodable: counters.undecodable_records.clone(),
        duplicates: records.duplicates + packets.duplicates,
        restarts: records.restarts + packets.restarts,
        ..destination(committed)
    }
}

/// The destination's balance alone: messages are accounted for once, by the stream's own reader.
fn destination(committed: &Committed) -> LedgerRow {
    balance(committed.after.arrival_us, committed.after.state.counters.decoded, &committed.totals)
}

/// The balance of any reader of a journal, up to a frame that arrived then.
pub fn balance(arrival_us: u64, decoded: u64, totals: &Totals) -> LedgerRow {
    LedgerRow {
        arrival_to: signed(arrival_us),
        records_decoded: decoded,
        records_stored: totals.stored,
        records_set_aside: totals.set_aside,
        records_filtered: totals.filtered,
        // None at the low-water mark, so that the row's balance meets as it stands.
        records_waiting: signed(decoded) - signed(totals.settled()),
        ..LedgerRow::default()
    }
}

/// What was added from `before` to `now`.
fn difference(now: &LedgerRow, before: &LedgerRow) -> LedgerRow {
    let by_reason = |now: &std::collections::BTreeMap<String, u64>,
                     before: &std::collections::BTreeMap<String, u64>| {
        now.iter()
            .map(|(reason, count)| {
                (reason.clone(), count - before.get(reason).copied().unwrap_or(0).min(*count))
            })
            .filter(|(_, added)| *added > 0)
            .collect()
    };
    LedgerRow {
        time: 0,
        arrival_from: before.arrival_to,
        arrival_to: now.arrival_to,
        dpi_id: 0,
        stream: String::new(),
        journal_id: 0,
        messages_arrived: now.messages_arrived.saturating_sub(before.messages_arrived),
        messages_journaled: now.messages_journaled.saturating_sub(before.messages_journaled),
        messages_refused: now.messages_refused.saturating_sub(before.messages_refused),
        refused: by_reason(&now.refused, &before.refused),
        records_announced: now.records_announced.saturating_sub(before.records_announced),
        records_decoded: now.records_decoded.saturating_sub(before.records_decoded),
        records_options: now.records_options.saturating_sub(before.records_options),
        records_missing: now.records_missing - before.records_missing,
        records_undecodable: now.records_undecodable.saturating_sub(before.records_undecodable),
        undecodable: by_reason(&now.undecodable, &before.undecodable),
        duplicates: now.duplicates.saturating_sub(before.duplicates),
        restarts: now.restarts.saturating_sub(before.restarts),
        records_stored: now.records_stored.saturating_sub(before.records_stored),
        records_waiting: now.records_waiting - before.records_waiting,
        records_set_aside: now.records_set_aside.saturating_sub(before.records_set_aside),
        records_filtered: now.records_filtered.saturating_sub(before.records_filtered),
        records_skipped: now.records_skipped.saturating_sub(before.records_skipped),
        collector: String::new(),
        version: String::new(),
    }
}

/// What a row is about.
pub struct Of<'a> {
    /// Name of the collector.
    pub collector: &'a str,
    /// The DPI's number.
    pub dpi: u16,
    /// Name of the listener.
    pub stream: &'a str,
    /// The journal's identity.
    pub journal: uuid::Uuid,
}

/// Writes the row whose answer was lost, if there is one, and then the next: at a planned stop nobody comes again
/// to write what the lost one did not tell.
pub async fn write_row(pipeline: &Pipeline, wire: Option<&Wire>, of: &Of<'_>) -> Result<(), Failure> {
    let pending = lock(pipeline.book()).pending_ledger_row().cloned();
    if let Some(pending) = pending {
        send_row(pipeline, of, &pending).await?;
    }
    match note_row(pipeline, wire, of)? {
        Some(noted) => send_row(pipeline, of, &noted).await,
        None => Ok(()),
    }
}

async fn send_row(pipeline: &Pipeline, of: &Of<'_>, pending: &PendingLedgerRow) -> Result<(), Failure> {
    // The number alone would repeat after a lost intent log, and another row would be taken for this one.
    let content = content(&pending.row)?;
    let token = format!("{}/{}/{}/{:08x}", of.journal, schema::LEDGER, pending.mark.row, crc32c(&content));
    // The token is remembered by the server that has seen it: always the same one.
    pipeline.shards().target(0)?.insert_ledger_row(&pending.row, &token).await?;
    lock(pipeline.book()).ledger_row_stored();
    Ok(())
}

/// The row's text. That of a row which version 0.1 noted is as that version wrote it: the row may be stored
/// already, and another token would store it twice.
fn content(row: &LedgerRow) -> io::Result<Vec<u8>> {
    let mut content = serde_json::to_vec(row)?;
    if let Some(older) = content.strip_suffix(br#","collector":"","version":""}"#) {
        content.truncate(older.len());
        content.push(b'}');
    }
    Ok(content)
}

fn note_row(pipeline: &Pipeline, wire: Option<&Wire>, of: &Of<'_>) -> io::Result<Option<PendingLedgerRow>> {
    let mut book = lock(pipeline.book());
    let cumulative = cumulative(book.committed(), wire);
    if is_behind(&cumulative, &book.ledger_mark().cumulative) {
        return Ok(None);
    }
    let row = row(of, &cumulative, &book.ledger_mark().cumulative);
    let pending = PendingLedgerRow { mark: LedgerMark { row: book.ledger_mark().row + 1, cumulative }, row };
    book.ledger_row(pending.clone())?;
    Ok(Some(pending))
}

/// The row about what was added from `before` to `now`.
pub fn row(of: &Of<'_>, now: &LedgerRow, before: &LedgerRow) -> LedgerRow {
    LedgerRow {
        time: u32::try_from(now_us() / 1_000_000).unwrap_or(u32::MAX),
        dpi_id: of.dpi,
        stream: of.stream.to_string(),
        journal_id: of.journal.as_fields().0,
        collector: of.collector.to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        ..difference(now, before)
    }
}

/// After a kill we begin at the last checkpoint, and rows of the ledger may have told of more. Until we
/// are there again, there is no row: what it added would be counted twice.
fn is_behind(now: &LedgerRow, before: &LedgerRow) -> bool {
    now.arrival_to < before.arrival_to || now.records_stored < before.records_stored
}

/// Goes on counting refusals where the last row of the ledger left off: they are in no journal, so a
/// kill takes those since the last checkpoint, but not what a row has told.
pub fn continue_refusals(wire: &mut Wire, newest: &LedgerRow) {
    for (reason, count) in &newest.refused {
        let refused = wire.refused.entry(reason.clone()).or_default();
        *refused = (*refused).max(*count);
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_what_was_added() {
        let before = LedgerRow {
            arrival_to: 5,
            messages_arrived: 10,
            records_missing: 7,
            refused: [("bad_version".to_string(), 1)].into(),
            ..LedgerRow::default()
        };
        let now = LedgerRow {
            arrival_to: 9,
            messages_arrived: 14,
            records_missing: 4,
            refused: [("bad_version".to_string(), 1), ("cut_off".to_string(), 2)].into(),
            ..LedgerRow::default()
        };
        let row = difference(&now, &before);
        assert_eq!((row.arrival_from, row.arrival_to), (5, 9));
        assert_eq!(row.messages_arrived, 4);
        assert_eq!(row.records_missing, -3);
        assert_eq!(row.refused, [("cut_off".to_string(), 2)].into());
    }

    #[test]
    fn a_row_of_version_0_1_keeps_its_token() {
        let noted = r#"{"time":60,"arrival_from":1,"arrival_to":2,"dpi_id":3,"stream":"s","journal_id":4,"messages_arrived":5,"messages_journaled":6,"messages_refused":7,"refused":{"version":7},"records_announced":8,"records_decoded":9,"records_options":10,"records_missing":-11,"records_undecodable":12,"undecodable":{},"duplicates":13,"restarts":14,"records_stored":15,"records_waiting":16,"records_set_aside":17,"records_filtered":18,"records_skipped":19}"#;
        let row: LedgerRow = serde_json::from_str(noted).unwrap();
        assert_eq!(String::from_utf8(content(&row).unwrap()).unwrap(), noted);
        let row = LedgerRow { version: "0.2.0".to_string(), ..row };
        assert!(content(&row).unwrap().ends_with(br#","collector":"","version":"0.2.0"}"#));
    }
}
