//! UDP: datagrams by `recvmmsg`, drained until the socket is empty, then a nap: waking for each
//! datagram costs more than receiving it. What the kernel dropped is read from the socket.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crds::Transport;
use ipfix::message::parse_header;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt,
};
use socket2::{Socket, Type};

use super::allow::AllowedNow;
use super::bind::bind;
use super::{ListenerOptions, NAP, Refusal, STOP_CHECK, WireCounters, stopping};
use crate::journal::{JournalWriter, Kind};
use crate::sessions::{Messages, Peer};

/// Datagrams taken by one system call.
const BATCH: usize = 128;
const MAX_DATAGRAM: usize = 65_535;
const MAX_SESSIONS: usize = 4096;
/// A frame is closed when it has this many bytes.
const FRAME_BYTES: usize = 256 << 10;
/// What one batch may take in the journal at most: its datagrams, a session opened for each, padding.
const ROOM_FOR_BATCH: usize = 2 << 20;
const RECEIVE_BUFFER: usize = 32 << 20;
/// How long a planned stop reads on at most while datagrams keep coming.
const DRAIN_AT_STOP: Duration = Duration::from_secs(1);
/// When all places are taken, an exporter that was silent for so long gives its own to a new one.
const IDLE_SESSION_US: u64 = 60 * 1_000_000;
/// How often such exporters are looked for: a flood of new addresses must not make us search for each.
const EVICTION_INTERVAL_US: u64 = 1_000_000;

/// A bound UDP socket.
pub struct UdpListening {
    socket: Socket,
    address: SocketAddr,
    options: ListenerOptions,
}

struct Server<'a> {
    writer: JournalWriter,
    wire: Arc<WireCounters>,
    options: &'a ListenerOptions,
    allowed: AllowedNow,
    sessions: HashMap<SocketAddr, u64>,
    /// When idle sessions may be looked for again, microseconds.
    next_eviction_us: u64,
    /// Length-prefixed datagrams of this batch, by session.
    batch: BTreeMap<u64, Gathered>,
    gathered_bytes: usize,
}

struct Gathered {
    peer: SocketAddr,
    datagrams: Vec<u8>,
    count: u32,
}

impl UdpListening {
    /// Binds the socket with as large a receive buffer as the kernel grants.
    pub fn bind(options: ListenerOptions) -> io::Result<UdpListening> {
        let socket = bind(options.address, Type::DGRAM, |socket| {
            // Beyond net.core.rmem_max where we may, within it where we may not.
            if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
                socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
            }
            Ok(setsockopt(socket, sockopt::RxqOvfl, &1)?)
        })?;
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(UdpListening { socket, address, options })
    }

    /// The bound address.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Receives until `stop` is set and the socket is empty.
    pub fn run(self, writer: JournalWriter, wire: Arc<WireCounters>, stop: &AtomicBool) {
        let sessions = writer
            .sessions
            .iter()
            .filter(|(_, session)| session.peer.transport == Transport::Udp)
            .map(|(id, session)| (session.peer.address, id))
            .collect();
        let mut server = Server {
            writer,
            wire,
            options: &self.options,
            allowed: self.options.allowed.now(),
            sessions,
            next_eviction_us: 0,
            batch: BTreeMap::new(),
            gathered_bytes: 0,
        };
        let ended = receive(&mut server, &self.socket, stop);
        server.wire.settle();
        if let Err(error) = ended {
            tracing::error!(stream = %self.options.label, %error, "the listener has stopped: restart the receiver");
        }
    }
}

fn receive(server: &mut Server<'_>, socket: &Socket, stop: &AtomicBool) -> io::Result<()> {
    let mut memory = vec![0u8; BATCH * MAX_DATAGRAM];
    let timeout = PollTimeout::try_from(STOP_CHECK).unwrap_or(PollTimeout::ZERO);
    let mut stop_at: Option<Instant> = None;
    loop {
        if stopping(stop) {
            // What is in the socket still counts; what goes on coming must not keep us.
            let deadline = *stop_at.get_or_insert_with(|| Instant::now() + DRAIN_AT_STOP);
            if Instant::now() >= deadline {
                return Ok(());
            }
        }
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if stop_at.is_some() => return Ok(()),
            Ok(0) => server.idle(),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {
                // Naps let datagrams gather; the loop ends when a call brings less than it could.
                while take_batch(server, socket, &mut memory) == BATCH && !stopping(stop) {}
                std::thread::sleep(NAP);
            }
        }
    }
}

fn take_batch(server: &mut Server<'_>, socket: &Socket, memory: &mut [u8]) -> usize {
    let mut slices: Vec<[IoSliceMut<'_>; 1]> =
        memory.chunks_exact_mut(MAX_DATAGRAM).map(|slot| [IoSliceMut::new(slot)]).collect();
    // Made anew each time: the kernel shortens the room for control messages to what it has used, and
    // would never find room for its count of drops again.
    let mut headers: MultiHeaders<SockaddrStorage> =
        MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(u32)));
    let received =
        recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None);
    let results = match received {
        Ok(results) => results,
        // ECONNREFUSED: an ICMP error of an earlier answer; nothing was received and nothing is lost.
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return 0,
        Err(error) => {
            if crate::log_limit::allow("recvmmsg") {
                tracing::warn!(stream = %server.options.label, %error, "datagrams cannot be received: it is tried again");
            }
            std::thread::sleep(STOP_CHECK);
            return 0;
        }
    };
    let mut taken = 0;
    server.allowed = server.options.allowed.now();
    for message in results {
        taken += 1;
        if let Ok(mut controls) = message.cmsgs()
            && let Some(ControlMessageOwned::RxqOvfl(drops)) =
                controls.find(|control| matches!(control, ControlMessageOwned::RxqOvfl(_)))
        {
            server.wire.set_kernel_drops(u64::from(drops));
        }
        let Some(peer) = message.address.as_ref().and_then(socket_address) else { continue };
        // An empty datagram has no slice.
        server.sort(peer, message.iovs().next().unwrap_or_default());
    }
    server.journal();
    server.wire.settle();
    taken
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::new(v6.ip().to_canonical(), v6.port()))
}

