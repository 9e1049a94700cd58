//! `qoe simulate`: a DPI for tests and demonstrations.
//!
//! Sends records of one of the streams as the vendor's boxes do and says at the end, as one line of JSON, what
//! it sent: that line is what a test compares with the database. It must therefore never count a
//! record twice, nor forget one, whatever the network does.

mod connection;
mod exporter;
mod field;
mod flow;
mod layout;
mod options;
mod pace;
mod population;
mod report;
mod tcp;
mod udp;
mod words;

#[cfg(test)]
mod tests;

pub use options::Options;
pub use report::Summary;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use connection::Plan;
use population::Population;

/// Sends everything and returns what was sent. When the network fails for longer than
/// `--patience`, what was sent until then is returned, with [`Summary::error`] set.
///
/// # Errors
/// If the options make no sense or a thread cannot be started.
pub fn run(options: Options) -> anyhow::Result<Summary> {
    let addresses = options.addresses()?;
    let address = *addresses.first().context("the receiver's name has no address")?;
    let population = Population::new(options.seed, options.subscribers, options.hosts)?;
    let start_ms = options.start_ms.unwrap_or_else(now_ms);
    let began = Instant::now();

    let mut summary = Summary::new(&options);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let mut threads = Vec::new();
        for index in 0..options.connections {
            let plan = Plan::new(&options, index, start_ms);
            let population = &population;
            let options = &options;
            let thread = std::thread::Builder::new()
                .name(format!("simulate-{index}"))
                .stack_size(512 << 10)
                .spawn_scoped(scope, move || connection::run(options, population, plan, address))
                .context("a thread for a connection cannot be started")?;
            threads.push(thread);
        }
        for thread in threads {
            match thread.join() {
                Ok(result) => summary.add(result?),
                Err(_) => anyhow::bail!("a connection's thread has failed"),
            }
        }
        Ok(())
    })?;
    summary.finish(began.elapsed());
    Ok(summary)
}

/// Milliseconds since 1970, UTC.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
