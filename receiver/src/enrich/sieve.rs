//! A first question that most numbers do not pass: whether anything with these 16 bits is there at all. It stays
//! in the nearest cache, the look-up behind it does not. Memory: 8 KiB, nothing while it is empty.

/// A bit for each number of 16 bits.
#[derive(Clone, Debug, Default)]
pub(super) struct Sieve {
    words: Vec<u64>,
}

impl Sieve {
    /// Lets these bits pass.
    pub(super) fn add(&mut self, bits: u16) {
        if self.words.is_empty() {
            self.words.resize(1 << 10, 0);
        }
        if let Some(word) = self.words.get_mut(usize::from(bits >> 6)) {
            *word |= 1 << (bits & 63);
        }
    }

    /// Whether there may be something with these bits.
    #[inline]
    pub(super) fn may_have(&self, bits: u16) -> bool {
        self.words.get(usize::from(bits >> 6)).is_some_and(|word| word >> (bits & 63) & 1 == 1)
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        size_of_val(self.words.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_passes_and_nothing_else() {
        let mut sieve = Sieve::default();
        assert!(!sieve.may_have(0));
        let added = [0, 1, 63, 64, 1000, u16::MAX];
        added.into_iter().for_each(|bits| sieve.add(bits));
        for bits in 0..=u16::MAX {
            assert_eq!(sieve.may_have(bits), added.contains(&bits), "{bits}");
        }
    }
}
