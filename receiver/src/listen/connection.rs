//! One TCP connection, with or without TLS. Without, bytes go straight to where messages are looked for.

use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use mio::net::TcpStream;

use super::Refusal;
use super::tls::TlsSession;

/// What a read has brought.
pub enum Received {
    /// So many bytes of messages.
    Bytes(usize),
    /// None yet, but there may be more.
    Nothing,
    /// Nothing more for now.
    Drained,
    /// The other end has closed.
    End,
    /// The connection is of no use.
    Refused(Refusal, String),
}

/// A connection and what is known of it.
pub struct Connection {
    stream: TcpStream,
    /// Its TLS.
    pub tls: Option<Box<TlsSession>>,
    /// The other end.
    pub peer: SocketAddr,
    /// Set by the first whole message: a port scan opens no session.
    pub session: Option<u64>,
    /// The beginning of a message whose rest has not come yet.
    pub unfinished: Vec<u8>,
    /// When something came for the last time.
    pub last_read: Instant,
}

impl Connection {
    /// One that was just accepted.
    pub fn new(stream: TcpStream, peer: SocketAddr, tls: Option<Box<TlsSession>>) -> Connection {
        Connection { stream, tls, peer, session: None, unfinished: Vec::new(), last_read: Instant::now() }
    }

    /// Reads once; with TLS through `cipher`.
    pub fn receive(&mut self, cipher: &mut [u8], free: &mut [u8]) -> Received {
        let received = match &mut self.tls {
            None => read(&mut self.stream, free),
            Some(tls) => tls.read(&mut self.stream, cipher, free),
        };
        if matches!(received, Received::Bytes(_)) {
            self.last_read = Instant::now();
        }
        received
    }

    /// Keeps the beginning of a message.
    pub fn keep(&mut self, unfinished: &[u8]) {
        self.unfinished.clear();
        self.unfinished.extend_from_slice(unfinished);
        if self.unfinished.is_empty() {
            self.unfinished.shrink_to(0);
        }
    }

    /// Says that we send nothing more, if there is a way to say so.
    pub fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.say_goodbye(&mut self.stream);
        }
    }

    /// Closes our side. An exporter that honours it sends what it has and closes its own; an error means that
    /// it has gone.
    pub fn half_close(&mut self) {
        self.last_read = Instant::now();
        self.say_goodbye();
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

fn read(stream: &mut TcpStream, free: &mut [u8]) -> Received {
    match stream.read(free) {
        Ok(0) => Received::End,
        Ok(read) => Received::Bytes(read),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Drained,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Received::Nothing,
        Err(_) => Received::End,
    }
}
