//! Which servers may be changed now: one at a time, and only when nothing is under way to it. Pure.
//!
//! A change of the pod template restarts a server, perhaps as another version, which may have forgotten how an insert
//! was identified: so receivers bind nothing new to it first, and what is bound is settled. While a server that was
//! changed is not ready again, no other is touched: a roll that fails stops there. One that is not ready by itself
//! may be changed at once, which may be what mends it.

/// One server as it is and as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// It exists.
    pub exists: bool,
    /// Its live pod template is the wanted one.
    pub current: bool,
    /// Its pod is ready, and made from the live template.
    pub ready: bool,
    /// Receivers bind nothing new to it, and nothing is under way.
    pub drained: bool,
}

impl Server {
    /// It runs as it should.
    pub fn is_up(&self) -> bool {
        self.current && self.ready
    }
}

/// What to do with one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Apply what is wanted: nothing restarts, or it is its turn.
    Apply,
    /// It is its turn as soon as nothing is under way to it.
    Drain,
    /// Leave its StatefulSet as it is: another is being changed.
    Wait,
}

/// One decision for each server, in the same order.
pub fn decide(servers: &[Server]) -> Vec<Decision> {
    // One that is not there is just being made, or made again.
    let mut busy = servers.iter().any(|server| !server.ready && (server.current || !server.exists));
    let broken_first = servers.iter().any(|server| server.exists && !server.current && !server.ready);
    let mut decisions = Vec::new();
    for server in servers {
        if !server.exists || server.current {
            decisions.push(Decision::Apply);
            continue;
        }
        let decision = match (server.ready, server.drained) {
            (true, _) if busy || broken_first => Decision::Wait,
            (false, _) | (true, true) => Decision::Apply,
            (true, false) => Decision::Drain,
        };
        busy |= decision != Decision::Wait;
        decisions.push(decision);
    }
    decisions
}

#[cfg(test)]
mod tests {
    use super::Decision::{Apply, Drain, Wait};
    use super::*;

    fn server(current: bool, ready: bool, drained: bool) -> Server {
        Server { exists: true, current, ready, drained }
    }

    #[test]
    fn one_at_a_time_and_drained_first() {
        let mut all = vec![server(false, true, false); 3];
        assert_eq!(decide(&all), [Drain, Wait, Wait]);
        all[0].drained = true;
        assert_eq!(decide(&all), [Apply, Wait, Wait]);
        all[0] = server(true, false, true);
        assert_eq!(decide(&all), [Apply, Wait, Wait], "the first is not ready again");
        all[0] = server(true, true, false);
        assert_eq!(decide(&all), [Apply, Drain, Wait]);
    }

    #[test]
    fn a_failed_roll_stops_and_can_be_taken_back() {
        let failed = [server(true, false, true), server(false, true, false)];
        assert_eq!(decide(&failed), [Apply, Wait]);
        // The object says something else again: the broken one is changed at once, the other is current.
        let taken_back = [server(false, false, true), server(true, true, false)];
        assert_eq!(decide(&taken_back), [Apply, Apply]);
        let again = [server(false, true, true), server(false, false, false)];
        assert_eq!(decide(&again), [Wait, Apply], "a broken one is mended first");
    }

    #[test]
    fn new_ones_start_together() {
        let mut all = vec![server(false, false, false); 2];
        all.iter_mut().for_each(|server| server.exists = false);
        assert_eq!(decide(&all), [Apply, Apply]);
    }

    #[test]
    fn one_that_is_made_again_is_waited_for() {
        let mut all = [server(false, false, true), server(false, true, false)];
        all[0].exists = false;
        assert_eq!(decide(&all), [Apply, Wait]);
    }
}
