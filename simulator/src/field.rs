//! The fields that the streams' templates are made of, and how a record fills each. Which element carries
//! a field, and how wide it is, is the layouts' business.

use ipfix::MessageBuilder;

use super::flow::Flow;
use super::words::{PATHS, USER_AGENTS, base64_of, decimal, hex, one_of};

/// A field of a record of some stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
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
    /// The start in whole seconds.
    Time,
    Path,
    Referer,
    UserAgent,
    Cookie,
    Locked,
    HostType,
    Method,
    SubscriberMac,
    RouterMac,
    /// Something that nobody but the vendor understands.
    Number,
    /// The same in words.
    Words,
    Status,
    ContentType,
    NatEvent,
    PublicV4,
    PublicPort,
    SubscriberV4,
    SubscriberPort,
    HostV4,
    HostPort,
    GtpVersion,
    GtpRequest,
    GtpResponse,
    GtpCause,
    GtpResult,
    SgwControlV4,
    SgwDataV4,
    PgwControlV4,
    ControlTeid,
    DataTeid,
    Imsi,
    Msisdn,
    Apn,
    /// The name of the host, always.
    DnsHost,
    DnsType,
    DnsClass,
    DnsTtl,
    Rdata,
}

use Field::*;

impl Field {
    /// Whether only IPv4 records have it.
    pub(super) fn only_v4(self) -> bool {
        matches!(self, SourceV4 | DestinationV4 | NatSourceV4 | NatSourcePort)
    }

    /// Whether only IPv6 records have it.
    pub(super) fn only_v6(self) -> bool {
        matches!(self, SourceV6 | DestinationV6)
    }

    /// The most bytes a value of variable length has.
    pub(super) fn longest(self) -> usize {
        match self {
            Mpls => 3,
            Host | Login | DnsHost => 48,
            _ => 64,
        }
    }

    /// Appends the value.
    #[inline]
    pub(super) fn put(self, flow: &Flow<'_>, to: &mut MessageBuilder) {
        match self {
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
            // fullflow has none of the others.
            other => other.put_of_other_streams(flow, to),
        }
    }

    #[inline(never)]
    fn put_of_other_streams(self, flow: &Flow<'_>, to: &mut MessageBuilder) {
        let dice = flow.dice;
        let subscriber = u64::from(flow.subscriber);
        match self {
            Time => to.put_u32((flow.start_ms / 1_000) as u32),
            Path => to.put_variable(one_of(&PATHS, dice)),
            Referer if dice & 0x3 == 0 => to.put_variable(flow.name()),
            Referer => to.put_variable(b""),
            UserAgent => to.put_variable(one_of(&USER_AGENTS, subscriber)),
            Cookie if dice & 0xc == 0 => to.put_variable(&hex(dice)),
            Cookie => to.put_variable(b""),
            Locked => to.put_u64(if dice & 0x1f0 == 0 { 1 << (dice % 3) } else { 0 }),
            HostType => to.put_u8(1 + (dice >> 9 & 0x3) as u8),
            Method => to.put_u8(1 + (dice >> 11 & 0x3) as u8),
            SubscriberMac => to.put_uint(0x0200_5e00_0000 | subscriber, 6),
            RouterMac => to.put_uint(0x0200_5eff_0001, 6),
            Number => to.put_u16(dice as u16),
            Words => to.put_variable(one_of(&PATHS, dice >> 16)),
            Status => to.put_u16(if dice & 0xf == 0 { 404 } else { 200 }),
            ContentType => to.put_variable(b"text/html; charset=utf-8"),
            // 1 and 2 as the vendor counts, 4 and 5 as RFC 8158 does.
            NatEvent => to.put_u8((1 + (dice & 0x3) + (dice >> 1 & 0x1)) as u8),
            PublicV4 => to.put_u32(0xc633_6400 | (flow.subscriber & 0xff)),
            PublicPort => to.put_u16(1_024 + (dice >> 40) as u16 % 60_000),
            SubscriberV4 => to.put_u32(0x0a40_0000_u32.wrapping_add(flow.subscriber)),
            SubscriberPort => to.put_u16(flow.source_port.max(flow.destination_port)),
            HostV4 => to.put_u32(flow.host_v4()),
            HostPort => to.put_u16(flow.source_port.min(flow.destination_port)),
            GtpVersion => to.put_u8(2),
            GtpRequest => to.put_u8(32 + 2 * (dice % 3) as u8),
            GtpResponse => to.put_u8(33 + 2 * (dice % 3) as u8),
            GtpCause => to.put_u8(if dice & 0x3f0 == 0 { 64 } else { 16 }),
            GtpResult => to.put_u8(u8::from(dice & 0x3f0 != 0)),
            SgwControlV4 => to.put_u32(0x0a01_0000 | (flow.subscriber & 0x7)),
            SgwDataV4 => to.put_u32(0x0a01_0100 | (flow.subscriber & 0xf)),
            PgwControlV4 => to.put_u32(0x0a02_0000 | (flow.subscriber & 0x3)),
            ControlTeid => to.put_u32((dice >> 8) as u32),
            DataTeid => to.put_u32((dice >> 24) as u32),
            Imsi => to.put_variable(&decimal::<15>(1_010_000_000_000 + subscriber)),
            Msisdn => to.put_variable(&decimal::<12>(491_700_000_000 + subscriber)),
            Apn => to.put_variable(b"internet.example"),
            DnsHost => to.put_variable(flow.name()),
            DnsType => to.put_u16(1),
            DnsClass => to.put_u16(1),
            DnsTtl => to.put_u32(30 << (dice & 0x7)),
            Rdata => to.put_variable(&base64_of(flow.host_v4())),
            Octets
            | Packets
            | Protocol
            | ClassOfService
            | SourcePort
            | SourceV4
            | SourceV6
            | DestinationPort
            | DestinationV4
            | DestinationV6
            | SourceAs
            | DestinationAs
            | Start
            | End
            | Input
            | Output
            | IpVersion
            | SessionId
            | Host
            | Application
            | Login
            | NatSourceV4
            | NatSourcePort
            | Fragmented
            | Retransmitted
            | DeliverTime
            | Channel
            | Vlan
            | PostVlan
            | Mpls
            | OriginalClassOfService
            | DroppedOctets
            | DroppedPackets => {}
        }
    }
}
