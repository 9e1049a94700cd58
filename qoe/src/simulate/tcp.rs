//! Sends over TCP, and goes on after a break: what had not been begun is sent on the new
//! connection, the message in flight and all before it count as sent.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::connection::{Clock, Fate, Tampering};
use super::exporter::{Exporter, Templates};
use super::options::Options;
use super::pace::Pace;
use super::report::Tally;

/// Messages are handed to the kernel in batches of about this many bytes.
const BATCH_BYTES: usize = 64 << 10;

/// How long a failed connection waits before the next attempt: doubled from the first to the second.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LAST_BACKOFF: Duration = Duration::from_secs(1);

/// How long the receiver may take to close after we did.
const CLOSING_TIME: Duration = Duration::from_secs(10);

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

/// Why sending stopped.
enum Trouble {
    /// The network failed for longer than we wait.
    GaveUp(String),
    /// A message could not be made.
    Internal(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Trouble {
        Trouble::Internal(error)
    }
}

/// A message within a batch.
struct Boundary {
    /// Where it ends.
    end: usize,
    /// The sequence number of the message after it.
    next_sequence: u32,
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
                for _ in 0..copies {
                    batch.extend_from_slice(message.bytes);
                    boundaries.push(Boundary { end: batch.len(), next_sequence });
                }
                self.tally.messages += copies;
                self.tally.bytes += copies * message.bytes.len() as u64;
                match copies {
                    0 => {
                        self.tally.lost.add(&weight);
                        self.tally.lost_messages += 1;
                    }
                    1 => self.tally.sent.add(&weight),
                    _ => {
                        self.tally.sent.add(&weight);
                        self.tally.duplicated_messages += 1;
                        self.tally.duplicated_records += weight.records;
                    }
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
        let mut boundaries = boundaries.iter();
        let mut sequence = first_sequence;
        let mut done = 0;
        loop {
            match self.link.write(batch, done, boundaries.as_slice())? {
                Progress::All => {
                    self.link.works();
                    return Ok(());
                }
                Progress::Broken { written } => {
                    // A message of which nothing was written is sent again, any other was in flight.
                    while let Some(next) = boundaries.as_slice().first() {
                        if done >= written {
                            break;
                        }
                        done = next.end;
                        sequence = next.next_sequence;
                        boundaries.next();
                    }
                }
            }
            self.connect(sequence)?;
        }
    }

