//! A LowCardinality column as a dictionary of the block's distinct values and an index for each row. The
//! dictionary holds the values in the order of their first appearance, so the bytes do not depend on the
//! hash function, and the hash function may have a random seed: a sender who chooses its strings cannot make
//! them collide.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use ipfix::BytesColumn;

/// The only version there is: SharedDictionariesWithAdditionalKeys.
const KEYS_VERSION: u64 = 1;
/// The block brings its own keys.
const HAS_ADDITIONAL_KEYS: u64 = 1 << 9;
/// The reader shall take these keys and forget those of the block before.
const NEED_UPDATE_DICTIONARY: u64 = 1 << 10;

const SMALLEST_TABLE: usize = 1 << 8;
/// An odd number without structure: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Finds the distinct values of a column. The hash table is a vector of key numbers, open addressing, at
/// most half full, made as large as the block before needed: the cache footprint is what costs.
pub(super) struct Dictionary {
    /// Number of the key plus one; 0 is empty. The length is a power of two.
    slots: Vec<u32>,
    /// Where each key lies in the column's data.
    keys: Vec<Range<u32>>,
    /// Key number of each row.
    indices: Vec<u32>,
    seed: u64,
}

impl Dictionary {
    pub(super) fn new() -> Self {
        let seed = RandomState::new().hash_one(MULTIPLIER);
        Self { slots: Vec::new(), keys: Vec::new(), indices: Vec::new(), seed }
    }

    /// Appends prefix, keys and indices; `None` if the column's ends do not fit its data.
    pub(super) fn encode(
        &mut self,
        values: &BytesColumn,
        rows: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        self.index(values, rows)?;
        let (width_code, width) = match self.keys.len() {
            0..=0x100 => (0_u64, 1),
            0x101..=0x1_0000 => (1, 2),
            _ => (2, 4),
        };
        out.extend_from_slice(&KEYS_VERSION.to_le_bytes());
        out.extend_from_slice(&(HAS_ADDITIONAL_KEYS | NEED_UPDATE_DICTIONARY | width_code).to_le_bytes());
        out.extend_from_slice(&(self.keys.len() as u64).to_le_bytes());
        for key in &self.keys {
            super::push_bytes(out, values.data.get(key.start as usize..key.end as usize)?);
        }
        out.extend_from_slice(&(self.indices.len() as u64).to_le_bytes());
        match width {
            1 => out.extend(self.indices.iter().map(|&index| index as u8)),
            2 => out.extend(self.indices.iter().flat_map(|&index| (index as u16).to_le_bytes())),
            _ => out.extend_from_slice(bytemuck::cast_slice(&self.indices)),
        }
        Some(())
    }

    /// Fills `keys` and `indices` for these rows.
    fn index(&mut self, values: &BytesColumn, rows: Range<usize>) -> Option<()> {
        self.reset();
        let mut start = super::first_start(values, rows.start)?;
        for &end in values.ends.get(rows)? {
            let value = values.data.get(start..end as usize)?;
            let key = self.find_or_add(values, value, start as u32..end)?;
            self.indices.push(key);
            start = end as usize;
        }
        Some(())
    }

    fn reset(&mut self) {
        let needed = (self.keys.len() * 2).next_power_of_two().max(SMALLEST_TABLE);
        self.slots.clear();
        self.slots.resize(needed, 0);
        self.keys.clear();
        self.indices.clear();
    }

