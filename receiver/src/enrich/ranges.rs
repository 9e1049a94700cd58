//! Ranges of numbers that do not touch each other, and whether a number lies in one. The index follows the
//! numbers: where ranges are dense it is fine, where there are none it is coarse, so that a look-up takes a few
//! steps whether the ranges are spread evenly or crowd in a few places, as IPv6 prefixes do.
//!
//! Memory: a range's two ends and 4 to 8 bytes of index.

/// Ranges that one bucket of the index may hold without an index of its own.
const BUCKET: usize = 8;
/// Marks an entry of the index that is the number of a node. Positions are smaller.
const NODE: u32 = 1 << 31;

/// A number that ranges are made of.
pub(super) trait Number: Copy + Ord {
    /// The next larger number.
    fn next(self) -> Option<Self>;
    /// `(self - base) >> shift`, at most `usize::MAX`; `None` below the base.
    fn bucket(self, base: Self, shift: u32) -> Option<usize>;
    /// How many bits `self - base` has.
    fn bits_above(self, base: Self) -> u32;
}

macro_rules! number {
    ($number:ty) => {
        impl Number for $number {
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            #[inline]
            fn bucket(self, base: Self, shift: u32) -> Option<usize> {
                let above = self.checked_sub(base)? >> shift;
                Some(usize::try_from(above).unwrap_or(usize::MAX))
            }
            fn bits_above(self, base: Self) -> u32 {
                <$number>::BITS - self.saturating_sub(base).leading_zeros()
            }
        }
    };
}
number!(u32);
number!(u128);

/// An index of the ranges from `first` on: equal buckets of the span of their beginnings.
#[derive(Clone, Debug)]
struct Node<T> {
    base: T,
    shift: u32,
    first: u32,
    /// Where its entries are, one for each bucket and the position after its last range: positions, or the node
    /// of a bucket that holds many.
    entries: usize,
    buckets: usize,
}

/// Ranges, ends included.
#[derive(Clone, Debug)]
pub(super) struct Ranges<T> {
    ranges: Vec<(T, T)>,
    nodes: Vec<Node<T>>,
    entries: Vec<u32>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Ranges { ranges: Vec::new(), nodes: Vec::new(), entries: Vec::new() }
    }
}

impl<T: Number> Ranges<T> {
    /// Ranges that may overlap, in any order.
    pub(super) fn new(mut given: Vec<(T, T)>) -> Ranges<T> {
        given.sort_unstable();
        let mut ranges: Vec<(T, T)> = Vec::new();
        for (first, last) in given {
            match ranges.last_mut() {
                Some(before) if before.1.next().is_none_or(|next| first <= next) => {
                    before.1 = before.1.max(last);
                }
                _ => ranges.push((first, last)),
            }
        }
        // What does not fit into an index of positions cannot be in memory either.
        ranges.truncate(NODE as usize - 1);
        ranges.shrink_to_fit();
        let mut made = Ranges { ranges, nodes: Vec::new(), entries: Vec::new() };
        made.index(0, made.ranges.len());
        made.entries.shrink_to_fit();
        made
    }

    /// How many ranges there are.
    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Bytes that ranges and index take.
    pub(super) fn memory(&self) -> usize {
        self.ranges.capacity() * size_of::<(T, T)>()
            + self.entries.capacity() * size_of::<u32>()
            + self.nodes.capacity() * size_of::<Node<T>>()
    }

    /// Whether a number lies in one of the ranges.
    #[inline]
    pub(super) fn contains(&self, number: T) -> bool {
        let candidate = self.after(number).and_then(|after| self.ranges.get(after.checked_sub(1)?));
        candidate.is_some_and(|&(first, last)| first <= number && number <= last)
    }

    /// The position after the last range that begins at or before a number.
    #[inline]
    fn after(&self, number: T) -> Option<usize> {
        let mut node = self.nodes.first()?;
        loop {
            let Some(bucket) = number.bucket(node.base, node.shift) else {
                return Some(node.first as usize);
            };
            let at = node.entries + bucket.min(node.buckets);
            let entry = *self.entries.get(at)?;
            if entry & NODE != 0 {
                node = self.nodes.get((entry & !NODE) as usize)?;
                continue;
            }
            if bucket >= node.buckets {
                return Some(entry as usize);
            }
            let mut end = *self.entries.get(at + 1)?;
            if end & NODE != 0 {
                end = self.nodes.get((end & !NODE) as usize)?.first;
            }
            let ranges = self.ranges.get(entry as usize..end as usize)?;
            let before = ranges.iter().take_while(|range| range.0 <= number).count();
            return Some(entry as usize + before);
        }
    }

