//! Cycles among rows that name a parent. Works on numbers of rows only, and in linear time also where all rows
//! are one chain.

use std::fmt::Write;

/// How many rows of a cycle are shown.
const SHOWN: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    No,
    /// On the way that is being walked.
    Now,
    Before,
}

/// Every cycle, each as its rows from child to parent. A row whose way only leads into one is in none.
pub(super) fn find(parents: &[Option<u32>]) -> Vec<Vec<u32>> {
    let mut seen = vec![Seen::No; parents.len()];
    let mut cycles = Vec::new();
    let mut way: Vec<u32> = Vec::new();
    for start in 0..parents.len() {
        way.clear();
        let mut row = u32::try_from(start).ok();
        while let Some(next) = row {
            let Some(state) = seen.get_mut(next as usize) else { break };
            if *state == Seen::Now {
                cycles.extend(
                    way.iter().position(|each| *each == next).and_then(|at| way.get(at..)).map(<[_]>::to_vec),
                );
            }
            if *state != Seen::No {
                break;
            }
            *state = Seen::Now;
            way.push(next);
            row = parents.get(next as usize).copied().flatten();
        }
        for row in &way {
            if let Some(state) = seen.get_mut(*row as usize) {
                *state = Seen::Before;
            }
        }
    }
    cycles
}

/// What is wrong with the row at a position of a cycle; `id` tells the switch of a row.
pub(super) fn reason(cycle: &[u32], position: usize, id: impl Fn(u32) -> u64) -> String {
    let from_here = cycle.iter().cycle().skip(position).take(cycle.len());
    let mut way = String::new();
    for row in from_here.take(SHOWN) {
        // Writing to a String cannot fail.
        let _ = write!(way, "{} -> ", id(*row));
    }
    if let Some(more) = cycle.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = write!(way, "{more} more -> ");
    }
    let own = cycle.get(position).copied().map(id).unwrap_or_default();
    format!("switch {own}: its upstream switches lead back to itself ({way}{own})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rows_of_a_cycle_are_in_it() {
        // 0 -> 1 -> 2 -> 1, 3 -> none, 4 -> 4, 5 -> 3
        let parents = [Some(1), Some(2), Some(1), None, Some(4), Some(3)];
        assert_eq!(find(&parents), [vec![1, 2], vec![4]]);
        assert!(find(&[]).is_empty());
        assert!(find(&[None, Some(0), Some(1), Some(9)]).is_empty());
    }

    #[test]
    fn a_long_way_is_walked_once() {
        let chain: Vec<Option<u32>> = (0..1_000_000_u32).map(|row| row.checked_sub(1)).collect();
        assert!(find(&chain).is_empty());
        let mut ring = chain;
        ring[0] = Some(999_999);
        assert_eq!(find(&ring).iter().map(Vec::len).collect::<Vec<_>>(), [1_000_000]);
    }

    #[test]
    fn a_reason_shows_the_way_back() {
        let reason = |cycle: &[u32], position: usize| reason(cycle, position, |row| u64::from(row) + 1);
        assert_eq!(reason(&[6, 8], 0), "switch 7: its upstream switches lead back to itself (7 -> 9 -> 7)");
        assert_eq!(reason(&[6, 8], 1), "switch 9: its upstream switches lead back to itself (9 -> 7 -> 9)");
        assert_eq!(reason(&[3], 0), "switch 4: its upstream switches lead back to itself (4 -> 4)");
        let long: Vec<u32> = (0..10).collect();
        assert!(reason(&long, 9).ends_with("(10 -> 1 -> 2 -> 3 -> 4 -> 5 -> 6 -> 7 -> 2 more -> 10)"));
    }
}
