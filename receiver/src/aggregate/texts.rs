//! Texts of the records of one flush, each kept once. They come from the network: their number and length are bounded
//! by whoever flushes, and the hash is seeded anew for each process.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

/// Different texts, numbered from 0, which is the empty one.
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// Where each begins and ends.
    spans: Vec<(u32, u32)>,
    table: HashTable<u32>,
    state: RandomState,
}

impl Texts {
    pub(super) fn new() -> Texts {
        let mut texts = Texts {
            bytes: Vec::new(),
            spans: Vec::new(),
            table: HashTable::new(),
            state: RandomState::default(),
        };
        texts.number(b"");
        texts
    }

    /// The number of a text, which is kept if it is new. A text beyond 4 GiB of them is taken for the empty one: who
    /// flushes in time never sees that.
    #[inline]
    pub(super) fn number(&mut self, text: &[u8]) -> u32 {
        let hash = hash(&self.state, text);
        let Texts { bytes, spans, table, state } = self;
        let of = |number: &u32| {
            let (start, end) = spans.get(*number as usize).copied().unwrap_or_default();
            bytes.get(start as usize..end as usize).unwrap_or_default()
        };
        if let Some(number) = table.find(hash, |number| of(number) == text) {
            return *number;
        }
        let number = spans.len() as u32;
        let (Ok(start), Ok(end)) = (u32::try_from(bytes.len()), u32::try_from(bytes.len() + text.len()))
        else {
            return 0;
        };
        table.insert_unique(hash, number, |number| self::hash(state, of(number)));
        spans.push((start, end));
        bytes.extend_from_slice(text);
        number
    }

    /// The text of a number.
    pub(super) fn get(&self, number: u32) -> &[u8] {
        let (start, end) = self.spans.get(number as usize).copied().unwrap_or_default();
        self.bytes.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Bytes that they take.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * 8 + self.table.capacity() * 5
    }

    /// Forgets all but the empty one and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.table.clear();
        self.number(b"");
    }
}

#[inline]
fn hash(state: &RandomState, text: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(text);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equal_texts_have_equal_numbers(all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..400)) {
            let mut texts = Texts::new();
            for _ in 0..2 {
                let mut model: HashMap<&[u8], u32> = [(&b""[..], 0)].into();
                for text in &all {
                    let next = model.len() as u32;
                    let number = *model.entry(text).or_insert(next);
                    prop_assert_eq!(texts.number(text), number);
                    prop_assert_eq!(texts.get(number), &text[..]);
                }
                texts.clear();
            }
        }
    }
}
