//! On a terminal: rates and balances in one line, again and again. Elsewhere nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::data_dir::DataDir;

const INTERVAL: Duration = Duration::from_secs(1);

/// The line.
pub struct Live {
    terminal: bool,
    shown: Instant,
    decoded: Option<u64>,
}

impl Live {
    /// Nothing is shown yet.
    pub fn new() -> Live {
        Live { terminal: std::io::stdout().is_terminal(), shown: Instant::now(), decoded: None }
    }

    /// Shows the line once a second.
    pub fn show(&mut self, data: &DataDir) {
        let since = self.shown.elapsed();
        if !self.terminal || since < INTERVAL {
            return;
        }
        self.shown = Instant::now();
        let Ok(status) = data.receiver_status() else { return };
        let streams = || status.dpis.iter().flat_map(|dpi| &dpi.streams);
        let sum = |figure: fn(&crds::receiver::StreamStatus) -> u64| streams().map(figure).sum::<u64>();
        let decoded = sum(|stream| stream.destination.decoded);
        let rate =
            self.decoded.map_or(0.0, |before| decoded.saturating_sub(before) as f64 / since.as_secs_f64());
        self.decoded = Some(decoded);
        let line = format!(
            "{rate:>9.0} records/s | decoded {decoded} = stored {} + waiting {} + set aside {} | missing {} | refused {}",
            sum(|stream| stream.destination.stored),
            sum(|stream| stream.destination.waiting),
            sum(|stream| stream.destination.set_aside),
            sum(|stream| stream.sequence.missing),
            sum(|stream| stream.wire.refused.values().sum()),
        );
        let mut output = std::io::stdout().lock();
        // A terminal that has gone away is no reason to stop receiving.
        let _ = write!(output, "\r\x1b[2K{line}").and_then(|()| output.flush());
    }

    /// Ends the line.
    pub fn end(&self) {
        if self.terminal {
            let _ = writeln!(std::io::stdout().lock());
        }
    }
}
