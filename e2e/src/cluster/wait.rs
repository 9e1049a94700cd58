//! Waiting for something to become true, with what was seen last in the message when it does not.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// What takes longer is told: it may be near its deadline, or be where a test spends its time.
const LONG: Duration = Duration::from_secs(30);

/// Asks again and again. An error is what is not yet right; after the deadline the last one is shown in a
/// panic.
pub fn wait_until<T, E: Display>(what: &str, deadline: Duration, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match ask() {
            Ok(answer) => {
                let waited = begun.elapsed();
                if waited > LONG {
                    eprintln!("waited {} s for {what}", waited.as_secs());
                }
                return answer;
            }
            Err(seen) => {
                let waited = deadline.as_secs();
                assert!(begun.elapsed() < deadline, "waited {waited} s for {what}; seen last: {seen}");
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Panics if something stops being true before the time is over.
pub fn stays<E: Display>(what: &str, time: Duration, mut ask: impl FnMut() -> Result<(), E>) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        if let Err(seen) = ask() {
            panic!("{what} did not stay: after {} s {seen}", begun.elapsed().as_secs());
        }
        std::thread::sleep(PAUSE);
    }
}