impl Server<'_> {
    /// Puts a datagram into the frame of its session, or refuses it.
    fn sort(&mut self, peer: SocketAddr, datagram: &[u8]) {
        self.wire.arrived(1);
        let label = self.options.label.as_str();
        if !self.allowed.allows(peer.ip()) {
            self.wire.refused(Refusal::NotAllowed, label, peer.ip(), &"not in allowFrom");
            return;
        }
        let length = match parse_header(datagram) {
            Ok(header) => header.length,
            Err(error) => {
                self.wire.refused(Refusal::of_header(&error), label, peer.ip(), &error);
                return;
            }
        };
        let Some(message) = datagram.get(..length as usize) else {
            let detail = format!("{} of {length} bytes", datagram.len());
            self.wire.refused(Refusal::CutOff, label, peer.ip(), &detail);
            return;
        };
        if self.gathered_bytes > FRAME_BYTES {
            self.journal();
        }
        if !self.writer.has_room(ROOM_FOR_BATCH) {
            self.wire.refused(Refusal::JournalFull, label, peer.ip(), &"the journal's quota is used up");
            return;
        }
        let Some(session) = self.session(peer) else {
            self.wire.refused(
                Refusal::TooManySessions,
                label,
                peer.ip(),
                &format!("{MAX_SESSIONS} exporters"),
            );
            return;
        };
        let gathered =
            self.batch.entry(session).or_insert_with(|| Gathered { peer, datagrams: Vec::new(), count: 0 });
        gathered.datagrams.extend_from_slice(&length.to_le_bytes());
        gathered.datagrams.extend_from_slice(message);
        gathered.count += 1;
        self.gathered_bytes += message.len();
    }

    /// Nothing comes.
    fn idle(&mut self) {
        self.writer.close_ended_sessions();
    }

    /// Appends one frame for each session of the batch.
    fn journal(&mut self) {
        for (session, gathered) in &self.batch {
            if gathered.count == 0 {
                continue;
            }
            let (messages, peer) = (u64::from(gathered.count), gathered.peer.ip());
            let label = &self.options.label;
            if !self.writer.has_room(gathered.datagrams.len()) {
                self.wire.refused_messages(messages, Refusal::JournalFull, label, peer, &"no room");
                continue;
            }
            let arrival = self.writer.next_arrival();
            self.writer.sessions.touch(*session, arrival);
            for message in Messages::of(Kind::Datagrams, &gathered.datagrams) {
                let outcome = self.writer.sessions.learn(*session, &message, arrival);
                self.wire.templates_refused(&outcome.refused, label, peer);
            }
            let payload: [&[u8]; 1] = [&gathered.datagrams];
            if self.writer.append(Kind::Datagrams, *session, gathered.count, arrival, &payload).is_some() {
                self.wire.journaled(messages, gathered.datagrams.len() as u64);
            } else {
                // The disk has failed, and we were stopped before it worked again.
                let detail = "the journal cannot be written";
                self.wire.refused_messages(messages, Refusal::JournalFull, label, peer, &detail);
            }
        }
        self.gathered_bytes = 0;
        // Keep the memory of the busiest exporters, forget the rest.
        self.batch.retain(|_, gathered| gathered.count > 0 && self.sessions.len() < 64);
        for gathered in self.batch.values_mut() {
            gathered.datagrams.clear();
            gathered.count = 0;
        }
    }

    fn session(&mut self, peer: SocketAddr) -> Option<u64> {
        if let Some(session) = self.sessions.get(&peer) {
            return Some(*session);
        }
        if self.sessions.len() >= MAX_SESSIONS {
            self.evict_idle();
        }
        if self.sessions.len() >= MAX_SESSIONS {
            return None;
        }
        let session = self.writer.open_session(&Peer { address: peer, transport: Transport::Udp })?;
        self.sessions.insert(peer, session);
        Some(session)
    }

    fn evict_idle(&mut self) {
        let now = self.writer.next_arrival();
        if now < self.next_eviction_us {
            return;
        }
        self.next_eviction_us = now + EVICTION_INTERVAL_US;
        // Whoever is in this batch is not idle.
        self.journal();
        // In order of their numbers.
        let idle: Vec<u64> = self
            .writer
            .sessions
            .iter()
            .filter(|(_, session)| now.saturating_sub(session.last_seen_us) > IDLE_SESSION_US)
            .map(|(id, _)| id)
            .collect();
        for id in &idle {
            self.writer.close_session(*id);
        }
        self.sessions.retain(|_, session| idle.binary_search(session).is_err());
    }
}
