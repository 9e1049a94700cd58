//! What can be asked of the simulator.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

/// Records a second over UDP unless told otherwise: without a pace, a test of a receiver would
/// only measure how soon the kernel drops datagrams.
const DEFAULT_UDP_RATE: f64 = 100_000.0;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamKind {
    /// Sessions with octets, packets, host, login, protocol and round-trip times
    Fullflow,
    /// HTTP requests and names of encrypted connections; every fourth message holds responses, known by their session only (fields 2801 to 2803 are invented)
    Clickstream,
    /// GTP-C exchanges; beyond what is published: 3311 PGW's control TEID, 3316 IMSI, 3317 MSISDN, 3319 APN (invented)
    Gtpflow,
    /// Address translations, events 1 and 2 (the vendor's) as well as 4 and 5 (RFC 8158)
    Natflow,
    /// DNS answers; the vendor publishes no ids, these are invented: 3601 name, 3602 type, 3603 class, 3604 TTL, 3605 RDATA in base64
    Dnsflow,
}

impl StreamKind {
    /// As it is written on the command line, which is also the name of its table.
    pub(super) fn name(self) -> &'static str {
        match self {
            StreamKind::Fullflow => "fullflow",
            StreamKind::Clickstream => "clickstream",
            StreamKind::Gtpflow => "gtpflow",
            StreamKind::Natflow => "natflow",
            StreamKind::Dnsflow => "dnsflow",
        }
    }
}

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportKind {
    /// A connection that is made again when it breaks.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Be a DPI: send records over IPFIX.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What to send
    #[arg(long, value_enum, default_value = "fullflow")]
    pub stream: StreamKind,
    /// Where to send it
    #[arg(long, value_name = "HOST:PORT")]
    pub to: String,
    /// How to send it
    #[arg(long, value_enum, default_value = "tcp")]
    pub transport: TransportKind,
    /// How many records, all connections together
    #[arg(long)]
    pub records: u64,
    /// Records a second, all connections together; 0: as fast as possible [default: tcp 0, udp 100000]
    #[arg(long)]
    pub rate: Option<f64>,
    /// Decides everything that is random; runs with different seeds below 2^24 share no session ids
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Connections (udp: source ports), each with an observation domain of its own
    #[arg(long, default_value_t = 1)]
    pub connections: u32,
    /// Observation domain of the first connection; the others count up
    #[arg(long, default_value_t = 0)]
    pub domain: u32,
    /// Share of IPv6 records, 0 to 1
    #[arg(long, default_value_t = 0.2)]
    pub ipv6_share: f64,
    /// Permute the fields of the templates by this seed; absent: the vendor's order
    #[arg(long)]
    pub order_seed: Option<u64>,
    /// Number every K-th data message but do not send it
    #[arg(long, value_name = "K")]
    pub drop_every: Option<u64>,
    /// Send every K-th data message twice
    #[arg(long, value_name = "K")]
    pub duplicate_every: Option<u64>,
    /// Send every K-th data message after the one that follows it (udp only)
    #[arg(long, value_name = "K")]
    pub reorder_every: Option<u64>,
    /// Send the templates again after this many data messages (udp only)
    #[arg(long, value_name = "MESSAGES", default_value_t = 1_000)]
    pub template_every: u64,
    /// Seconds without progress after which to give up
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience: u64,
    /// At the end, connect once more and state the last sequence number, even if nothing broke (tcp only)
    #[arg(long)]
    pub announce_end: bool,
    /// Clock of the DPI in milliseconds since 1970; it then stands still [default: the real time]
    #[arg(long, value_name = "MILLISECONDS")]
    pub start_ms: Option<u64>,
    /// Number of subscribers
    #[arg(long, default_value_t = 100_000)]
    pub subscribers: u32,
    /// Number of hosts
    #[arg(long, default_value_t = 1_000_000)]
    pub hosts: u32,
}

impl Options {
    /// Checks the options and resolves the receiver's name.
    pub(super) fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        ensure!(self.connections >= 1, "--connections: expected at least 1, got 0");
        ensure!(
            (0.0..=1.0).contains(&self.ipv6_share),
            "--ipv6-share: expected 0 to 1, got {}",
            self.ipv6_share
        );
        ensure!(
            self.rate.is_none_or(|rate| rate >= 0.0 && rate.is_finite()),
            "--rate: expected 0 or more records a second"
        );
        ensure!((1..=1 << 22).contains(&self.subscribers), "--subscribers: expected 1 to {}", 1 << 22);
        ensure!((1..=1 << 22).contains(&self.hosts), "--hosts: expected 1 to {}", 1 << 22);
        for (name, every) in [
            ("--drop-every", self.drop_every),
            ("--duplicate-every", self.duplicate_every),
            ("--reorder-every", self.reorder_every),
            ("--template-every", Some(self.template_every)),
        ] {
            ensure!(every != Some(0), "{name}: expected at least 1, got 0");
        }
        ensure!(
            self.reorder_every.is_none() || self.transport == TransportKind::Udp,
            "--reorder-every: TCP keeps the order"
        );
        let addresses =
            self.to.to_socket_addrs().with_context(|| format!("--to {}: expected HOST:PORT", self.to))?;
        let mut addresses: Vec<SocketAddr> = addresses.collect();
        // `localhost` is both ::1 and 127.0.0.1; receivers listen on the latter unless told otherwise.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        Ok(addresses)
    }

    /// Records a second of one connection; 0: no limit.
    pub(super) fn rate_per_connection(&self) -> f64 {
        let rate = match (self.rate, self.transport) {
            (Some(rate), _) => rate,
            (None, TransportKind::Tcp) => 0.0,
            (None, TransportKind::Udp) => DEFAULT_UDP_RATE,
        };
        rate / f64::from(self.connections)
    }
}
