//! Takes messages from the network into the journal: one thread per stream. Finds message and set
//! boundaries and remembers templates; must never look into records and never read from TCP what the
//! journal cannot take.

mod allow;
mod bind;
mod boundaries;
mod connection;
mod tcp;
mod tls;
mod udp;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use allow::Allowed;
pub use bind::listen;
pub use tls::{Tls, TlsError, TlsPem};
pub use wire::{Refusal, WireCounters};

use crds::Transport;

use crate::journal::JournalWriter;

/// How long a connection may be silent after we have half-closed it before we hang up.
pub const SILENCE_AT_STOP: Duration = Duration::from_secs(2);
/// How long a planned stop may read on altogether.
pub const READ_ON_AT_STOP: Duration = Duration::from_secs(5);
/// How often a waiting thread looks whether it should stop.
const STOP_CHECK: Duration = Duration::from_millis(100);
/// A pause between two rounds while data flows: larger frames, fewer system calls.
const NAP: Duration = Duration::from_millis(1);

/// What a listener needs besides its journal.
pub struct ListenerOptions {
    /// Where to listen.
    pub address: SocketAddr,
    /// TCP or UDP.
    pub transport: Transport,
    /// Exporters that may send.
    pub allowed: Arc<Allowed>,
    /// TLS, for TCP.
    pub tls: Option<Arc<Tls>>,
    /// For the log: `dpi 0 fullflow`.
    pub label: String,
}

/// A socket that is bound: from here on exporters can connect.
pub enum Listener {
    /// Streams.
    Tcp(tcp::TcpListening),
    /// Datagrams.
    Udp(udp::UdpListening),
}

impl Listener {
    /// Binds the socket.
    pub fn bind(options: ListenerOptions) -> io::Result<Listener> {
        match options.transport {
            Transport::Tcp => tcp::TcpListening::bind(options).map(Listener::Tcp),
            Transport::Udp => udp::UdpListening::bind(options).map(Listener::Udp),
        }
    }

    /// The address that was bound, its port filled in.
    pub fn local_address(&self) -> SocketAddr {
        match self {
            Listener::Tcp(listening) => listening.local_address(),
            Listener::Udp(listening) => listening.local_address(),
        }
    }

    /// Receives until `stop` is set, then as long as a planned stop reads on.
    pub fn run(self, writer: JournalWriter, wire: Arc<WireCounters>, stop: &AtomicBool) {
        match self {
            Listener::Tcp(listening) => listening.run(writer, wire, stop),
            Listener::Udp(listening) => listening.run(writer, wire, stop),
        }
    }
}

fn stopping(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
