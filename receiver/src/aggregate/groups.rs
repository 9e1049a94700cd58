//! Groups of records with equal keys, and what is counted of each. Key and values of a group lie side by side in one
//! array with a fixed stride, so that a group costs no allocation of its own and few reads from memory.

use std::hint::black_box;

use super::table::Table;

/// Rows of a round, see [`Table`]: what they touch has to stay in the cache until the next round.
const ROUND: usize = 256;
const WORDS_OF_A_LINE: usize = 8;

/// How many of a group's values are added up; the others, behind them, keep the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) sums: usize,
    pub(super) maxima: usize,
}

impl Slots {
    /// All of them.
    pub(super) fn all(self) -> usize {
        self.sums + self.maxima
    }

    /// Adds values to a group's.
    #[inline]
    pub(super) fn add(self, into: &mut [u64], values: &[u64]) {
        let (Some((sums, maxima)), Some((added, larger))) =
            (into.split_at_mut_checked(self.sums), values.split_at_checked(self.sums))
        else {
            return;
        };
        sums.iter_mut().zip(added).for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
        maxima.iter_mut().zip(larger).for_each(|(maximum, value)| *maximum = (*maximum).max(*value));
    }
}

/// Groups, numbered from 0 in the order in which they came.
pub(super) struct Groups {
    /// Words of a key.
    key_words: usize,
    slots: Slots,
    /// Of each group the words of its key, then its values.
    words: Vec<u64>,
    count: u32,
    table: Table,
    hashes: Vec<u32>,
}

impl Groups {
    /// No groups yet; each key has so many words of 8 bytes.
    pub(super) fn new(key_words: usize, slots: Slots) -> Groups {
        Groups { key_words, slots, words: Vec::new(), count: 0, table: Table::new(), hashes: Vec::new() }
    }

    /// The groups of many keys, one behind the other.
    pub(super) fn find_all(&mut self, keys: &[u64], found: &mut Vec<u32>) {
        found.clear();
        for keys in keys.chunks(ROUND * self.key_words) {
            self.hashes.clear();
            self.hashes.extend(keys.chunks_exact(self.key_words).map(|key| self.table.hash_words(key)));
            let mut read = 0;
            for hash in &self.hashes {
                read ^= self.table.first(*hash).unwrap_or(0);
            }
            black_box(read);
            let (stride, mut read) = (self.stride(), 0);
            for group in self.hashes.iter().filter_map(|hash| self.table.first(*hash)) {
                let start = group as usize * stride;
                for word in (start..start + stride).step_by(WORDS_OF_A_LINE) {
                    read ^= self.words.get(word).copied().unwrap_or(0);
                }
            }
            black_box(read);
            for (row, key) in keys.chunks_exact(self.key_words).enumerate() {
                let hash = self.hashes.get(row).copied().unwrap_or(0);
                found.push(self.find_hashed(hash, key));
            }
        }
    }

    /// The group of a key, which is made if there is none.
    pub(super) fn find(&mut self, key: &[u64]) -> u32 {
        self.find_hashed(self.table.hash_words(key), key)
    }

    #[inline]
    fn find_hashed(&mut self, hash: u32, key: &[u64]) -> u32 {
        let is_it = |group| {
            let different =
                self.key_words(group).iter().zip(key).fold(0, |all, (own, word)| all | (own ^ word));
            different == 0
        };
        if let Some(group) = self.table.find(hash, is_it) {
            return group;
        }
        let group = self.count;
        self.table.insert(hash, group);
        self.words.extend_from_slice(key);
        self.words.resize(self.words.len() + self.slots.all(), 0);
        self.count += 1;
        group
    }

    /// Words of a group.
    fn stride(&self) -> usize {
        self.key_words + self.slots.all()
    }

    #[inline]
    fn key_words(&self, group: u32) -> &[u64] {
        let start = group as usize * self.stride();
        self.words.get(start..start + self.key_words).unwrap_or_default()
    }

    /// The bytes of a group's key.
    pub(super) fn key(&self, group: u32) -> &[u8] {
        bytemuck::cast_slice(self.key_words(group))
    }

    /// What is counted of a group.
    pub(super) fn values(&self, group: u32) -> &[u64] {
        let end = (group as usize + 1) * self.stride();
        self.words.get(end - self.slots.all()..end).unwrap_or_default()
    }

    /// Adds a record's values, or another group's.
    #[inline]
    pub(super) fn add(&mut self, group: u32, values: &[u64]) {
        let end = (group as usize + 1) * self.stride();
        if let Some(into) = self.words.get_mut(end - self.slots.all()..end) {
            self.slots.add(into, values);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.count
    }

    /// Bytes that they take.
    pub(super) fn memory(&self) -> usize {
        self.words.capacity() * 8 + self.table.memory()
    }

    /// Forgets all and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.count = 0;
        self.table.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_has_one_group(keys in prop::collection::vec(prop::array::uniform2(0u64..40), 0..3000)) {
            let mut groups = Groups::new(2, Slots { sums: 1, maxima: 1 });
            let mut found = Vec::new();
            for _ in 0..2 {
                let mut model: HashMap<[u64; 2], (u64, u64)> = HashMap::new();
                groups.find_all(keys.as_flattened(), &mut found);
                prop_assert_eq!(found.len(), keys.len());
                for (row, (key, group)) in keys.iter().zip(&found).enumerate() {
                    groups.add(*group, &[1, row as u64]);
                    let (count, last) = model.entry(*key).or_default();
                    *count += 1;
                    *last = row as u64;
                    prop_assert_eq!(groups.find(key), *group);
                }
                prop_assert_eq!(groups.len() as usize, model.len());
                for group in 0..groups.len() {
                    let (count, last) = model[groups.key_words(group)];
                    prop_assert_eq!(groups.values(group), [count, last]);
                }
                groups.clear();
            }
        }
    }
}
