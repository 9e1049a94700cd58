//! Whether a server may go that the object does not ask for any more: empty, or given up by a person. Pure.

use schema::hash_of;

use super::fits::bytes;
use super::status::short;
use super::storage::Storage;

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// It goes now: nothing is under way to it, and it is empty or given up.
    Now,
    /// It waits, for this.
    Waits(String),
    /// It holds rows: a person has to say that they may leave the queries.
    Approval {
        /// What has to be approved.
        hash: String,
        /// What becomes of the rows.
        effect: String,
    },
}

/// `server` names this life of the server; `under_way` says what is still being sent to it, `storage` what it holds.
pub fn leave(
    server: &str,
    under_way: Option<String>,
    storage: Option<&Storage>,
    approvals: &[String],
) -> Leave {
    if let Some(under_way) = under_way {
        // Given up with it, inserts would be lost, or doubled when it comes back.
        let help = if storage.is_none() { "; what is bound to it waits until it answers" } else { "" };
        return Leave::Waits(format!("it gets no new rows; {under_way}{help}"));
    }
    let held = match storage.and_then(|storage| storage.tables.as_ref()) {
        Some(tables) => {
            let tables = tables.iter().filter(|(name, _)| schema::is_local_name(name));
            let (mut rows, mut size) = (0_u64, 0_u64);
            for (_, table) in tables {
                rows = rows.saturating_add(table.rows);
                size = size.saturating_add(table.total());
            }
            if rows == 0 {
                return Leave::Now;
            }
            format!("its {} rows ({})", short(rows), bytes(size as f64))
        }
        None => "its rows (it does not say how many)".to_owned(),
    };
    let hash = hash_of(format!("{server} leaves its cluster").as_bytes());
    if approvals.contains(&hash) {
        return Leave::Now;
    }
    let effect = format!(
        "it gets no new rows; {held} leave the queries when it goes, or expire before; its volumes are kept"
    );
    Leave::Approval { hash, effect }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::storage::Table;
    use super::*;

    #[test]
    fn a_server_with_rows_goes_when_a_person_says_so() {
        let with =
            |tables: &BTreeMap<String, Table>| Storage { tables: Some(tables.clone()), ..Storage::default() };
        let mut tables = BTreeMap::new();
        assert_eq!(leave("s", None, Some(&with(&tables)), &[]), Leave::Now, "it is empty");
        let untold = leave("s", None, Some(&Storage::default()), &[]);
        assert!(matches!(untold, Leave::Approval { .. }), "what is not known is not nothing");
        let table = Table { rows: 1_234, bytes: [("hot".to_owned(), 2_048)].into(), seconds: 0 };
        tables.insert("subscribers_rows".to_owned(), table.clone());
        assert_eq!(
            leave("s", None, Some(&with(&tables)), &[]),
            Leave::Now,
            "every server has the dictionaries"
        );
        tables.insert("fullflow_local".to_owned(), table);
        let storage = with(&tables);
        let Leave::Approval { hash, effect } = leave("s", None, Some(&storage), &[]) else {
            panic!("it may not go")
        };
        assert!(effect.contains("1.2k rows (2.0Ki)"), "{effect}");
        let approved = [hash];
        assert_eq!(leave("s", None, Some(&storage), &approved), Leave::Now);
        assert_eq!(leave("s", None, None, &approved), Leave::Now, "nobody knows what it held");
        assert!(matches!(leave("another life", None, Some(&storage), &approved), Leave::Approval { .. }));
        let waits = leave("s", Some("2 inserts".to_owned()), Some(&storage), &approved);
        assert_eq!(waits, Leave::Waits("it gets no new rows; 2 inserts".to_owned()));
        let dead = leave("s", Some("2 inserts".to_owned()), None, &approved);
        assert!(matches!(dead, Leave::Waits(words) if words.contains("until it answers")));
    }
}
