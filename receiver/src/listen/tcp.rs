//! TCP: one thread serves all connections of a stream. A connection is read only when the journal
//! has room, so a full journal holds the exporter back instead of losing anything.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crds::Transport;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{SockRef, Type};

use super::allow::AllowedNow;
use super::bind::bind;
use super::boundaries::find_messages;
use super::connection::{Connection, Received};
use super::tls::HANDSHAKE_WITHIN;
use super::{
    ListenerOptions, NAP, READ_ON_AT_STOP, Refusal, SILENCE_AT_STOP, STOP_CHECK, WireCounters, stopping,
};
use crate::journal::{JournalWriter, Kind};
use crate::sessions::{Messages, Peer};

const MAX_CONNECTIONS: usize = 1024;
/// Bytes read at a time; the largest frame is this much and one unfinished message.
const READ_BYTES: usize = 256 << 10;
const MAX_MESSAGE: usize = 65_535;
/// What one read may take in the journal at most: its messages, a session opened, padding.
const ROOM_FOR_READ: usize = READ_BYTES + MAX_MESSAGE + 4 * crate::journal::frame::ALIGNMENT;
const RECEIVE_BUFFER: usize = 4 << 20;
/// When there are too many connections, one that is silent for so long and has never sent a message
/// gives its place to a new one.
const SILENT_STRANGER: Duration = Duration::from_secs(10);
const LISTENER: Token = Token(0);

/// A bound TCP socket.
pub struct TcpListening {
    socket: TcpListener,
    address: SocketAddr,
    options: ListenerOptions,
}

/// What a read has brought.
enum Step {
    /// There may be more.
    More,
    /// Nothing more for now.
    Drained,
    /// The connection is to be closed.
    Close,
}

struct Server<'a> {
    writer: JournalWriter,
    wire: Arc<WireCounters>,
    options: &'a ListenerOptions,
    connections: BTreeMap<usize, Connection>,
    /// Connections that may have data, in turn.
    ready: VecDeque<usize>,
    next_token: usize,
    /// An unfinished message, and behind it what is read.
    buffer: Vec<u8>,
    /// What is read from a connection with TLS; empty on a listener without.
    cipher: Vec<u8>,
    /// Connections that may be in their handshake, the oldest first.
    handshakes: VecDeque<usize>,
    allowed: AllowedNow,
    /// Connections may wait that could not be accepted; the poll does not tell again.
    accept_again: bool,
}

impl TcpListening {
    /// Binds and listens.
    pub fn bind(options: ListenerOptions) -> io::Result<TcpListening> {
        let socket = bind(options.address, Type::STREAM, |socket| {
            socket.set_reuse_address(true)?;
            // Inherited by accepted connections; must be set before listen to take effect.
            socket.set_recv_buffer_size(RECEIVE_BUFFER)
        })?;
        socket.listen(1024)?;
        let socket = TcpListener::from_std(socket.into());
        let address = socket.local_addr()?;
        Ok(TcpListening { socket, address, options })
    }

    /// The bound address.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is set and the connections have ended.
    pub fn run(self, writer: JournalWriter, wire: Arc<WireCounters>, stop: &AtomicBool) {
        let TcpListening { socket, options, .. } = self;
        let mut server = Server {
            writer,
            wire,
            options: &options,
            connections: BTreeMap::new(),
            ready: VecDeque::new(),
            next_token: 1,
            buffer: vec![0; MAX_MESSAGE + READ_BYTES],
            cipher: if options.tls.is_some() { vec![0; READ_BYTES] } else { Vec::new() },
            handshakes: VecDeque::new(),
            allowed: options.allowed.now(),
            accept_again: false,
        };
        if let Err(error) = serve(&mut server, socket, stop) {
            tracing::error!(stream = %options.label, %error, "the listener has stopped: restart the receiver");
        }
    }
}

fn serve(server: &mut Server<'_>, mut socket: TcpListener, stop: &AtomicBool) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    poll.registry().register(&mut socket, LISTENER, Interest::READABLE)?;
    while !stopping(stop) {
        server.round(&mut poll, &mut events, Some(&socket))?;
    }
    server.accept(&socket, &poll);
    // Closed before anybody is told that we stop: who then connects again must be refused, not left
    // to send to a connection that nobody will accept.
    drop(socket);
    server.half_close();
    let begun = Instant::now();
    while begun.elapsed() < READ_ON_AT_STOP && server.somebody_still_sends() {
        server.round(&mut poll, &mut events, None)?;
    }
    let left: Vec<usize> = server.connections.keys().copied().collect();
    for token in left {
        server.close(token);
    }
    server.wire.settle();
    Ok(())
}

