//! Sends over TCP, and goes on after a break: what had not been begun is sent on the new
//! connection, the message in flight and all before it count as sent.

mod link;

use std::net::SocketAddr;
use std::time::Duration;

use super::connection::{Clock, Fate, Tampering};
use super::exporter::{Exporter, Templates};
use super::options::Options;
use super::pace::Pace;
use super::report::{Tally, Weight};
use link::{Boundary, Closing, Link, Progress, Trouble};

/// Messages are handed to the kernel in batches of about this many bytes.
const BATCH_BYTES: usize = 64 << 10;

/// How often the end is stated anew when the connection breaks while it closes.
const CLOSING_ATTEMPTS: u32 = 5;

pub(super) fn send_all(
    options: &Options,
    exporter: Exporter<'_>,
    clock: Clock,
    address: SocketAddr,
) -> anyhow::Result<Tally> {
    let patience = Duration::from_secs(options.patience);
    let mut sender = Sender { exporter, clock, link: Link::new(address, patience), tally: Tally::default() };
    let result = match sender.send_records(options) {
        Ok(()) => sender.close(options.announce_end),
        Err(trouble) => Err(trouble),
    };
    match result {
        Ok(()) => {}
        Err(Trouble::GaveUp(reason)) => sender.tally.error = Some(reason),
        Err(Trouble::Internal(error)) => return Err(error),
    }
    sender.tally.reconnects = sender.link.connects.saturating_sub(1);
    Ok(sender.tally)
}

struct Sender<'p> {
    exporter: Exporter<'p>,
    clock: Clock,
    link: Link,
    tally: Tally,
}

impl Sender<'_> {
    fn send_records(&mut self, options: &Options) -> Result<(), Trouble> {
        let pace = Pace::new(options.rate_per_connection());
        let mut tampering = Tampering::new(options);
        let mut batch = Vec::with_capacity(BATCH_BYTES + 2_048);
        let mut boundaries = Vec::new();
        let mut made = 0;
        self.connect(0)?;
        while !self.exporter.is_done() {
            let mut allowance = pace.allowance(made);
            let clock_ms = self.clock.now_ms();
            let first_sequence = self.exporter.sequence();
            batch.clear();
            boundaries.clear();
            while batch.len() < BATCH_BYTES && allowance > 0 {
                let Some(message) = self.exporter.data(clock_ms, pace.records_per_message())? else {
                    break;
                };
                let weight = message.weight;
                made += weight.records;
                allowance = allowance.saturating_sub(weight.records);
                let next_sequence = message.sequence.wrapping_add(weight.records as u32);
                let copies = match tampering.next() {
                    Fate::Drop => 0,
                    Fate::Send | Fate::Late => 1,
                    Fate::Twice => 2,
                };
                for copy in 0..copies {
                    batch.extend_from_slice(message.bytes);
                    boundaries.push(Boundary { end: batch.len(), next_sequence, weight, is_copy: copy > 0 });
                }
                if copies == 0 {
                    self.tally.lost.add(&weight);
                    self.tally.lost_messages += 1;
                }
            }
            self.deliver(&batch, &boundaries, first_sequence)?;
            if allowance == 0 {
                pace.nap(made);
            }
        }
        Ok(())
    }

    /// Hands a whole batch to the kernel, over as many connections as it takes.
    fn deliver(&mut self, batch: &[u8], boundaries: &[Boundary], first_sequence: u32) -> Result<(), Trouble> {
        let mut rest = boundaries;
        let mut sequence = first_sequence;
        let mut done = 0;
        loop {
            let progress = self.link.write(batch, done, rest);
            let written = match progress {
                Progress::All => batch.len(),
                Progress::Broken { written } => written,
            };
            // A message of which nothing was written is sent again, any other counts as sent.
            while let Some((next, after)) = rest.split_first()
                && done < written
            {
                self.count(next, next.end - done);
                done = next.end;
                sequence = next.next_sequence;
                rest = after;
            }
            if matches!(progress, Progress::All) {
                self.link.works();
                return Ok(());
            }
            self.connect(sequence)?;
        }
    }

    fn count(&mut self, message: &Boundary, bytes: usize) {
        self.tally.messages += 1;
        self.tally.bytes += bytes as u64;
        if message.is_copy {
            self.tally.duplicated_messages += 1;
            self.tally.duplicated_records += message.weight.records;
        } else {
            self.tally.sent.add(&message.weight);
        }
    }

    /// Makes a connection and sends the templates, as if the message numbered `sequence` were next.
    fn connect(&mut self, sequence: u32) -> Result<(), Trouble> {
        loop {
            self.link.connect()?;
            let message = self.exporter.templates(Templates::All, sequence, self.clock.now_ms())?;
            let whole = [Boundary {
                end: message.len(),
                next_sequence: sequence,
                weight: Weight::default(),
                is_copy: false,
            }];
            let length = message.len();
            match self.link.write(message, 0, &whole) {
                Progress::Broken { written: 0 } => {}
                // It may also have gone out in full before the receiver asked us to stop.
                Progress::Broken { .. } => self.count_templates(length),
                Progress::All => {
                    self.count_templates(length);
                    return Ok(());
                }
            }
        }
    }

    fn count_templates(&mut self, bytes: usize) {
        self.tally.messages += 1;
        self.tally.bytes += bytes as u64;
    }

    /// Closes our side and waits until the receiver closes its side: then it has read everything.
    fn close(&mut self, announce: bool) -> Result<(), Trouble> {
        let mut announce = announce;
        for _ in 0..CLOSING_ATTEMPTS {
            if !self.link.is_open() {
                let sequence = self.exporter.sequence();
                self.connect(sequence)?;
            }
            match self.link.close() {
                Closing::Clean if announce => announce = false,
                Closing::Clean => {
                    self.tally.closed_cleanly = true;
                    return Ok(());
                }
                Closing::Silent => return Ok(()),
                // What was under way may be lost; stating the end anew makes that visible.
                Closing::Broken => {}
            }
        }
        Ok(())
    }
}
