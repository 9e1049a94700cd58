//! Questions to what is gathered, for those who check or measure it. Must never change it.

use schema::Family;

use super::gather::Gatherer;
use super::layout::Kept;

impl Gatherer {
    /// Sum of a measure over all groups with all keys; 0 for one that is no number of the family's.
    pub fn sum_of(&self, family: &Family, measure: &str) -> u64 {
        let place = family.measures.iter().position(|declared| declared.name == measure);
        let Some(Kept::Slot(slot)) = place.and_then(|place| self.layout.kept.get(place)) else { return 0 };
        let values = |group| self.groups.values(group).get(*slot).copied().unwrap_or(0);
        (0..self.groups.len()).map(values).fold(0, u64::wrapping_add)
    }
}