impl Server<'_> {
    fn round(
        &mut self,
        poll: &mut Poll,
        events: &mut Events,
        socket: Option<&TcpListener>,
    ) -> io::Result<()> {
        let timeout = if self.ready.is_empty() { STOP_CHECK } else { Duration::ZERO };
        match poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        let mut accept = std::mem::take(&mut self.accept_again);
        for event in events.iter() {
            if event.token() == LISTENER {
                accept = true;
            } else if !self.ready.contains(&event.token().0) {
                self.ready.push_back(event.token().0);
            }
        }
        if let Some(socket) = socket.filter(|_| accept) {
            self.accept(socket, poll);
        }
        self.writer.close_ended_sessions();
        self.hang_up_on_the_forbidden();
        self.wire.settle();
        if !self.ready.is_empty() && !self.writer.has_room(ROOM_FOR_READ) {
            std::thread::sleep(STOP_CHECK);
            return Ok(());
        }
        let mut filled = false;
        for _ in 0..self.ready.len() {
            let Some(token) = self.ready.pop_front() else { break };
            match self.read(token) {
                Step::More => {
                    filled = true;
                    self.ready.push_back(token);
                }
                Step::Drained => {}
                Step::Close => self.close(token),
            }
        }
        // Not while a full journal keeps us from reading: that is not the exporter's fault.
        self.hang_up_on_late_handshakes();
        self.wire.settle();
        if !events.is_empty() && !filled {
            std::thread::sleep(NAP);
        }
        Ok(())
    }

    fn accept(&mut self, socket: &TcpListener, poll: &Poll) {
        loop {
            let (stream, peer) = match socket.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // Out of descriptors, or the peer has gone again.
                    self.accept_again = true;
                    self.not_accepted(&error);
                    return;
                }
            };
            // An IPv4 exporter is the same one whether the socket is bound to `::` or not.
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            let refusal = if !self.allowed.allows(peer.ip()) {
                Some(Refusal::NotAllowed)
            } else if self.connections.len() >= MAX_CONNECTIONS && !self.hang_up_on_the_silent() {
                Some(Refusal::TooManyConnections)
            } else {
                None
            };
            if let Some(refusal) = refusal {
                self.wire.arrived(1);
                self.wire.refused(refusal, &self.options.label, peer.ip(), &"connection closed");
                continue;
            }
            if let Err(error) = self.take(stream, peer, poll) {
                self.not_accepted(&error);
            }
        }
    }

    fn take(&mut self, mut stream: TcpStream, peer: SocketAddr, poll: &Poll) -> io::Result<()> {
        SockRef::from(&stream).set_keepalive(true)?;
        let token = self.next_token;
        self.next_token += 1;
        let (tls, interest) = match &self.options.tls {
            None => (None, Interest::READABLE),
            // The handshake sends as well, and the socket may not take it at once.
            Some(tls) => {
                let session = tls.accept().map_err(io::Error::other)?;
                self.handshakes.push_back(token);
                (Some(Box::new(session)), Interest::READABLE | Interest::WRITABLE)
            }
        };
        poll.registry().register(&mut stream, Token(token), interest)?;
        let connection = Connection::new(stream, peer, tls);
        self.connections.insert(token, connection);
        self.wire.connection(true);
        self.ready.push_back(token);
        Ok(())
    }

    fn not_accepted(&self, error: &io::Error) {
        if crate::log_limit::allow("accept") {
            tracing::warn!(stream = %self.options.label, %error, "a connection could not be accepted");
        }
    }

    /// Makes room for a connection by closing the one that has been silent for longest without ever
    /// having sent a message; false if there is none.
    fn hang_up_on_the_silent(&mut self) -> bool {
        let silent = self
            .connections
            .iter()
            .filter(|(_, connection)| {
                connection.session.is_none() && connection.last_read.elapsed() > SILENT_STRANGER
            })
            .min_by_key(|(_, connection)| connection.last_read)
            .map(|(token, _)| *token);
        if let Some(token) = silent {
            self.close(token);
        }
        silent.is_some()
    }

    /// Closes connections of exporters that may not send any more.
    fn hang_up_on_the_forbidden(&mut self) {
        let allowed = self.options.allowed.now();
        if allowed.is(&self.allowed) {
            return;
        }
        self.allowed = allowed;
        let forbidden: Vec<usize> = self
            .connections
            .iter()
            .filter(|(_, connection)| !self.allowed.allows(connection.peer.ip()))
            .map(|(token, _)| *token)
            .collect();
        for token in forbidden {
            self.refuse(token, Refusal::NotAllowed, "no longer in allowFrom, connection closed");
        }
    }

    /// Closes connections that do not get on with their handshake.
    fn hang_up_on_late_handshakes(&mut self) {
        while let Some(token) = self.handshakes.front().copied() {
            let session = self.connections.get(&token).and_then(|connection| connection.tls.as_ref());
            match session {
                Some(tls) if tls.is_late() => {
                    let detail = format!("no TLS handshake within {} s", HANDSHAKE_WITHIN.as_secs());
                    self.refuse(token, Refusal::TlsHandshake, &detail);
                }
                // Those behind it have begun later.
                Some(tls) if tls.is_handshaking() => return,
                _ => {}
            }
            self.handshakes.pop_front();
        }
    }

    fn refuse(&mut self, token: usize, refusal: Refusal, detail: &str) {
        let Some(connection) = self.connections.get(&token) else { return };
        self.wire.arrived(1);
        self.wire.refused(refusal, &self.options.label, connection.peer.ip(), &detail);
        self.close(token);
    }

    /// Reads once, journals the whole messages, keeps the rest.
    fn read(&mut self, token: usize) -> Step {
        let Some(connection) = self.connections.get_mut(&token) else { return Step::Drained };
        if !self.writer.has_room(ROOM_FOR_READ) {
            return Step::More;
        }
        let kept = connection.unfinished.len();
        let Some((begun, free)) = self.buffer.split_at_mut_checked(kept) else { return Step::Close };
        begun.copy_from_slice(&connection.unfinished);
        let Some(free) = free.get_mut(..READ_BYTES) else { return Step::Close };
        let read = match connection.receive(&mut self.cipher, free) {
            Received::Bytes(read) => read,
            Received::Nothing => return Step::More,
            Received::Drained => return Step::Drained,
            Received::End => return Step::Close,
            Received::Refused(refusal, detail) => {
                self.wire.arrived(1);
                self.wire.refused(refusal, &self.options.label, connection.peer.ip(), &detail);
                return Step::Close;
            }
        };
        let Some(received) = self.buffer.get(..kept + read) else { return Step::Close };
        let boundaries = find_messages(received);
        let (whole, rest) = received.split_at(boundaries.whole);
        if boundaries.messages > 0 {
            if connection.session.is_none() {
                let peer = Peer { address: connection.peer, transport: Transport::Tcp };
                connection.session = self.writer.open_session(&peer);
            }
            self.wire.arrived(u64::from(boundaries.messages));
            let journaled = connection.session.and_then(|session| {
                let of = (connection.peer, session);
                journal(&mut self.writer, &self.wire, self.options, of, whole, boundaries.messages)
            });
            if journaled.is_none() {
                // There was room; so the disk has failed, and we were stopped before it worked again.
                let (messages, peer) = (u64::from(boundaries.messages), connection.peer.ip());
                let detail = "the journal cannot be written";
                self.wire.refused_messages(
                    messages,
                    Refusal::JournalFull,
                    &self.options.label,
                    peer,
                    &detail,
                );
                return Step::Close;
            }
        }
        if let Some(error) = boundaries.error {
            self.wire.arrived(1);
            self.wire.refused(error.0, &self.options.label, connection.peer.ip(), &error.1);
            connection.unfinished.clear();
            return Step::Close;
        }
        connection.keep(rest);
        Step::More
    }

    fn close(&mut self, token: usize) {
        let Some(mut connection) = self.connections.remove(&token) else { return };
        self.wire.connection(false);
        connection.say_goodbye();
        if !connection.unfinished.is_empty() {
            self.wire.arrived(1);
            let bytes = format!("{} bytes of an unfinished message", connection.unfinished.len());
            self.wire.refused(Refusal::CutOff, &self.options.label, connection.peer.ip(), &bytes);
        }
        if let Some(session) = connection.session {
            self.writer.close_session(session);
        }
    }

    fn half_close(&mut self) {
        for connection in self.connections.values_mut() {
            connection.half_close();
        }
        self.ready = self.connections.keys().copied().collect();
    }

    fn somebody_still_sends(&self) -> bool {
        self.connections.values().any(|connection| connection.last_read.elapsed() < SILENCE_AT_STOP)
    }
}

/// Appends whole messages; `None` if the process stops before it can.
fn journal(
    writer: &mut JournalWriter,
    wire: &WireCounters,
    options: &ListenerOptions,
    (peer, session): (SocketAddr, u64),
    messages: &[u8],
    count: u32,
) -> Option<()> {
    let arrival = writer.next_arrival();
    writer.sessions.touch(session, arrival);
    for message in Messages::of(Kind::Stream, messages) {
        let outcome = writer.sessions.learn(session, &message, arrival);
        wire.templates_refused(&outcome.refused, &options.label, peer.ip());
    }
    writer.append(Kind::Stream, session, count, arrival, &[messages])?;
    wire.journaled(u64::from(count), messages.len() as u64);
    Some(())
}
