//! Texts of the records of one flush, each kept once. They come from the network: their number and length are bounded
//! by whoever flushes.

use std::hint::black_box;

use ipfix::BytesColumn;

use super::table::Table;

/// Rows of a round, see [`Table`].
const ROUND: usize = 256;

/// Different texts, numbered from 0, which is the empty one.
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// Where each begins and ends.
    spans: Vec<(u32, u32)>,
    table: Table,
    hashes: Vec<u32>,
}

impl Texts {
    pub(super) fn new() -> Texts {
        let mut texts =
            Texts { bytes: Vec::new(), spans: Vec::new(), table: Table::new(), hashes: Vec::new() };
        texts.number(b"");
        texts
    }

    /// The numbers of a column's texts.
    pub(super) fn number_all(&mut self, column: &BytesColumn, numbers: &mut Vec<u32>) {
        numbers.clear();
        let mut texts = column.iter();
        loop {
            let round = texts.clone().take(ROUND);
            self.hashes.clear();
            self.hashes.extend(round.clone().map(|text| self.table.hash(text)));
            if self.hashes.is_empty() {
                return;
            }
            let guess = |hash: &u32| self.table.first(*hash);
            black_box(self.hashes.iter().fold(0, |read, hash| read ^ guess(hash).unwrap_or(0)));
            let spans = || self.hashes.iter().filter_map(guess).map(|number| self.span(number));
            black_box(spans().fold(0, |read, (start, _)| read ^ start));
            let bytes = spans().map(|(start, _)| self.bytes.get(start as usize).copied().unwrap_or(0));
            black_box(bytes.fold(0, |read, byte| read ^ byte));
            for (row, text) in round.enumerate() {
                let hash = self.hashes.get(row).copied().unwrap_or(0);
                numbers.push(self.number_hashed(hash, text));
            }
            let rows = self.hashes.len();
            texts.by_ref().take(rows).for_each(drop);
        }
    }

    /// The number of a text, which is kept if it is new. A text beyond 4 GiB of them is taken for the empty one: who
    /// flushes in time never sees that.
    pub(super) fn number(&mut self, text: &[u8]) -> u32 {
        self.number_hashed(self.table.hash(text), text)
    }

    #[inline]
    fn number_hashed(&mut self, hash: u32, text: &[u8]) -> u32 {
        if let Some(number) = self.table.find(hash, |number| self.get(number) == text) {
            return number;
        }
        let number = self.spans.len() as u32;
        let (start, end) = (self.bytes.len(), self.bytes.len() + text.len());
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) else { return 0 };
        self.table.insert(hash, number);
        self.spans.push((start, end));
        self.bytes.extend_from_slice(text);
        number
    }

    #[inline]
    fn span(&self, number: u32) -> (u32, u32) {
        self.spans.get(number as usize).copied().unwrap_or_default()
    }

    /// The text of a number.
    #[inline]
    pub(super) fn get(&self, number: u32) -> &[u8] {
        let (start, end) = self.span(number);
        self.bytes.get(start as usize..end as usize).unwrap_or_default()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes that they take.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * 8 + self.table.memory()
    }

    /// Forgets all but the empty one and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.table.clear();
        self.number(b"");
    }
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
            let mut column = BytesColumn::default();
            all.iter().for_each(|text| column.push(text));
            for _ in 0..2 {
                let mut model: HashMap<&[u8], u32> = [(&b""[..], 0)].into();
                let mut expected = Vec::new();
                for text in &all {
                    let next = model.len() as u32;
                    let number = *model.entry(text).or_insert(next);
                    prop_assert_eq!(texts.number(text), number);
                    prop_assert_eq!(texts.get(number), &text[..]);
                    expected.push(number);
                }
                let mut numbers = Vec::new();
                texts.number_all(&column, &mut numbers);
                prop_assert_eq!(numbers, expected);
                texts.clear();
            }
        }
    }
}
