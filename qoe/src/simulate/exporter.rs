//! Packs records into messages and numbers them (RFC 7011 section 3.1: the sequence number of a
//! message is the number of data records sent before it).

use anyhow::Context;
use ipfix::{MessageBuilder, Protocol};

use super::flow::Flows;
use super::layout::Layout;
use super::report::Weight;

/// Messages grow to about this many bytes, on TCP too, as DPIs send them.
const MESSAGE_BYTES: usize = 1_400;

/// Which templates a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Templates {
    Both,
    OnlyV4,
    OnlyV6,
}

/// One exporting process: one observation domain and its sequence numbers.
#[derive(Debug)]
pub(super) struct Exporter<'p> {
    flows: Flows<'p>,
    builder: MessageBuilder,
    v4: Layout,
    v6: Layout,
    sequence: u32,
    ipv6_share: f64,
    ipv6_due: f64,
}

/// A data message.
#[derive(Debug)]
pub(super) struct Message<'b> {
    pub(super) bytes: &'b [u8],
    /// Its sequence number.
    pub(super) sequence: u32,
    pub(super) weight: Weight,
}

impl<'p> Exporter<'p> {
    pub(super) fn new(
        flows: Flows<'p>,
        domain: u32,
        ipv6_share: f64,
        order_seed: Option<u64>,
    ) -> Exporter<'p> {
        Exporter {
            flows,
            builder: MessageBuilder::new(Protocol::Ipfix, domain),
            v4: Layout::new(false, order_seed),
            v6: Layout::new(true, order_seed),
            sequence: 0,
            ipv6_share,
            ipv6_due: 0.0,
        }
    }

    /// Whether all records have been made.
    pub(super) fn is_done(&self) -> bool {
        self.flows.remaining() == 0
    }

    /// The sequence number of the next message.
    pub(super) fn sequence(&self) -> u32 {
        self.sequence
    }

    /// A message without records, as if the one numbered `sequence` were next.
    pub(super) fn templates(
        &mut self,
        which: Templates,
        sequence: u32,
        clock_ms: u64,
    ) -> anyhow::Result<&[u8]> {
        self.builder.begin(export_time(clock_ms), sequence);
        if which != Templates::OnlyV6 {
            self.builder.template(&self.v4.template);
        }
        if which != Templates::OnlyV4 {
            self.builder.template(&self.v6.template);
        }
        self.builder.finish().context("a template message cannot be encoded")
    }

    /// The next message with at most `max_records` records; `None` after the last record.
    pub(super) fn data(&mut self, clock_ms: u64, max_records: u64) -> anyhow::Result<Option<Message<'_>>> {
        if self.is_done() {
            return Ok(None);
        }
        self.ipv6_due += self.ipv6_share;
        let ipv6 = self.ipv6_due >= 1.0;
        if ipv6 {
            self.ipv6_due -= 1.0;
        }
        let layout = if ipv6 { &self.v6 } else { &self.v4 };

        let sequence = self.sequence;
        let mut weight = Weight { first_start_ms: u64::MAX, ..Weight::default() };
        self.builder.begin(export_time(clock_ms), sequence);
        self.builder.begin_data(layout.template.id);
        while weight.records < max_records && self.builder.len() + Layout::MAX_RECORD <= MESSAGE_BYTES {
            let Some(flow) = self.flows.next(clock_ms, ipv6) else {
                break;
            };
            layout.put(&flow, &mut self.builder);
            weight.records += 1;
            weight.octets += flow.octets;
            weight.packets += flow.packets;
            weight.first_start_ms = weight.first_start_ms.min(flow.start_ms);
            weight.last_start_ms = weight.last_start_ms.max(flow.start_ms);
        }
        self.sequence = sequence.wrapping_add(self.builder.data_records());
        let bytes = self.builder.finish().context("a data message cannot be encoded")?;
        Ok(Some(Message { bytes, sequence, weight }))
    }
}

fn export_time(clock_ms: u64) -> u32 {
    u32::try_from(clock_ms / 1_000).unwrap_or(u32::MAX)
}
