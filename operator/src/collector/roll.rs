//! Which receivers may be changed now: one at a time. Pure.
//!
//! A change of the pod template restarts a receiver. While one that was changed is not ready again, no
//! other is touched; one that is not ready by itself may be changed at once, which may be what mends it.

/// One receiver as it is and as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Its DPI.
    pub dpi: u16,
    /// It exists.
    pub exists: bool,
    /// Its live pod template is the wanted one.
    pub current: bool,
    /// Its pod is ready, and made from the live template.
    pub ready: bool,
    /// It runs another version than the wanted one.
    pub other_version: bool,
}

/// What to do with one receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Apply what is wanted: nothing restarts, or it is its turn.
    Apply,
    /// Leave its StatefulSet as it is: another is being changed, or the schema is not there yet.
    Wait,
}

/// One decision for each receiver, in the same order. `schema_ready`: a new version may run.
pub fn decide(receivers: &[Receiver], schema_ready: bool) -> Vec<Decision> {
    let mut busy = receivers.iter().any(|receiver| receiver.exists && receiver.current && !receiver.ready);
    // Those that are not ready by themselves come first.
    let broken_first =
        receivers.iter().any(|receiver| wants_change(receiver, schema_ready) && !receiver.ready);
    let mut decisions = Vec::new();
    for receiver in receivers {
        if !receiver.exists || receiver.current {
            decisions.push(Decision::Apply);
            continue;
        }
        let turn = if receiver.ready { !busy && !broken_first } else { true };
        if turn && wants_change(receiver, schema_ready) {
            busy = true;
            decisions.push(Decision::Apply);
        } else {
            decisions.push(Decision::Wait);
        }
    }
    decisions
}

fn wants_change(receiver: &Receiver, schema_ready: bool) -> bool {
    receiver.exists && !receiver.current && (schema_ready || !receiver.other_version)
}

#[cfg(test)]
mod tests {
    use super::Decision::{Apply, Wait};
    use super::*;

    fn receiver(dpi: u16, current: bool, ready: bool) -> Receiver {
        Receiver { dpi, exists: true, current, ready, other_version: !current }
    }

    #[test]
    fn one_at_a_time() {
        let mut all = vec![receiver(0, false, true), receiver(1, false, true), receiver(2, false, true)];
        assert_eq!(decide(&all, true), [Apply, Wait, Wait]);
        all[0] = receiver(0, true, false);
        assert_eq!(decide(&all, true), [Apply, Wait, Wait], "the first is not ready again");
        all[0] = receiver(0, true, true);
        assert_eq!(decide(&all, true), [Apply, Apply, Wait]);
    }

    #[test]
    fn a_broken_one_is_mended_first() {
        let all = [receiver(0, false, true), receiver(1, false, false)];
        assert_eq!(decide(&all, true), [Wait, Apply]);
    }

    #[test]
    fn a_version_waits_for_its_schema() {
        let mut all = [receiver(0, false, true)];
        assert_eq!(decide(&all, false), [Wait]);
        all[0].other_version = false;
        assert_eq!(decide(&all, false), [Apply], "another change of the template does not");
    }

    #[test]
    fn new_ones_start_together() {
        let mut all = [receiver(0, false, false), receiver(1, false, false)];
        for receiver in &mut all {
            receiver.exists = false;
        }
        assert_eq!(decide(&all, false), [Apply, Apply]);
    }
}
