//! A TCP connection that can be made again, and that notices when the receiver wants to stop.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::report::Weight;

/// How long a failed connection waits before the next attempt: doubled from the first to the second.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LAST_BACKOFF: Duration = Duration::from_secs(1);

/// How long the receiver may take to close after we did.
const CLOSING_TIME: Duration = Duration::from_secs(10);

/// Why sending stopped.
pub(super) enum Trouble {
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
pub(super) struct Boundary {
    /// Where it ends.
    pub(super) end: usize,
    /// The sequence number of the message after it.
    pub(super) next_sequence: u32,
    /// What it holds, for counting.
    pub(super) weight: Weight,
    /// Whether it was sent before.
    pub(super) is_copy: bool,
}

/// How far a write came.
pub(super) enum Progress {
    All,
    /// The connection is gone; so many bytes of the batch had been handed to the kernel.
    Broken {
        written: usize,
    },
}

/// How a connection ended.
pub(super) enum Closing {
    Clean,
    Silent,
    Broken,
}

/// A connection that can be made again.
pub(super) struct Link {
    address: SocketAddr,
    patience: Duration,
    stream: Option<TcpStream>,
    pub(super) connects: u64,
    backoff: Duration,
    /// When it broke, unless something was delivered since.
    failing_since: Option<Instant>,
    /// Why it broke.
    reason: String,
}

impl Link {
    pub(super) fn new(address: SocketAddr, patience: Duration) -> Link {
        Link {
            address,
            patience,
            stream: None,
            connects: 0,
            backoff: FIRST_BACKOFF,
            failing_since: None,
            reason: String::new(),
        }
    }

    /// Says that a batch was delivered.
    pub(super) fn works(&mut self) {
        self.backoff = FIRST_BACKOFF;
        self.failing_since = None;
    }

    pub(super) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    pub(super) fn connect(&mut self) -> Result<(), Trouble> {
        let failing_since = *self.failing_since.get_or_insert_with(Instant::now);
        let mut again = self.connects > 0;
        loop {
            // A connection that broke at once must not be made again in a tight loop.
            if again {
                if failing_since.elapsed() >= self.patience {
                    return Err(Trouble::GaveUp(format!("gave up on {}: {}", self.address, self.reason)));
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
                Err(error) => self.reason = error.to_string(),
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
    pub(super) fn write(&mut self, batch: &[u8], start: usize, boundaries: &[Boundary]) -> Progress {
        let Some(stream) = &mut self.stream else {
            return Progress::Broken { written: start };
        };
        let mut written = start;
        let mut until = batch.len();
        let mut asked_to_stop = false;
        let mut progress_at = Instant::now();
        let broken = loop {
            if !asked_to_stop && matches!(look_for_end(stream), End::Closed) {
                asked_to_stop = true;
                self.reason = "it closes the connection".to_owned();
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
                        self.failing_since.get_or_insert(progress_at);
                        self.reason = format!("it takes nothing for {:?}", self.patience);
                        break true;
                    }
                    wait(stream, asked_to_stop);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.reason = error.to_string();
                    break true;
                }
            }
        };
        if !broken {
            return Progress::All;
        }
        if let Some(stream) = self.stream.take()
            && asked_to_stop
            && written >= until
        {
            close_and_wait(stream);
        }
        Progress::Broken { written }
    }

    pub(super) fn close(&mut self) -> Closing {
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
