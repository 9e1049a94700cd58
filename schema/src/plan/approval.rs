//! Destructive steps wait for a person's word: the hash of what they are. An approval covers exactly the
//! statements that were shown with it, whatever else the plan holds, and also what is left of them when a run
//! ended half-way. Nothing here may let a step through that an approved hash does not contain.

use super::{Plan, Risk, Step};
use crate::hash::hash_of;

/// Of how many finished changes each may or may not have been part of an approved plan: 2 to this power
/// hashes are tried. There are fewer tables than this.
const MOST_SETTLED: usize = 12;

impl Plan {
    /// The steps that wait for an approval.
    pub fn destructive(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.risk == Risk::Destructive)
    }

    /// The approval that the destructive steps need, `sha256:<hex>` over their objects and statements; `None`
    /// without any.
    pub fn hash(&self) -> Option<String> {
        let steps: Vec<&Step> = self.destructive().collect();
        (!steps.is_empty()).then(|| hash(&steps))
    }

    /// A name of the plan for the record: a hash over all its steps.
    pub fn id(&self) -> String {
        let steps: Vec<&Step> = self.steps.iter().collect();
        hash(&steps)
    }

    /// What may be carried out now, and what waits for [`Plan::hash`] to be among the approvals. The order of
    /// steps is kept in both.
    pub fn approved(&self, approvals: &[String]) -> (Plan, Plan) {
        let everything = self.is_approved(approvals);
        let (now, wait) =
            self.steps.iter().cloned().partition(|step| everything || step.risk != Risk::Destructive);
        let part = |steps| Plan { database: self.database.clone(), steps, settled: self.settled.clone() };
        (part(now), part(wait))
    }

    fn is_approved(&self, approvals: &[String]) -> bool {
        let waiting: Vec<&Step> = self.destructive().collect();
        if waiting.is_empty() {
            return true;
        }
        if approvals.is_empty() {
            return false;
        }
        // An approved plan of which a part is done: what waits, and some of what is done.
        let settled: Vec<&Step> = self.settled.iter().take(MOST_SETTLED).collect();
        for chosen in 0..1_u32 << settled.len() {
            let mut steps = waiting.clone();
            for (bit, step) in settled.iter().enumerate() {
                if chosen >> bit & 1 == 1 {
                    steps.push(step);
                }
            }
            if approvals.contains(&hash(&steps)) {
                return true;
            }
        }
        false
    }
}

/// The same for the same steps in any order.
fn hash(steps: &[&Step]) -> String {
    let mut texts: Vec<String> =
        steps.iter().map(|step| format!("{}\0{}\0", step.object, step.sql)).collect();
    texts.sort_unstable();
    hash_of(texts.concat().as_bytes())
}

#[cfg(test)]
mod tests;
