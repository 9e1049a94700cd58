//! A set of AS numbers. Memory: 12 to 14 bytes for each and 8 KiB.

use super::sieve::Sieve;
use super::slots::Slots;

/// AS numbers of a dictionary.
#[derive(Clone, Debug, Default)]
pub struct AsNumbers {
    slots: Slots<2>,
    /// By the low bits, in which numbers differ.
    sieve: Sieve,
}

impl AsNumbers {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the dictionary has this one.
    #[inline]
    pub fn contains(&self, number: u32) -> bool {
        self.sieve.may_have(number as u16) && self.slots.get(&[0, number]).is_some()
    }
}

impl FromIterator<u32> for AsNumbers {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> AsNumbers {
        let mut made = AsNumbers::default();
        for number in numbers {
            made.slots.insert([1, number]);
            made.sieve.add(number as u16);
        }
        made.slots.shrink();
        made
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(numbers in prop::collection::vec(0u32..500, 0..300)) {
            let model: HashSet<u32> = numbers.iter().copied().collect();
            let set: AsNumbers = numbers.into_iter().collect();
            prop_assert_eq!(set.len(), model.len());
            prop_assert_eq!(set.is_empty(), model.is_empty());
            for number in (0..500).chain([u32::MAX, 1 << 16 | 7]) {
                prop_assert_eq!(set.contains(number), model.contains(&number));
            }
        }
    }
}
