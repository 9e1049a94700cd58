//! Packs records into messages and numbers them (RFC 7011 section 3.1: the sequence number of a
//! message is the number of data records sent before it).

use anyhow::Context;
use ipfix::{MessageBuilder, Protocol};

use super::flow::Flows;
use super::layout::{Layout, Layouts};
use super::options::StreamKind;
use super::report::Weight;

/// Messages grow to about this many bytes, on TCP too, as DPIs send them.
const MESSAGE_BYTES: usize = 1_400;

/// Where a stream has records of another kind, one in so many data messages holds them.
const OTHER_ONE_IN: u32 = 4;

/// Which templates a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Templates {
    All,
    /// The first one so many times: messages that say the same and differ.
    First(u32),
}

/// One exporting process: one observation domain and its sequence numbers.
#[derive(Debug)]
pub(super) struct Exporter<'p> {
    flows: Flows<'p>,
    builder: MessageBuilder,
    layouts: Layouts,
    sequence: u32,
    ipv6_share: f64,
    ipv6_due: f64,
    messages: u32,
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
        stream: StreamKind,
        flows: Flows<'p>,
        domain: u32,
        ipv6_share: f64,
        order_seed: Option<u64>,
    ) -> Exporter<'p> {
        Exporter {
            flows,
            builder: MessageBuilder::new(Protocol::Ipfix, domain),
            layouts: Layouts::new(stream, order_seed),
            sequence: 0,
            ipv6_share,
            ipv6_due: 0.0,
            messages: 0,
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
        match which {
            Templates::All => {
                self.layouts.iter().for_each(|layout| self.builder.template(&layout.template));
            }
            Templates::First(times) => {
                (0..times).for_each(|_| self.builder.template(&self.layouts.v4.template));
            }
        }
        self.builder.finish().context("a template message cannot be encoded")
    }

    /// The next message with at most `max_records` records; `None` after the last record.
    pub(super) fn data(&mut self, clock_ms: u64, max_records: u64) -> anyhow::Result<Option<Message<'_>>> {
        if self.is_done() {
            return Ok(None);
        }
        self.messages = self.messages.wrapping_add(1);
        self.ipv6_due += self.ipv6_share;
        let ipv6 = self.ipv6_due >= 1.0;
        if ipv6 {
            self.ipv6_due -= 1.0;
        }
        let (layout, ipv6) = choose(&self.layouts, self.messages, ipv6);

        let sequence = self.sequence;
        let mut weight = Weight { first_start_ms: u64::MAX, ..Weight::default() };
        self.builder.begin(export_time(clock_ms), sequence);
        self.builder.begin_data(layout.template.id);
        while weight.records < max_records && self.builder.len() + layout.max_record <= MESSAGE_BYTES {
            let Some(flow) = self.flows.next(clock_ms, ipv6) else {
                break;
            };
            layout.put(&flow, &mut self.builder);
            weight.records += 1;
            weight.session_sum = weight.session_sum.wrapping_add(flow.session_id);
            if self.layouts.volume {
                weight.octets += flow.octets;
                weight.packets += flow.packets;
            }
            weight.first_start_ms = weight.first_start_ms.min(flow.start_ms);
            weight.last_start_ms = weight.last_start_ms.max(flow.start_ms);
        }
        self.sequence = sequence.wrapping_add(self.builder.data_records());
        let bytes = self.builder.finish().context("a data message cannot be encoded")?;
        Ok(Some(Message { bytes, sequence, weight }))
    }
}

/// The layout of a message's records, and whether they are IPv6.
fn choose(layouts: &Layouts, message: u32, ipv6: bool) -> (&Layout, bool) {
    match layouts {
        Layouts { other: Some(other), .. } if message.is_multiple_of(OTHER_ONE_IN) => (other, false),
        Layouts { v6: Some(v6), .. } if ipv6 => (v6, true),
        Layouts { v4, .. } => (v4, false),
    }
}

fn export_time(clock_ms: u64) -> u32 {
    u32::try_from(clock_ms / 1_000).unwrap_or(u32::MAX)
}