    /// Makes the node of some ranges and of their crowded buckets; the answer is its number. A node's first and
    /// last range are never in one bucket, so this ends.
    fn index(&mut self, first: usize, end: usize) -> u32 {
        let number = self.nodes.len() as u32;
        let ranges = self.ranges.get(first..end).unwrap_or_default();
        let (Some(&(base, _)), Some(&(last, _))) = (ranges.first(), ranges.last()) else {
            return number;
        };
        let bits = last.bits_above(base);
        let shift = bits.saturating_sub(ranges.len().ilog2().max(1));
        let buckets = last.bucket(base, shift).unwrap_or(0) + 1;
        let entries = self.entries.len();
        self.nodes.push(Node { base, shift, first: first as u32, entries, buckets });
        self.entries.resize(entries + buckets + 1, end as u32);

        let mut from = first;
        for bucket in 0..buckets {
            let rest = self.ranges.get(from..end).unwrap_or_default();
            let held = rest.iter().take_while(|range| range.0.bucket(base, shift) == Some(bucket)).count();
            let entry = match held {
                0..=BUCKET => from as u32,
                _ => self.index(from, from + held) | NODE,
            };
            if let Some(place) = self.entries.get_mut(entries + bucket) {
                *place = entry;
            }
            from += held;
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive<T: Number>(ranges: &[(T, T)], number: T) -> bool {
        ranges.iter().any(|range| range.0 <= number && number <= range.1)
    }

    /// Beginnings that crowd at several scales.
    fn crowded() -> impl Strategy<Value = u128> {
        (any::<u128>(), 0u32..128, 0u128..4)
            .prop_map(|(number, shift, far)| (number >> shift).wrapping_add(far << 100))
    }

    proptest! {
        #[test]
        fn small_numbers(
            given in prop::collection::vec((any::<u32>(), 0u32..1 << 20), 0..200),
            asked in prop::collection::vec(any::<u32>(), 0..100),
        ) {
            let given: Vec<(u32, u32)> =
                given.into_iter().map(|(first, length)| (first, first.saturating_add(length))).collect();
            let ranges = Ranges::new(given.clone());
            let edges = given.iter().flat_map(|range| [range.0, range.1]);
            let edges = edges.flat_map(|edge| [edge.wrapping_sub(1), edge, edge.wrapping_add(1)]);
            for number in edges.chain(asked) {
                prop_assert_eq!(ranges.contains(number), naive(&given, number), "{}", number);
            }
        }

        #[test]
        fn large_numbers_that_crowd(
            given in prop::collection::vec((crowded(), 0u32..64), 0..400),
            asked in prop::collection::vec(crowded(), 0..100),
        ) {
            let given: Vec<(u128, u128)> =
                given.into_iter().map(|(first, bits)| (first, first.saturating_add((1 << bits) - 1))).collect();
            let ranges = Ranges::new(given.clone());
            let edges = given.iter().flat_map(|range| [range.0, range.1]);
            let edges = edges.flat_map(|edge| [edge.wrapping_sub(1), edge, edge.wrapping_add(1)]);
            for number in edges.chain(asked) {
                prop_assert_eq!(ranges.contains(number), naive(&given, number), "{}", number);
            }
        }
    }

    #[test]
    fn neighbours_become_one() {
        let ranges = Ranges::new(vec![(10u32, 19), (20, 29), (5, 12), (40, 40), (u32::MAX, u32::MAX)]);
        assert_eq!(ranges.ranges, [(5, 29), (40, 40), (u32::MAX, u32::MAX)]);
        assert!(ranges.contains(29) && ranges.contains(u32::MAX) && !ranges.contains(30));
        let all = Ranges::new(vec![(0u32, u32::MAX), (7, 9)]);
        assert_eq!(all.len(), 1);
        assert!(all.contains(0) && all.contains(u32::MAX));
    }

    /// Each power of two is a bucket within a bucket.
    #[test]
    fn the_worst_distribution_is_indexed() {
        let given: Vec<(u128, u128)> = (3..128).map(|bit| (1 << bit, 1 << bit)).collect();
        let ranges = Ranges::new(given.clone());
        assert!(ranges.nodes.len() > 1);
        for &(number, _) in &given {
            assert!(ranges.contains(number) && !ranges.contains(number + 1) && !ranges.contains(number - 1));
        }
    }

    #[test]
    fn the_index_is_smaller_than_the_ranges() {
        let ranges =
            Ranges::new((0..100_000u32).map(|number| (number * 40_000, number * 40_000 + 9)).collect());
        assert!(ranges.memory() <= 100_000 * 16, "{}", ranges.memory());
    }
}
