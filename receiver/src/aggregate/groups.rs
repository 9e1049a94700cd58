//! Groups of records with equal keys, and what is counted of each. Keys and values lie in two arrays with a fixed
//! stride, so that a group costs no allocation of its own.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

/// Groups, numbered from 0 in the order in which they came.
pub(super) struct Groups {
    key_bytes: usize,
    slots: usize,
    keys: Vec<u8>,
    values: Vec<u64>,
    count: u32,
    table: HashTable<u32>,
    state: RandomState,
}

impl Groups {
    /// No groups yet; each key has `key_bytes`, each group so many values, from 0.
    pub(super) fn new(key_bytes: usize, slots: usize) -> Groups {
        Groups {
            key_bytes,
            slots,
            keys: Vec::new(),
            values: Vec::new(),
            count: 0,
            table: HashTable::new(),
            state: RandomState::default(),
        }
    }

    /// The group of a key, which is made if there is none.
    #[inline]
    pub(super) fn find(&mut self, key: &[u8]) -> u32 {
        let Groups { key_bytes, slots, keys, values, count, table, state } = self;
        let hash = hash(state, key);
        let width = *key_bytes;
        let of = |group: &u32| {
            let start = *group as usize * width;
            keys.get(start..start + width).unwrap_or_default()
        };
        if let Some(group) = table.find(hash, |group| of(group) == key) {
            return *group;
        }
        let group = *count;
        table.insert_unique(hash, group, |group| self::hash(state, of(group)));
        keys.extend_from_slice(key);
        values.resize(values.len() + *slots, 0);
        *count += 1;
        group
    }

    /// A group's key.
    pub(super) fn key(&self, group: u32) -> &[u8] {
        let start = group as usize * self.key_bytes;
        self.keys.get(start..start + self.key_bytes).unwrap_or_default()
    }

    /// What is counted of a group.
    pub(super) fn values(&self, group: u32) -> &[u64] {
        let start = group as usize * self.slots;
        self.values.get(start..start + self.slots).unwrap_or_default()
    }

    /// The same, to count.
    #[inline]
    pub(super) fn values_mut(&mut self, group: u32) -> &mut [u64] {
        let start = group as usize * self.slots;
        self.values.get_mut(start..start + self.slots).unwrap_or_default()
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.count
    }

    /// Bytes that they take.
    pub(super) fn memory(&self) -> usize {
        self.keys.capacity() + self.values.capacity() * 8 + self.table.capacity() * 5
    }

    /// Forgets all and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.count = 0;
        self.table.clear();
    }
}

#[inline]
fn hash(state: &RandomState, key: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(key);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_has_one_group(keys in prop::collection::vec(prop::array::uniform3(0u8..6), 0..500)) {
            let mut groups = Groups::new(3, 2);
            for _ in 0..2 {
                let mut model: HashMap<[u8; 3], u64> = HashMap::new();
                for key in &keys {
                    let group = groups.find(key);
                    groups.values_mut(group)[1] += 1;
                    *model.entry(*key).or_default() += 1;
                }
                prop_assert_eq!(groups.len() as usize, model.len());
                for group in 0..groups.len() {
                    let key: [u8; 3] = groups.key(group).try_into().unwrap();
                    prop_assert_eq!(groups.values(group), [0, model[&key]]);
                }
                groups.clear();
            }
        }
    }
}