    /// Makes a connection and sends the templates, as if the message numbered `sequence` were next.
    fn connect(&mut self, sequence: u32) -> Result<(), Trouble> {
        loop {
            self.link.connect()?;
            let message = self.exporter.templates(Templates::Both, sequence, self.clock.now_ms())?;
            self.tally.messages += 1;
            self.tally.bytes += message.len() as u64;
            let whole = [Boundary { end: message.len(), next_sequence: sequence }];
            match self.link.write(message, 0, &whole)? {
                Progress::All => return Ok(()),
                Progress::Broken { .. } => {}
            }
        }
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

/// How far a write came.
enum Progress {
    All,
    /// The connection is gone; so many bytes of the batch had been handed to the kernel.
    Broken {
        written: usize,
    },
}

/// How a connection ended.
enum Closing {
    Clean,
    Silent,
    Broken,
}

/// A connection that can be made again.
struct Link {
    address: SocketAddr,
    patience: Duration,
    stream: Option<TcpStream>,
    connects: u64,
    backoff: Duration,
    /// When it broke, unless something was delivered since.
    failing_since: Option<Instant>,
}

impl Link {
    fn new(address: SocketAddr, patience: Duration) -> Link {
        Link { address, patience, stream: None, connects: 0, backoff: FIRST_BACKOFF, failing_since: None }
    }

    /// Says that a batch was delivered.
    fn works(&mut self) {
        self.backoff = FIRST_BACKOFF;
        self.failing_since = None;
    }

    fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    fn connect(&mut self) -> Result<(), Trouble> {
        let failing_since = *self.failing_since.get_or_insert_with(Instant::now);
        let mut again = self.connects > 0;
        let mut reason = "it closes every connection".to_owned();
        loop {
            // A connection that broke at once must not be made again in a tight loop.
            if again {
                if failing_since.elapsed() >= self.patience {
                    return Err(Trouble::GaveUp(format!("no connection to {}: {reason}", self.address)));
                }
                std::thread::sleep(self.backoff);
                self.backoff = (self.backoff * 2).min(LAST_BACKOFF);
            }
            match self.try_connect() {
                Ok(stream) => {
                    self.stream = Some(stream);
                    self.connects += 1;
                    return Ok(());
                }
                Err(error) => reason = error.to_string(),
            }
            again = true;
        }
    }

    fn try_connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// Writes `batch` from `start` on. When the receiver closes its side, which announces that it
    /// stops, the message begun is completed and our side closed: nothing is lost then.
    fn write(&mut self, batch: &[u8], start: usize, boundaries: &[Boundary]) -> Result<Progress, Trouble> {
        let Some(stream) = &mut self.stream else {
            return Ok(Progress::Broken { written: start });
        };
        let mut written = start;
        let mut until = batch.len();
        let mut asked_to_stop = false;
        let mut progress_at = Instant::now();
        let broken = loop {
            if !asked_to_stop && matches!(look_for_end(stream), End::Closed) {
                asked_to_stop = true;
                until = boundary_at_or_after(written, start, boundaries).min(batch.len());
            }
            if written >= until {
                break asked_to_stop;
            }
            match stream.write(batch.get(written..until).unwrap_or_default()) {
                Ok(0) => break true,
                Ok(count) => {
                    written += count;
                    progress_at = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if progress_at.elapsed() >= self.patience {
                        let reason = format!("{} takes nothing for {:?}", self.address, self.patience);
                        return Err(Trouble::GaveUp(reason));
                    }
                    wait(stream, asked_to_stop);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break true,
            }
        };
        if !broken {
            return Ok(Progress::All);
        }
        if let Some(stream) = self.stream.take()
            && asked_to_stop
            && written >= until
        {
            close_and_wait(stream);
        }
        Ok(Progress::Broken { written })
    }

    fn close(&mut self) -> Closing {
        let Some(mut stream) = self.stream.take() else {
            return Closing::Broken;
        };
        // If the receiver closed first, nothing says that it has read what we sent since.
        let first = look_for_end(&mut stream);
        match (first, close_and_wait(stream)) {
            (End::Closed, _) => Closing::Broken,
            (End::Open, closing) => closing,
        }
    }
}

/// Closes our side and reads until the receiver closes its side.
fn close_and_wait(mut stream: TcpStream) -> Closing {
    if stream.shutdown(Shutdown::Write).is_err()
        || stream.set_nonblocking(false).is_err()
        || stream.set_read_timeout(Some(CLOSING_TIME)).is_err()
    {
        return Closing::Broken;
    }
    let began = Instant::now();
    let mut ignored = [0; 256];
    while began.elapsed() < CLOSING_TIME {
        match stream.read(&mut ignored) {
            Ok(0) => return Closing::Clean,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Closing::Silent;
            }
            Err(_) => return Closing::Broken,
        }
    }
    Closing::Silent
}

/// The first message boundary that is not before `written`.
fn boundary_at_or_after(written: usize, start: usize, boundaries: &[Boundary]) -> usize {
    if written == start {
        return start;
    }
    for boundary in boundaries {
        if boundary.end >= written {
            return boundary.end;
        }
    }
    written
}

enum End {
    Open,
    Closed,
}

/// Whether the receiver has closed its side; what it says is ignored.
fn look_for_end(stream: &mut TcpStream) -> End {
    let mut ignored = [0; 256];
    match stream.read(&mut ignored) {
        Ok(0) => End::Closed,
        _ => End::Open,
    }
}

/// Waits until something can be written or, unless that has happened, the receiver closes.
fn wait(stream: &TcpStream, asked_to_stop: bool) {
    let mut events = PollFlags::POLLOUT;
    if !asked_to_stop {
        events |= PollFlags::POLLIN;
    }
    let mut descriptors = [PollFd::new(stream.as_fd(), events)];
    // An error shows at the next write; a time-out is as good as an event.
    let _ = nix::poll::poll(&mut descriptors, PollTimeout::from(200_u8));
}
