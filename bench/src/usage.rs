//! What a process uses: CPU time and memory, as the kernel counts them.

use std::fs;
use std::io;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The unit of times in `/proc`: Linux shows them in hundredths of a second on every machine, whatever it uses inside.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of this process so far, user and system.
pub fn of_process() -> Duration {
    of(UsageWho::RUSAGE_SELF)
}

/// CPU time of this thread so far.
pub fn of_thread() -> Duration {
    of(UsageWho::RUSAGE_THREAD)
}

fn of(who: UsageWho) -> Duration {
    let seconds = |time: TimeVal| {
        Duration::new(u64::try_from(time.tv_sec()).unwrap_or(0), 0)
            + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
    };
    getrusage(who).map_or(Duration::ZERO, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// CPU time of another thread of this process so far.
///
/// # Errors
/// The kernel does not tell.
pub fn of_other_thread(thread: i32) -> io::Result<Duration> {
    let path = format!("/proc/self/task/{thread}/schedstat");
    let text = fs::read_to_string(path)?;
    let nanoseconds = text.split_whitespace().next().and_then(|number| number.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| io::Error::other("schedstat cannot be read"))
}

/// CPU time of another process, all its threads.
///
/// # Errors
/// It has ended.
pub fn of_other_process(process: u32) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold spaces; it ends with the last parenthesis.
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    for number in after_name.split_whitespace().skip(11).take(2) {
        let ticks: u32 = number.parse().map_err(io::Error::other)?;
        sum += TICK * ticks;
    }
    Ok(sum)
}

/// The most memory that a process had at a time, in bytes; 0 if it has ended.
pub fn peak_bytes(process: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}
