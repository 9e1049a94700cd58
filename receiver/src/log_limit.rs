//! Bounds the rate of log lines that network input can cause: one a second for each kind. What is
//! not logged is still counted.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::journal::lock;

static LAST: Mutex<BTreeMap<&'static str, Instant>> = Mutex::new(BTreeMap::new());
const INTERVAL: Duration = Duration::from_secs(1);

/// Whether a line of this kind may be written now. Kinds are names in the code, never input.
pub fn allow(kind: &'static str) -> bool {
    let now = Instant::now();
    let mut last = lock(&LAST);
    if last.get(kind).is_some_and(|then| now.duration_since(*then) < INTERVAL) {
        return false;
    }
    last.insert(kind, now);
    true
}
