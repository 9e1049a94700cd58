//! How often values of a group lay in each bucket. Most groups have few, so what is kept is a list of what came,
//! sorted and summed up now and then.

/// Values that may come before they are summed up.
const MAX_NEW: usize = 1 << 20;

/// Buckets of a histogram.
pub(super) const BUCKETS: usize = 1 << 8;

/// Adds to a list that is sorted.
fn push(summed: &mut Vec<(u64, u64)>, packed: u64, count: u64) {
    match summed.last_mut() {
        Some(last) if last.0 == packed => last.1 += count,
        _ => summed.push((packed, count)),
    }
}

/// Histograms of groups.
#[derive(Default)]
pub(super) struct Histograms {
    /// Group, which histogram, bucket.
    new: Vec<u64>,
    /// The same with how often, sorted, each once.
    summed: Vec<(u64, u64)>,
}

fn pack(group: u32, which: u8, bucket: u8) -> u64 {
    u64::from(group) << 16 | u64::from(which) << 8 | u64::from(bucket)
}

impl Histograms {
    /// Counts a value.
    #[inline]
    pub(super) fn add(&mut self, group: u32, which: u8, bucket: u8) {
        self.new.push(pack(group, which, bucket));
        if self.new.len() >= MAX_NEW {
            self.sum_up();
        }
    }

    /// The same histograms where each of some groups has become part of one of fewer.
    pub(super) fn regrouped(&self, to: &[u32], groups: u32) -> Histograms {
        let target = |packed: u64| to.get((packed >> 16) as usize).copied();
        // Sorted by counting: where the entries of each new group begin.
        let mut ends = vec![0usize; groups as usize + 1];
        for group in self.summed.iter().filter_map(|(packed, _)| target(*packed)) {
            if let Some(count) = ends.get_mut(group as usize + 1) {
                *count += 1;
            }
        }
        for group in 1..ends.len() {
            let before = ends.get(group - 1).copied().unwrap_or(0);
            ends.get_mut(group).into_iter().for_each(|end| *end += before);
        }
        let mut moved = vec![(0u16, 0u64); self.summed.len()];
        for &(packed, count) in &self.summed {
            let Some(end) = target(packed).and_then(|group| ends.get_mut(group as usize)) else { continue };
            moved.get_mut(*end).into_iter().for_each(|entry| *entry = (packed as u16, count));
            *end += 1;
        }
        let mut summed = Vec::new();
        let mut start = 0;
        for (group, &end) in ends.iter().enumerate().take(groups as usize) {
            let Some(entries) = moved.get_mut(start..end) else { continue };
            start = end;
            entries.sort_unstable();
            for &(of, count) in entries.iter() {
                push(&mut summed, (group as u64) << 16 | u64::from(of), count);
            }
        }
        Histograms { new: Vec::new(), summed }
    }

    /// Histograms of groups of which every bucket is given: of each group its histograms, of each its buckets.
    pub(super) fn of_all(buckets: &[u64], histograms: usize) -> Histograms {
        let entry = |(place, &count): (usize, &u64)| {
            let (of, bucket) = (place / BUCKETS, place % BUCKETS);
            let packed = pack((of / histograms) as u32, (of % histograms) as u8, bucket as u8);
            (count != 0).then_some((packed, count))
        };
        Histograms { new: Vec::new(), summed: buckets.iter().enumerate().filter_map(entry).collect() }
    }

    /// Buckets and counts of one histogram of a group, in the order of buckets. Only after [`Histograms::sum_up`].
    pub(super) fn of(&self, group: u32, which: u8) -> impl Iterator<Item = (u8, u64)> {
        let (first, last) = (pack(group, which, 0), pack(group, which, u8::MAX));
        let start = self.summed.partition_point(|(packed, _)| *packed < first);
        let rest = self.summed.get(start..).unwrap_or_default();
        rest.iter()
            .take_while(move |(packed, _)| *packed <= last)
            .map(|(packed, count)| (*packed as u8, *count))
    }

    /// Sorts and sums up what came.
    pub(super) fn sum_up(&mut self) {
        if self.new.is_empty() {
            return;
        }
        self.new.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(self.summed.len() + self.new.len() / 2);
        let mut old = std::mem::take(&mut self.summed).into_iter().peekable();
        for packed in self.new.drain(..) {
            while let Some((before, count)) = old.next_if(|(before, _)| *before <= packed) {
                push(&mut merged, before, count);
            }
            push(&mut merged, packed, 1);
        }
        for (packed, count) in old {
            push(&mut merged, packed, count);
        }
        self.summed = merged;
    }

    /// Bytes that they take.
    pub(super) fn memory(&self) -> usize {
        self.new.capacity() * 8 + self.summed.capacity() * 16
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.new.clear();
        self.summed.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_is_counted(
            first in prop::collection::vec((0u32..9, 0u8..2, 0u8..4), 0..200),
            second in prop::collection::vec((0u32..9, 0u8..2, 0u8..4), 0..200),
        ) {
            let mut histograms = Histograms::default();
            let mut model: BTreeMap<(u32, u8, u8), u64> = BTreeMap::new();
            let mut halves: BTreeMap<(u32, u8, u8), u64> = BTreeMap::new();
            for part in [&first, &second] {
                for &(group, which, bucket) in part {
                    histograms.add(group, which, bucket);
                    *model.entry((group, which, bucket)).or_default() += 1;
                    *halves.entry((group / 2, which, bucket)).or_default() += 1;
                }
                histograms.sum_up();
            }
            let read = |histograms: &Histograms| {
                let mut all = BTreeMap::new();
                for (group, which) in (0..9).flat_map(|group| [(group, 0), (group, 1)]) {
                    all.extend(histograms.of(group, which).map(|(bucket, count)| ((group, which, bucket), count)));
                }
                all
            };
            prop_assert_eq!(read(&histograms), model.clone());
            let mut buckets = vec![0; 9 * 2 * BUCKETS];
            for (&(group, which, bucket), count) in &model {
                buckets[(group as usize * 2 + usize::from(which)) * BUCKETS + usize::from(bucket)] = *count;
            }
            prop_assert_eq!(read(&Histograms::of_all(&buckets, 2)), model);
            let to: Vec<u32> = (0..9).map(|group| group / 2).collect();
            prop_assert_eq!(read(&histograms.regrouped(&to, 5)), halves);
        }
    }
}
