//! Which row has which key, in 8 bytes a row: the keys themselves stay in the text and are read from there when
//! two hashes are equal, so the answer is exact. The hash has a seed of its own: a file made for collisions
//! must not make it slow.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;

#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    row: u32,
}

/// Rows by their keys.
#[derive(Default)]
pub(super) struct Keys {
    table: HashTable<Entry>,
    seed: RandomState,
}

impl Keys {
    /// The row that has the key already, or else from now on `row`. `has_key` reads a row's key.
    pub(super) fn insert(
        &mut self,
        key: &[u8],
        row: u32,
        mut has_key: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let hash = self.hash(key);
        let same = |entry: &Entry| entry.hash == hash && has_key(entry.row);
        match self.table.entry(spread(hash), same, |entry| spread(entry.hash)) {
            TableEntry::Occupied(entry) => Some(entry.get().row),
            TableEntry::Vacant(entry) => {
                entry.insert(Entry { hash, row });
                None
            }
        }
    }

    /// The row that has the key.
    pub(super) fn find(&self, key: &[u8], mut has_key: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = self.hash(key);
        let found = self.table.find(spread(hash), |entry| entry.hash == hash && has_key(entry.row));
        found.map(|entry| entry.row)
    }

    #[allow(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn hash(&self, key: &[u8]) -> u32 {
        self.seed.hash_one(key) as u32
    }
}

/// The table wants entropy in the lowest and in the highest bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