    fn find_or_add(&mut self, values: &BytesColumn, value: &[u8], place: Range<u32>) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut slot = hash(value, self.seed) as usize & mask;
        loop {
            let found = *self.slots.get(slot)?;
            let Some(key_number) = found.checked_sub(1) else { break };
            let key = self.keys.get(key_number as usize)?;
            if values.data.get(key.start as usize..key.end as usize)? == value {
                return Some(key_number);
            }
            slot = (slot + 1) & mask;
        }
        let key_number = self.keys.len() as u32;
        *self.slots.get_mut(slot)? = key_number + 1;
        self.keys.push(place);
        if self.keys.len() * 2 > self.slots.len() {
            self.grow(values)?;
        }
        Some(key_number)
    }

    fn grow(&mut self, values: &BytesColumn) -> Option<()> {
        let doubled = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(doubled, 0);
        let mask = doubled - 1;
        for (key_number, key) in self.keys.iter().enumerate() {
            let value = values.data.get(key.start as usize..key.end as usize)?;
            let mut slot = hash(value, self.seed) as usize & mask;
            while *self.slots.get(slot)? != 0 {
                slot = (slot + 1) & mask;
            }
            *self.slots.get_mut(slot)? = key_number as u32 + 1;
        }
        Some(())
    }
}

/// Eight bytes at a time, each step a multiplication folded onto itself.
fn hash(value: &[u8], seed: u64) -> u64 {
    let mut state = fold(seed ^ value.len() as u64);
    let (words, rest) = value.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let last = match value.last_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest.iter().fold(0, |tail, &byte| tail << 8 | u64::from(byte)),
        };
        state = fold(state ^ last);
    }
    state
}

fn fold(value: u64) -> u64 {
    let product = u128::from(value) * u128::from(MULTIPLIER);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[&[u8]]) -> BytesColumn {
        let mut column = BytesColumn::default();
        for value in values {
            column.data.extend_from_slice(value);
            column.ends.push(column.data.len() as u32);
        }
        column
    }

    #[test]
    fn keys_come_in_the_order_of_first_appearance() {
        let values = column(&[b"b", b"", b"a", b"b", b"", b"longer than eight bytes", b"a"]);
        let mut dictionary = Dictionary::new();
        dictionary.index(&values, 0..7).unwrap();
        assert_eq!(dictionary.indices, [0, 1, 2, 0, 1, 3, 2]);
        assert_eq!(dictionary.keys.len(), 4);
    }

    #[test]
    fn a_range_of_rows_has_its_own_keys() {
        let values = column(&[b"x", b"y", b"z", b"y"]);
        let mut dictionary = Dictionary::new();
        dictionary.index(&values, 1..4).unwrap();
        assert_eq!(dictionary.indices, [0, 1, 0]);
    }

    #[test]
    fn grows_and_is_reused_without_a_trace() {
        let many: Vec<String> = (0..10_000).map(|number| format!("value {number}")).collect();
        let many: Vec<&[u8]> = many.iter().map(String::as_bytes).collect();
        let mut dictionary = Dictionary::new();
        dictionary.index(&column(&many), 0..10_000).unwrap();
        let expected: Vec<u32> = (0..10_000).collect();
        assert_eq!(dictionary.indices, expected);
        let few = column(&[b"value 9999", b"value 1", b"value 9999"]);
        let mut out = Vec::new();
        dictionary.encode(&few, 0..3, &mut out).unwrap();
        let mut fresh = Vec::new();
        Dictionary::new().encode(&few, 0..3, &mut fresh).unwrap();
        assert_eq!(out, fresh);
        assert_eq!(dictionary.indices, [0, 1, 0]);
    }

    #[test]
    fn strings_of_every_length_and_tail_are_told_apart() {
        let mut all = Vec::new();
        for length in 0..40_usize {
            for last in [0_u8, 1, 255] {
                let mut value = vec![0_u8; length];
                if let Some(byte) = value.last_mut() {
                    *byte = last;
                }
                all.push(value);
            }
        }
        all.sort();
        all.dedup();
        let values: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        let mut dictionary = Dictionary::new();
        dictionary.index(&column(&values), 0..values.len()).unwrap();
        assert_eq!(dictionary.keys.len(), values.len());
    }

    #[test]
    fn ends_outside_the_data_are_refused() {
        let mut values = column(&[b"a", b"b"]);
        values.ends[1] = 9;
        assert_eq!(Dictionary::new().index(&values, 0..2), None);
        values.ends = vec![2, 1];
        assert_eq!(Dictionary::new().index(&values, 0..2), None);
    }
}
