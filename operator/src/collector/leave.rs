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
        return Leave::Waits(format!("it gets no new rows; {under_way}"));
    }
    let held = match storage {
        Some(storage) => {
            let tables = storage.tables.iter().filter(|(name, _)| schema::is_local_name(name));
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
        None => "its rows (it does not answer, so nobody knows how many)".to_owned(),
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
    use super::super::storage::Table;
    use super::*;

    #[test]
    fn a_server_with_rows_goes_when_a_person_says_so() {
        let mut storage = Storage::default();
        assert_eq!(leave("s", None, Some(&storage), &[]), Leave::Now, "it is empty");
        let table = Table { rows: 1_234, bytes: [("hot".to_owned(), 2_048)].into(), seconds: 0 };
        storage.tables.insert("subscribers_rows".to_owned(), table.clone());
        assert_eq!(leave("s", None, Some(&storage), &[]), Leave::Now, "every server has the dictionaries");
        storage.tables.insert("fullflow_local".to_owned(), table);
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
    }
}
