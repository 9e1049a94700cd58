//! The wire balance: what came, what the journal took, what was refused and why. In messages.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::intent_log::Wire;
use crate::journal::lock;

/// Why a message was not taken. The name is the label of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// NetFlow v5.
    NetflowV5,
    /// NetFlow v9 on a TCP connection, where its messages cannot be told apart.
    NetflowV9OverTcp,
    /// Neither IPFIX nor NetFlow v9.
    BadVersion,
    /// The header's length is impossible.
    BadLength,
    /// The datagram is shorter than its header says, or the connection ended inside a message.
    CutOff,
    /// The exporter is not in `allowFrom`.
    NotAllowed,
    /// The journal's quota is used up (UDP only; TCP is held back).
    JournalFull,
    /// Too many UDP exporters at a time.
    TooManySessions,
    /// A connection beyond the limit; counted once a connection.
    TooManyConnections,
    /// The handshake did not come to an end; counted once a connection, as are the next two.
    TlsHandshake,
    /// The exporter has no certificate, or one that the client CA has not signed.
    TlsClientCertificate,
    /// After the handshake something came that is not the exporter's.
    TlsBroken,
}

impl Refusal {
    /// The labels of all.
    pub const NAMES: [&'static str; 12] = [
        Refusal::NetflowV5.name(),
        Refusal::NetflowV9OverTcp.name(),
        Refusal::BadVersion.name(),
        Refusal::BadLength.name(),
        Refusal::CutOff.name(),
        Refusal::NotAllowed.name(),
        Refusal::JournalFull.name(),
        Refusal::TooManySessions.name(),
        Refusal::TooManyConnections.name(),
        Refusal::TlsHandshake.name(),
        Refusal::TlsClientCertificate.name(),
        Refusal::TlsBroken.name(),
    ];

    /// The counter's label.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::NetflowV5 => "netflow_v5",
            Refusal::NetflowV9OverTcp => "netflow_v9_over_tcp",
            Refusal::BadVersion => "bad_version",
            Refusal::BadLength => "bad_length",
            Refusal::CutOff => "cut_off",
            Refusal::NotAllowed => "not_allowed",
            Refusal::JournalFull => "journal_full",
            Refusal::TooManySessions => "too_many_sessions",
            Refusal::TooManyConnections => "too_many_connections",
            Refusal::TlsHandshake => "tls_handshake",
            Refusal::TlsClientCertificate => "tls_client_certificate",
            Refusal::TlsBroken => "tls_broken",
        }
    }

    /// The refusal for a header that cannot be used.
    pub fn of_header(error: &ipfix::message::HeaderError) -> Refusal {
        use ipfix::message::HeaderError;
        match error {
            HeaderError::NetflowV5 => Refusal::NetflowV5,
            HeaderError::BadVersion(_) => Refusal::BadVersion,
            HeaderError::BadLength(_) => Refusal::BadLength,
            HeaderError::Incomplete => Refusal::CutOff,
        }
    }
}

/// Counters of one listener, shared with metrics and status. What the listener counts shows when it
/// says so, at moments when every message that came is either journaled or refused.
#[derive(Default)]
pub struct WireCounters {
    open: Mutex<Counts>,
    settled: Mutex<Counts>,
    before: Wire,
    templates_refused: Mutex<BTreeMap<&'static str, u64>>,
    kernel_drops: AtomicU64,
    connections: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Clone, Default)]
struct Counts {
    arrived: u64,
    journaled: u64,
    refused: BTreeMap<&'static str, u64>,
}

impl WireCounters {
    /// Goes on from what an earlier life had counted.
    pub fn continued(before: Wire) -> WireCounters {
        WireCounters { before, ..WireCounters::default() }
    }

    /// Messages that the journal took.
    pub fn journaled(&self, messages: u64, bytes: u64) {
        lock(&self.open).journaled += messages;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Messages that came, whatever becomes of them.
    pub fn arrived(&self, messages: u64) {
        lock(&self.open).arrived += messages;
    }

    /// A message that was not taken. Logged at most once a second and reason.
    pub fn refused(&self, refusal: Refusal, label: &str, peer: IpAddr, detail: &dyn std::fmt::Display) {
        self.refused_messages(1, refusal, label, peer, detail);
    }

    /// Messages that were not taken for one reason.
    pub fn refused_messages(
        &self,
        messages: u64,
        refusal: Refusal,
        label: &str,
        peer: IpAddr,
        detail: &dyn std::fmt::Display,
    ) {
        *lock(&self.open).refused.entry(refusal.name()).or_default() += messages;
        if crate::log_limit::allow(refusal.name()) {
            tracing::warn!(stream = label, reason = refusal.name(), %peer, detail = %detail, "refused");
        }
    }

    /// Every message that came is accounted for now: shows what was counted.
    pub fn settle(&self) {
        let counts = lock(&self.open).clone();
        *lock(&self.settled) = counts;
    }

    /// Templates that were not learned, by reason.
    pub fn templates_refused(&self, refused: &BTreeMap<&'static str, u64>, label: &str, peer: IpAddr) {
        for (reason, count) in refused {
            *lock(&self.templates_refused).entry(reason).or_default() += count;
            if crate::log_limit::allow(reason) {
                tracing::warn!(stream = label, reason, %peer, count, "template refused");
            }
        }
    }

    /// Datagrams that the kernel dropped because its buffer was full, as the socket says: since it
    /// was opened.
    pub fn set_kernel_drops(&self, drops: u64) {
        self.kernel_drops.store(drops, Ordering::Relaxed);
    }

    /// A connection was opened (+1) or closed (-1).
    pub fn connection(&self, opened: bool) {
        if opened {
            self.connections.fetch_add(1, Ordering::Relaxed);
        } else {
            self.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Open connections.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Datagrams dropped by the kernel. They explain a part of the missing records and are never
    /// added to them.
    pub fn kernel_drops(&self) -> u64 {
        self.kernel_drops.load(Ordering::Relaxed)
    }

    /// Message bytes since the process began.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Templates refused, by reason.
    pub fn refused_templates(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.templates_refused).clone()
    }

    /// The balance, earlier lives included: arrived = journaled + refused.
    pub fn balance(&self) -> Wire {
        let counts = lock(&self.settled).clone();
        let mut wire = self.before.clone();
        wire.journaled += counts.journaled;
        wire.arrived += counts.arrived;
        for (reason, count) in counts.refused {
            *wire.refused.entry(reason.to_string()).or_default() += count;
        }
        wire
    }
}
