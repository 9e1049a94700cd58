//! Replays a pool: as fast as the receiver takes it, or so many records a second. What is sent was summed up before,
//! so that sending costs the other core little.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Context;
use crds::Transport;
use receiver::insert::now_us;
use serde::{Deserialize, Serialize};

use crate::pool::{Pool, Portion};
use crate::sums::Sums;

/// Messages are handed to the kernel in pieces of about so many bytes.
const PIECE: usize = 128 << 10;
/// Over UDP templates come again after so many messages.
const TEMPLATES_EVERY: u64 = 1_000;
/// How long we wait for the receiver to close after we have.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest nap of a paced sender.
const NAP: Duration = Duration::from_millis(1);

/// What was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sent {
    /// Messages, those with templates included.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Sums over all records.
    #[serde(flatten)]
    pub sums: Sums,
}

/// How it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Where to.
    pub to: SocketAddr,
    /// TCP or UDP.
    pub transport: Transport,
    /// Records a second; 0: as fast as it goes.
    pub rate: u64,
}

struct Replay {
    pool: Pool,
    way: Way,
    begun: Instant,
    records: u64,
    messages: u64,
    bytes: u64,
}

/// Sends at least so many records, up to a whole message.
///
/// # Errors
/// The network, or a pool that cannot be decoded.
pub fn send(pool: Pool, way: Way, records: u64) -> anyhow::Result<Sent> {
    let portion = pool.portion(records);
    let sums = pool.sums(portion)?;
    let begun = Instant::now();
    let mut replay = Replay { pool, way, begun, records: 0, messages: 0, bytes: 0 };
    match way.transport {
        Transport::Tcp => replay.over_tcp(portion)?,
        Transport::Udp => replay.over_udp(portion)?,
    }
    let seconds = replay.begun.elapsed().as_secs_f64();
    Ok(Sent { messages: replay.messages, bytes: replay.bytes, seconds, sums })
}

impl Replay {
    fn over_tcp(&mut self, portion: Portion) -> anyhow::Result<()> {
        let to = self.way.to;
        let mut connection = TcpStream::connect(to).with_context(|| format!("nobody listens on {to}"))?;
        self.begun = Instant::now();
        let templates = self.pool.templates.clone();
        self.stamp(templates.clone(), 1);
        connection.write_all(self.pool.bytes.get(templates).unwrap_or_default())?;
        let messages = self.pool.messages.len();
        for whole in 0..=portion.whole {
            let last = if whole == portion.whole { portion.messages } else { messages };
            let mut next = 0;
            while next < last {
                let (piece, after) = self.piece(next, last);
                connection.write_all(self.pool.bytes.get(piece).unwrap_or_default())?;
                next = after;
            }
        }
        connection.shutdown(Shutdown::Write)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        // Nothing comes but the end, once everything was read; who hangs up sooner has what it wants.
        let _ = connection.read(&mut [0; 16]);
        Ok(())
    }

    fn over_udp(&mut self, portion: Portion) -> anyhow::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(self.way.to)?;
        self.begun = Instant::now();
        let mut data = 0;
        for whole in 0..=portion.whole {
            let last = if whole == portion.whole { portion.messages } else { self.pool.messages.len() };
            for number in 0..last {
                if data % TEMPLATES_EVERY == 0 {
                    self.templates(&socket)?;
                }
                data += 1;
                let (piece, _) = self.piece(number, number + 1);
                socket.send(self.pool.bytes.get(piece).unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// Each message with templates is a datagram.
    fn templates(&mut self, socket: &UdpSocket) -> anyhow::Result<()> {
        let mut offset = 0;
        while offset < self.pool.templates.end {
            let length = self.length(offset);
            self.stamp(offset..offset + length, 1);
            socket.send(self.pool.bytes.get(offset..offset + length).unwrap_or_default())?;
            offset += length;
        }
        Ok(())
    }

    fn length(&self, offset: usize) -> usize {
        let bytes = self.pool.bytes.get(offset + 2..offset + 4).and_then(|bytes| bytes.first_chunk::<2>());
        usize::from(bytes.map_or(u16::MAX, |bytes| u16::from_be_bytes(*bytes)))
    }

    /// The next messages, with the right numbers in their headers, and the number of the message after them. Waits
    /// until they are due.
    fn piece(&mut self, first: usize, last: usize) -> (Range<usize>, usize) {
        let due = self.wait_until_due();
        let begin = self.pool.messages.get(first).map_or(0, |message| message.place.start);
        let (mut end, mut next, mut records) = (begin, first, 0);
        let now = now();
        while next < last && end - begin < PIECE && records < due {
            let Some(message) = self.pool.messages.get(next) else { break };
            let in_message = u64::from(message.records);
            let place = message.place.clone();
            stamp_one(&mut self.pool.bytes, place.start, now, self.records);
            self.records += in_message;
            records += in_message;
            end = place.end;
            next += 1;
        }
        self.messages += (next - first) as u64;
        self.bytes += (end - begin) as u64;
        (begin..end, next)
    }

    fn wait_until_due(&self) -> u64 {
        if self.way.rate == 0 {
            return u64::MAX;
        }
        loop {
            let due = (self.begun.elapsed().as_secs_f64() * self.way.rate as f64) as u64;
            if due > self.records {
                return due - self.records;
            }
            let seconds = (self.records + 1 - due) as f64 / self.way.rate as f64;
            std::thread::sleep(Duration::from_secs_f64(seconds).min(NAP));
        }
    }

    /// Numbers the messages of a part of the pool that has no records.
    fn stamp(&mut self, place: Range<usize>, messages: u64) {
        let mut offset = place.start;
        while offset < place.end {
            let length = self.length(offset);
            stamp_one(&mut self.pool.bytes, offset, now(), self.records);
            offset += length;
        }
        self.messages += messages;
        self.bytes += place.len() as u64;
    }
}

/// Writes export time and sequence number into the header of an IPFIX message.
fn stamp_one(bytes: &mut [u8], offset: usize, export_time: u32, sequence: u64) {
    let numbers = [export_time, (sequence & 0xffff_ffff) as u32];
    if let Some(place) = bytes.get_mut(offset + 4..offset + 12) {
        place.copy_from_slice(numbers.map(u32::to_be_bytes).as_flattened());
    }
}

fn now() -> u32 {
    u32::try_from(now_us() / 1_000_000).unwrap_or(u32::MAX)
}
