//! Takes messages from a socket for a tier that has no listener of its own: as many at a time as are there, and a nap
//! when there are few, as the receiver does it.

use std::io::{IoSliceMut, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::bail;
use crds::Transport;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt};

use super::{Collected, Options, Stopwatch};
use crate::decoding::Decoding;
use crate::sums::Sums;

/// What is read from a connection at a time.
const READ_BYTES: usize = 256 << 10;
/// The longest message.
const MAX_MESSAGE: usize = 64 << 10;
/// Datagrams taken by one system call, and room for each: our sender's are shorter.
const BATCH: usize = 128;
const MAX_DATAGRAM: usize = 2_048;
const RECEIVE_BUFFER: usize = 32 << 20;
const NAP: Duration = Duration::from_millis(1);
/// After so much silence nothing more comes.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

/// A socket that listens.
pub enum Socket {
    /// For one connection.
    Tcp(TcpListener),
    /// Datagrams.
    Udp(UdpSocket),
}

impl Socket {
    /// Binds it.
    ///
    /// # Errors
    /// The address is taken.
    pub fn bind(transport: Transport, address: SocketAddr) -> anyhow::Result<Socket> {
        Ok(match transport {
            Transport::Tcp => Socket::Tcp(TcpListener::bind(address)?),
            Transport::Udp => {
                let socket = UdpSocket::bind(address)?;
                if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
                    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
                }
                Socket::Udp(socket)
            }
        })
    }

    fn address(&self) -> std::io::Result<SocketAddr> {
        match self {
            Socket::Tcp(socket) => socket.local_addr(),
            Socket::Udp(socket) => socket.local_addr(),
        }
    }
}

/// What a tier does with messages.
pub(crate) trait Work {
    /// Finds their sets.
    fn decoding(&mut self) -> &mut Decoding;
    /// Decodes what was found in the buffer, and goes on as far as the tier goes.
    fn decode(&mut self, buffer: &[u8], watch: &mut Stopwatch) -> anyhow::Result<()>;
    /// The end of it.
    fn finish(&mut self, watch: &mut Stopwatch) -> anyhow::Result<Sums>;
}

/// Receives for a tier until it has enough.
pub(super) fn run(
    options: &Options,
    mut work: impl Work,
    listening: impl FnOnce(SocketAddr),
) -> anyhow::Result<Collected> {
    let socket = Socket::bind(options.transport, options.listen)?;
    listening(socket.address()?);
    match socket {
        Socket::Tcp(listener) => {
            let (connection, _) = listener.accept()?;
            let mut watch = Stopwatch::start();
            stream(connection, options.records, &mut work, &mut watch)?;
            let sums = work.finish(&mut watch)?;
            Ok(watch.stop(sums))
        }
        Socket::Udp(socket) => datagrams(&socket, options.records, &mut work),
    }
}

fn stream(
    mut connection: TcpStream,
    records: u64,
    work: &mut impl Work,
    watch: &mut Stopwatch,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; READ_BYTES + MAX_MESSAGE];
    let mut kept = 0;
    while work.decoding().records < records {
        let read = connection.read(buffer.get_mut(kept..).unwrap_or_default())?;
        if read == 0 {
            break;
        }
        let filled = buffer.get(..kept + read).unwrap_or_default();
        let mut offset = 0;
        while let Some(length) = work.decoding().walk(filled, offset)? {
            offset += length;
        }
        work.decode(filled, watch)?;
        buffer.copy_within(offset..kept + read, 0);
        kept = kept + read - offset;
        if read < READ_BYTES / 2 {
            std::thread::sleep(NAP);
        }
    }
    Ok(())
}

fn datagrams(socket: &UdpSocket, records: u64, work: &mut impl Work) -> anyhow::Result<Collected> {
    let mut memory = vec![0; BATCH * MAX_DATAGRAM];
    let mut lengths = Vec::with_capacity(BATCH);
    let mut headers: MultiHeaders<SockaddrStorage> = MultiHeaders::preallocate(BATCH, None);
    let mut watch = None;
    let mut last = Instant::now();
    while work.decoding().records < records {
        lengths.clear();
        let mut slots: Vec<[IoSliceMut<'_>; 1]> =
            memory.chunks_exact_mut(MAX_DATAGRAM).map(|slot| [IoSliceMut::new(slot)]).collect();
        let received =
            recvmmsg(socket.as_raw_fd(), &mut headers, slots.iter_mut(), MsgFlags::MSG_DONTWAIT, None);
        match received {
            Ok(results) => lengths.extend(results.map(|datagram| datagram.bytes)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => bail!("datagrams cannot be received: {error}"),
        }
        if lengths.is_empty() {
            if watch.is_some() && last.elapsed() >= SILENCE {
                break;
            }
            std::thread::sleep(NAP);
            continue;
        }
        last = Instant::now();
        let watch = watch.get_or_insert_with(Stopwatch::start);
        for (slot, length) in lengths.iter().enumerate() {
            let begin = slot * MAX_DATAGRAM;
            let until = memory.get(..begin + length).unwrap_or_default();
            if work.decoding().walk(until, begin)?.is_none() {
                bail!("a datagram is cut off");
            }
        }
        work.decode(&memory, watch)?;
        if lengths.len() < BATCH {
            std::thread::sleep(NAP);
        }
    }
    let mut watch = watch.unwrap_or_else(Stopwatch::start);
    let sums = work.finish(&mut watch)?;
    Ok(watch.stop(sums))
}
