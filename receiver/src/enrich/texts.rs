//! Texts, one after the other in one allocation, and a table that finds them again. They come from
//! dictionaries; what comes from the network is looked up and never put in.
//!
//! Memory: a text and 1 byte (from 255 bytes on: 5); in a table 12 to 14 bytes more (while it grows up to 18).

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use super::slots::{slots_for, spread, too_many};

/// The length byte of a text whose length stands in 4 more bytes.
const LONG: u8 = u8::MAX;

/// Texts by where they begin, which is never 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
}

impl Texts {
    /// Appends a text; `None`: it does not fit into 4 GiB.
    pub(super) fn push(&mut self, text: &[u8]) -> Option<u32> {
        if self.bytes.is_empty() {
            self.bytes.push(0);
        }
        let at = u32::try_from(self.bytes.len()).ok()?;
        let length = u32::try_from(text.len()).ok()?;
        at.checked_add(length)?.checked_add(5)?;
        match u8::try_from(length) {
            Ok(short) if short != LONG => self.bytes.push(short),
            _ => {
                self.bytes.push(LONG);
                self.bytes.extend_from_slice(&length.to_le_bytes());
            }
        }
        self.bytes.extend_from_slice(text);
        Some(at)
    }

    /// The text that begins here.
    #[inline]
    pub(super) fn get(&self, at: u32) -> Option<&[u8]> {
        let (&length, rest) = self.bytes.get(at as usize..)?.split_first()?;
        if length != LONG {
            return rest.get(..usize::from(length));
        }
        let (length, rest) = rest.split_first_chunk::<4>()?;
        rest.get(..u32::from_le_bytes(*length) as usize)
    }

    /// Reads a text's first byte, see `Slots::touch`.
    #[inline]
    pub(super) fn touch(&self, at: u32) -> u32 {
        self.bytes.get(at as usize).copied().unwrap_or(0).into()
    }

    /// Gives back room that was made for more texts than came.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Bytes that the texts take.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

/// What a slot says of its text: where it is (0: the slot is empty), 16 bits of its hash, its number.
#[derive(Clone, Copy)]
struct Slot {
    at: u32,
    tag: u16,
    number: u16,
}

impl Slot {
    #[inline]
    fn unpack([at, rest]: [u32; 2]) -> Slot {
        Slot { at, tag: (rest >> 16) as u16, number: rest as u16 }
    }

    fn pack(self) -> [u32; 2] {
        [self.at, u32::from(self.tag) << 16 | u32::from(self.number)]
    }
}

/// Different texts with a number each.
#[derive(Clone, Debug, Default)]
pub(super) struct TextTable {
    slots: Vec<[u32; 2]>,
    count: usize,
    texts: Texts,
    state: RandomState,
}

impl TextTable {
    /// A table with room for so many texts.
    pub(super) fn with_room(texts: usize) -> TextTable {
        let slots = if texts == 0 { 0 } else { slots_for(texts) };
        TextTable { slots: vec![[0; 2]; slots], ..TextTable::default() }
    }

    /// How many texts there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Bytes that table and texts take.
    pub(super) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<[u32; 2]>() + self.texts.memory()
    }

    /// The number of a text.
    #[inline]
    pub(super) fn get(&self, text: &[u8]) -> Option<u16> {
        let hash = self.hash(text);
        let (_, slot) = self.find(text, hash)?;
        (slot.at != 0).then_some(slot.number)
    }

    /// Puts in a text, or gives one that is there a new number. The answer is where it is in the texts; `None`:
    /// it does not fit.
    pub(super) fn insert(&mut self, text: &[u8], number: u16) -> Option<u32> {
        if (self.count + 1) * 3 > self.slots.len() * 2 {
            self.resize(self.slots.len() + self.slots.len() / 2 + 16);
        }
        let hash = self.hash(text);
        let (place, found) = self.find(text, hash)?;
        let at = match found.at {
            0 => self.texts.push(text)?,
            at => at,
        };
        self.count += usize::from(found.at == 0);
        *self.slots.get_mut(place)? = Slot { at, tag: hash as u16, number }.pack();
        Some(at)
    }

    /// Gives back room that was made for more texts than came.
    pub(super) fn shrink(&mut self) {
        if too_many(self.slots.len(), self.count) {
            self.resize(slots_for(self.count));
        }
        self.texts.shrink();
    }

    /// The texts alone, which can no longer be found by what they say.
    pub(super) fn into_texts(mut self) -> Texts {
        self.texts.shrink();
        self.texts
    }

    /// The slot of a text: the one that has it, or the empty one where it belongs.
    #[inline]
    fn find(&self, text: &[u8], hash: u64) -> Option<(usize, Slot)> {
        let mut place = spread(hash, self.slots.len());
        loop {
            // There is always an empty slot, see `insert`.
            let slot = Slot::unpack(*self.slots.get(place)?);
            if slot.at == 0 || (slot.tag == hash as u16 && self.texts.get(slot.at) == Some(text)) {
                return Some((place, slot));
            }
            place = if place + 1 == self.slots.len() { 0 } else { place + 1 };
        }
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![[0; 2]; slots]);
        for packed in old {
            if packed == [0; 2] {
                continue;
            }
            let Some(text) = self.texts.get(Slot::unpack(packed).at) else { continue };
            // No text is there twice: the first empty slot is its own.
            let mut place = spread(self.hash(text), slots);
            while self.slots.get(place).is_some_and(|slot| *slot != [0; 2]) {
                place = if place + 1 == slots { 0 } else { place + 1 };
            }
            if let Some(slot) = self.slots.get_mut(place) {
                *slot = packed;
            }
        }
    }

    #[inline]
    fn hash(&self, text: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(text);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_found_with_their_newest_number(
            entries in prop::collection::vec(("[ab]{0,6}", any::<u16>()), 0..300),
            asked in prop::collection::vec("[abc]{0,6}", 0..50),
            room in 0usize..400,
        ) {
            let mut table = TextTable::with_room(room);
            let mut model = HashMap::new();
            for (text, number) in &entries {
                prop_assert!(table.insert(text.as_bytes(), *number).is_some());
                model.insert(text.clone(), *number);
            }
            table.shrink();
            prop_assert_eq!(table.len(), model.len());
            for text in entries.iter().map(|entry| &entry.0).chain(&asked) {
                prop_assert_eq!(table.get(text.as_bytes()), model.get(text).copied());
            }
        }
    }

    #[test]
    fn texts_of_every_length_come_back() {
        let mut texts = Texts::default();
        let lengths = [0, 1, 254, 255, 256, 70_000];
        let places: Vec<u32> = lengths.iter().map(|&length| texts.push(&vec![7; length]).unwrap()).collect();
        for (place, length) in places.into_iter().zip(lengths) {
            assert_ne!(place, 0);
            assert_eq!(texts.get(place).unwrap(), vec![7; length]);
        }
        assert_eq!(texts.get(u32::MAX), None);
    }

    #[test]
    fn the_same_text_is_kept_once() {
        let mut table = TextTable::default();
        let first = table.insert(b"user", 1).unwrap();
        assert_ne!(table.insert(b"user2", 1).unwrap(), first);
        assert_eq!(table.insert(b"user", 2).unwrap(), first);
        assert_eq!(table.into_texts().get(first), Some(&b"user"[..]));
    }
}
