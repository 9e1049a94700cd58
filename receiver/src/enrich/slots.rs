//! A table from numbers of a few words to a number, in one allocation of exactly known size. It is filled from
//! dictionaries and then only asked: nothing is ever removed, and what comes from the network is never put in.
//!
//! Memory: 4 bytes for each word of the key and 4 for the number, in 1.5 to 1.75 slots for each key (while it
//! grows up to 2.25). Fuller, and the search for what is not there would be long.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// Slots of `S` words: the number (0: empty), then the words of its key.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots<const S: usize> {
    slots: Vec<[u32; S]>,
    count: usize,
    state: RandomState,
}

impl<const S: usize> Slots<S> {
    /// A table with room for so many keys.
    pub(super) fn with_room(keys: usize) -> Slots<S> {
        let slots = if keys == 0 { 0 } else { slots_for(keys) };
        // Zeros come from the operating system: room that is never used costs nothing.
        Slots { slots: vec![[0; S]; slots], ..Slots::default() }
    }

    /// The number of keys.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Bytes that the table takes.
    pub(super) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<[u32; S]>()
    }

    /// The number of a key. The first word of `key` does not matter.
    #[inline]
    pub(super) fn get(&self, key: &[u32; S]) -> Option<u32> {
        let mut place = self.home(key);
        loop {
            // There is always an empty slot, see `insert`.
            let slot = self.slots.get(place)?;
            let number = number(slot);
            if number == 0 {
                return None;
            }
            if has_key(slot, key) {
                return Some(number);
            }
            place = self.after(place);
        }
    }

    /// Reads where a key's search begins and decides nothing by it, so that many such reads wait for memory at the
    /// same time. The answer means nothing.
    #[inline]
    pub(super) fn touch(&self, key: &[u32; S]) -> u32 {
        self.slots.get(self.home(key)).map_or(0, number)
    }

    /// Puts in a key, its number as the first word. A number of 0 cannot be put in; a key that is there gets
    /// the new number.
    pub(super) fn insert(&mut self, entry: [u32; S]) {
        if number(&entry) == 0 {
            return;
        }
        if (self.count + 1) * 3 > self.slots.len() * 2 {
            self.resize(self.slots.len() + self.slots.len() / 2 + 16);
        }
        self.place(entry);
    }

    /// Gives back room that was made for more keys than came.
    pub(super) fn shrink(&mut self) {
        if too_many(self.slots.len(), self.count) {
            self.resize(slots_for(self.count));
        }
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![[0; S]; slots]);
        self.count = 0;
        for entry in old {
            if number(&entry) != 0 {
                self.place(entry);
            }
        }
    }

    fn place(&mut self, entry: [u32; S]) {
        let mut place = self.home(&entry);
        while let Some(slot) = self.slots.get(place) {
            let is_free = number(slot) == 0;
            if is_free || has_key(slot, &entry) {
                self.count += usize::from(is_free);
                break;
            }
            place = self.after(place);
        }
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = entry;
        }
    }

    #[inline]
    fn home(&self, key: &[u32; S]) -> usize {
        let mut hasher = self.state.build_hasher();
        for &word in key.iter().skip(1) {
            hasher.write_u32(word);
        }
        spread(hasher.finish(), self.slots.len())
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        if place + 1 == self.slots.len() { 0 } else { place + 1 }
    }
}

/// The slots of a table that is to hold so many keys.
pub(super) fn slots_for(keys: usize) -> usize {
    keys + keys / 2 + 8
}

/// Whether a table is worth making anew when no more keys come.
pub(super) fn too_many(slots: usize, keys: usize) -> bool {
    slots > keys + keys / 4 * 3 + 16
}

/// One of `slots` places by a hash, without a division.
#[inline]
pub(super) fn spread(hash: u64, slots: usize) -> usize {
    ((u128::from(hash) * slots as u128) >> 64) as usize
}

#[inline]
fn number<const S: usize>(slot: &[u32; S]) -> u32 {
    slot.first().copied().unwrap_or(0)
}

#[inline]
fn has_key<const S: usize>(slot: &[u32; S], key: &[u32; S]) -> bool {
    slot.iter().skip(1).eq(key.iter().skip(1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_table_is_a_map(
            entries in prop::collection::vec((1u32..50, 0u32..300, 0u32..3), 0..600),
            room in 0usize..700,
        ) {
            let mut slots = Slots::<3>::with_room(room);
            let mut model = HashMap::new();
            for (number, low, high) in entries {
                slots.insert([number, low, high]);
                model.insert((low, high), number);
            }
            slots.shrink();
            prop_assert_eq!(slots.len(), model.len());
            for low in 0..300 {
                for high in 0..3 {
                    prop_assert_eq!(slots.get(&[0, low, high]), model.get(&(low, high)).copied());
                }
            }
        }
    }

    #[test]
    fn an_empty_table_has_nothing() {
        assert_eq!(Slots::<2>::default().get(&[0, 0]), None);
        let mut slots = Slots::<2>::with_room(1);
        slots.insert([0, 5]);
        assert_eq!((slots.get(&[0, 5]), slots.len()), (None, 0));
    }

    #[test]
    fn room_is_given_back_and_kept_within_bounds() {
        let mut slots = Slots::<2>::with_room(1_000_000);
        for key in 0..10_000 {
            slots.insert([1, key]);
        }
        let mut grown = Slots::<2>::default();
        for key in 0..10_000 {
            grown.insert([1, key]);
        }
        assert!(grown.memory() <= 10_000 * 18 + 500, "{}", grown.memory());
        for mut table in [slots, grown] {
            table.shrink();
            assert!(table.memory() <= 10_000 * 14 + 500, "{}", table.memory());
            assert_eq!(
                (table.len(), table.get(&[0, 9_999]), table.get(&[0, 10_000])),
                (10_000, Some(1), None)
            );
        }
    }
}
