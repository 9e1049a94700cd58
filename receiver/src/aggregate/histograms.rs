//! How often values of a group lay in each bucket. Most groups have few, so what is kept is a list of what came,
//! sorted and summed up now and then.

/// Values that may come before they are summed up.
const MAX_NEW: usize = 1 << 20;

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

    /// The same histograms where each group has become part of another.
    pub(super) fn regrouped(&mut self, to: &[u32]) -> Histograms {
        self.sum_up();
        let mut moved: Vec<(u64, u64)> = self
            .summed
            .iter()
            .filter_map(|&(packed, count)| {
                let group = *to.get((packed >> 16) as usize)?;
                Some((pack(group, (packed >> 8) as u8, packed as u8), count))
            })
            .collect();
        moved.sort_unstable_by_key(|(packed, _)| *packed);
        moved.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.1 += next.1;
            }
            is_same
        });
        Histograms { new: Vec::new(), summed: moved }
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
        let mut push = |packed: u64, count: u64| match merged.last_mut() {
            Some(last) if last.0 == packed => last.1 += count,
            _ => merged.push((packed, count)),
        };
        for packed in self.new.drain(..) {
            while let Some((before, count)) = old.next_if(|(before, _)| *before <= packed) {
                push(before, count);
            }
            push(packed, 1);
        }
        for (packed, count) in old {
            push(packed, count);
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
            prop_assert_eq!(read(&histograms), model);
            let to: Vec<u32> = (0..9).map(|group| group / 2).collect();
            prop_assert_eq!(read(&histograms.regrouped(&to)), halves);
        }
    }
}
