//! Numbers by the hashes of what they stand for. What is asked for many rows at once is asked in rounds, each over all
//! rows: reads of a round do not depend on each other, so the processor waits for memory once and not row by row.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;

const SMALLEST: usize = 1 << 10;

/// Open addressing, at most half full. A slot is the upper half of a hash and the number plus one; 0 is empty. The
/// half decides the place too, so growing needs no key.
pub(super) struct Table {
    slots: Vec<u64>,
    count: usize,
    /// What comes from the network is hashed: seeded anew for each process.
    state: RandomState,
}

impl Table {
    pub(super) fn new() -> Table {
        Table { slots: vec![0; SMALLEST], count: 0, state: RandomState::default() }
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u32 {
        let mut hasher = self.state.build_hasher();
        hasher.write(key);
        (hasher.finish() >> 32) as u32
    }

    #[inline]
    pub(super) fn hash_words(&self, key: &[u64]) -> u32 {
        let mut hasher = self.state.build_hasher();
        key.iter().for_each(|word| hasher.write_u64(*word));
        (hasher.finish() >> 32) as u32
    }

    /// The first number with this hash, if there is one: most likely what a search will find, to read ahead what lies
    /// there.
    #[inline]
    pub(super) fn first(&self, hash: u32) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// The number with this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut place = self.home(hash);
        loop {
            let slot = *self.slots.get(place)?;
            let number = (slot as u32).checked_sub(1)?;
            if (slot >> 32) as u32 == hash && is_it(number) {
                return Some(number);
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
    }

    /// Puts in a number that is not there.
    pub(super) fn insert(&mut self, hash: u32, number: u32) {
        if (self.count + 1) * 2 > self.slots.len() {
            let doubled = vec![0; self.slots.len() * 2];
            for slot in std::mem::replace(&mut self.slots, doubled) {
                if slot != 0 {
                    self.place(slot);
                }
            }
        }
        self.place(u64::from(hash) << 32 | u64::from(number.wrapping_add(1)));
        self.count += 1;
    }

    fn place(&mut self, entry: u64) {
        let mut place = self.home((entry >> 32) as u32);
        let mask = self.slots.len() - 1;
        while let Some(slot) = self.slots.get_mut(place) {
            if *slot == 0 {
                *slot = entry;
                return;
            }
            place = (place + 1) & mask;
        }
    }

    #[inline]
    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        self.slots.capacity() * 8
    }

    /// Forgets all and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.slots.fill(0);
        self.count = 0;
    }
}
