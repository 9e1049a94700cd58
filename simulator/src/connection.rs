//! One connection from its first record to its last, and which of its messages are tampered with.

use std::net::SocketAddr;

use super::exporter::Exporter;
use super::flow::Flows;
use super::options::{Options, TransportKind};
use super::population::Population;
use super::report::Tally;
use super::{tcp, udp};

/// What one connection has to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    index: u32,
    first_record: u64,
    records: u64,
    start_ms: u64,
}

impl Plan {
    /// The share of the connection `index`: records are dealt out in ranges, as evenly as can be.
    pub(super) fn new(options: &Options, index: u32, start_ms: u64) -> Plan {
        let connections = u64::from(options.connections.max(1));
        let each = options.records / connections;
        let left = options.records % connections;
        let position = u64::from(index);
        Plan {
            index,
            first_record: position * each + position.min(left),
            records: each + u64::from(position < left),
            start_ms,
        }
    }
}

/// Sends the records of one connection. A network that fails for good is part of the tally.
pub(super) fn run(
    options: &Options,
    population: &Population,
    plan: Plan,
    address: SocketAddr,
) -> anyhow::Result<Tally> {
    let flows =
        Flows::new(population, options.seed, plan.index, plan.first_record, plan.records, plan.start_ms);
    let domain = options.domain.wrapping_add(plan.index);
    let exporter = Exporter::new(options.stream, flows, domain, options.ipv6_share, options.order_seed);
    let clock = Clock { pinned: options.start_ms };
    match options.transport {
        TransportKind::Tcp => tcp::send_all(options, exporter, clock, address),
        TransportKind::Udp => udp::send_all(options, exporter, clock, address),
    }
}

/// The DPI's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pinned: Option<u64>,
}

impl Clock {
    /// Milliseconds since 1970.
    pub(super) fn now_ms(self) -> u64 {
        self.pinned.unwrap_or_else(super::now_ms)
    }
}

/// What happens to a data message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Send,
    Drop,
    Twice,
    /// After the next one.
    Late,
}

/// Decides the fate of one data message after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tampering {
    drop_every: Option<u64>,
    duplicate_every: Option<u64>,
    reorder_every: Option<u64>,
    number: u64,
}

impl Tampering {
    pub(super) fn new(options: &Options) -> Tampering {
        Tampering {
            drop_every: options.drop_every,
            duplicate_every: options.duplicate_every,
            reorder_every: options.reorder_every,
            number: 0,
        }
    }

    pub(super) fn next(&mut self) -> Fate {
        self.number += 1;
        let due = |every: Option<u64>| every.is_some_and(|every| self.number.is_multiple_of(every));
        if due(self.drop_every) {
            Fate::Drop
        } else if due(self.duplicate_every) {
            Fate::Twice
        } else if due(self.reorder_every) {
            Fate::Late
        } else {
            Fate::Send
        }
    }
}
