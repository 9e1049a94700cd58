//! A set of AS numbers. Memory: 10 to 16 bytes for each.

use super::slots::Slots;

/// AS numbers of a dictionary.
#[derive(Clone, Debug, Default)]
pub struct AsNumbers {
    slots: Slots<2>,
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
        self.slots.get(&[0, number]).is_some()
    }
}

impl FromIterator<u32> for AsNumbers {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> AsNumbers {
        let mut slots = Slots::default();
        for number in numbers {
            slots.insert([1, number]);
        }
        slots.shrink();
        AsNumbers { slots }
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
            for number in (0..500).chain([u32::MAX]) {
                prop_assert_eq!(set.contains(number), model.contains(&number));
            }
        }
    }
}
