//! The vendor's templates: which fields, in which order and width, and how a record fills them.

use ipfix::{Element, FieldSpec, MessageBuilder, Template};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::flow::Flow;

/// Template of IPv4 records. The vendor does not publish its numbers; nobody may rely on them.
const TEMPLATE_V4: u16 = 1_024;
/// Template of IPv6 records.
const TEMPLATE_V6: u16 = 1_026;

/// The element of the original class of service is not published: any that nobody knows stands
/// for it, and for every field a receiver has never heard of.
const UNKNOWN_ELEMENT: u16 = 2_990;

/// A field of a fullflow record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Octets,
    Packets,
    Protocol,
    ClassOfService,
    SourcePort,
    SourceV4,
    SourceV6,
    DestinationPort,
    DestinationV4,
    DestinationV6,
    SourceAs,
    DestinationAs,
    Start,
    End,
    Input,
    Output,
    IpVersion,
    SessionId,
    Host,
    Application,
    Login,
    NatSourceV4,
    NatSourcePort,
    Fragmented,
    Retransmitted,
    DeliverTime,
    Channel,
    Vlan,
    PostVlan,
    Mpls,
    OriginalClassOfService,
    DroppedOctets,
    DroppedPackets,
}

use Field::*;

/// The vendor's order.
const IN_ORDER: [Field; 33] = [
    Octets,
    Packets,
    Protocol,
    ClassOfService,
    SourcePort,
    SourceV4,
    SourceV6,
    DestinationPort,
    DestinationV4,
    DestinationV6,
    SourceAs,
    DestinationAs,
    Start,
    End,
    Input,
    Output,
    IpVersion,
    SessionId,
    Host,
    Application,
    Login,
    NatSourceV4,
    NatSourcePort,
    Fragmented,
    Retransmitted,
    DeliverTime,
    Channel,
    Vlan,
    PostVlan,
    Mpls,
    OriginalClassOfService,
    DroppedOctets,
    DroppedPackets,
];

impl Field {
    fn in_v4(self) -> bool {
        !matches!(self, SourceV6 | DestinationV6)
    }

    fn in_v6(self) -> bool {
        !matches!(self, SourceV4 | DestinationV4 | NatSourceV4 | NatSourcePort)
    }

    /// Element and width. Elements 10 and 14 are 2 bytes wide here, 4 by their definition.
    fn spec(self) -> FieldSpec {
        let iana = |id, length| FieldSpec::new(Element::iana(id), length);
        let vendor = |id, length| FieldSpec::new(Element::vas_experts(id), length);
        let text = |id| FieldSpec::variable(Element::vas_experts(id));
        match self {
            Octets => iana(1, 8),
            Packets => iana(2, 8),
            Protocol => iana(4, 1),
            ClassOfService => iana(5, 1),
            SourcePort => iana(7, 2),
            SourceV4 => iana(8, 4),
            SourceV6 => iana(27, 16),
            DestinationPort => iana(11, 2),
            DestinationV4 => iana(12, 4),
            DestinationV6 => iana(28, 16),
            SourceAs => iana(16, 4),
            DestinationAs => iana(17, 4),
            Start => iana(152, 8),
            End => iana(153, 8),
            Input => iana(10, 2),
            Output => iana(14, 2),
            IpVersion => iana(60, 1),
            SessionId => vendor(2000, 8),
            Host => text(2001),
            Application => vendor(2002, 2),
            Login => text(2003),
            NatSourceV4 => iana(225, 4),
            NatSourcePort => iana(227, 2),
            Fragmented => vendor(2010, 2),
            Retransmitted => vendor(2011, 2),
            DeliverTime => vendor(2012, 4),
            Channel => vendor(2016, 2),
            Vlan => iana(58, 2),
            PostVlan => iana(59, 2),
            Mpls => text(2017),
            OriginalClassOfService => vendor(UNKNOWN_ELEMENT, 1),
            DroppedOctets => iana(132, 8),
            DroppedPackets => iana(133, 8),
        }
    }
}

/// One template and how to fill it.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) template: Template,
    fields: Vec<Field>,
}

impl Layout {
    /// The template of IPv4 or IPv6 records, in the vendor's order or one made from a seed.
    pub(super) fn new(ipv6: bool, order_seed: Option<u64>) -> Layout {
        let mut fields = Vec::new();
        for field in IN_ORDER {
            if (ipv6 && field.in_v6()) || (!ipv6 && field.in_v4()) {
                fields.push(field);
            }
        }
        if let Some(seed) = order_seed {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ u64::from(ipv6));
            for last in (1..fields.len()).rev() {
                fields.swap(last, rng.random_range(0..=last));
            }
        }
        let id = if ipv6 { TEMPLATE_V6 } else { TEMPLATE_V4 };
        let specs = fields.iter().map(|field| field.spec()).collect();
        Layout { template: Template::new(id, 0, specs), fields }
    }

    /// The most bytes a record can have: its fixed fields, the longest host and login, and labels.
    pub(super) const MAX_RECORD: usize = 220;

    /// Appends a record.
    #[inline]
    pub(super) fn put(&self, flow: &Flow<'_>, to: &mut MessageBuilder) {
        for field in &self.fields {
            match field {
                Octets => to.put_u64(flow.octets),
                Packets => to.put_u64(flow.packets),
                Protocol => to.put_u8(flow.protocol),
                ClassOfService => to.put_u8(flow.class_of_service),
                SourcePort => to.put_u16(flow.source_port),
                SourceV4 => to.put_u32(flow.source_v4),
                SourceV6 => to.put_bytes(&flow.source_v6.to_be_bytes()),
                DestinationPort => to.put_u16(flow.destination_port),
                DestinationV4 => to.put_u32(flow.destination_v4),
                DestinationV6 => to.put_bytes(&flow.destination_v6.to_be_bytes()),
                SourceAs => to.put_u32(flow.source_as),
                DestinationAs => to.put_u32(flow.destination_as),
                Start => to.put_u64(flow.start_ms),
                End => to.put_u64(flow.end_ms),
                Input => to.put_u16(flow.input),
                Output => to.put_u16(flow.output),
                IpVersion => to.put_u8(flow.ip_version),
                SessionId => to.put_u64(flow.session_id),
                Host => to.put_variable(flow.host),
                Application => to.put_u16(flow.application),
                Login => to.put_variable(flow.login),
                NatSourceV4 => to.put_u32(flow.nat_source_v4),
                NatSourcePort => to.put_u16(flow.nat_source_port),
                Fragmented => to.put_u16(flow.fragmented),
                Retransmitted => to.put_u16(flow.retransmitted),
                DeliverTime => to.put_u32(flow.deliver_time),
                Channel => to.put_u16(flow.channel),
                Vlan => to.put_u16(flow.vlan),
                PostVlan => to.put_u16(flow.post_vlan),
                Mpls => to.put_variable(flow.mpls.get(..usize::from(flow.mpls_length)).unwrap_or_default()),
                OriginalClassOfService => to.put_u8(flow.original_class_of_service),
                DroppedOctets => to.put_u64(flow.dropped_octets),
                DroppedPackets => to.put_u64(flow.dropped_packets),
            }
        }
        to.end_record();
    }
}
