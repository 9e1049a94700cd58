//! fullflow: 31 fields by IPv4, 29 by IPv6.

use super::{Entry, Records, iana, text, vendor};
use crate::field::Field::*;

pub(super) const RECORDS: Records = Records { fields: &FIELDS, ipv6: true, other: &[], volume: true };

/// Elements 10 and 14 are 2 bytes wide here, 4 by their definition. The element of the original class
/// of service is not published: any that nobody knows stands for it, and for every field that a
/// receiver has never heard of.
const FIELDS: [Entry; 33] = [
    iana(Octets, 1, 8),
    iana(Packets, 2, 8),
    iana(Protocol, 4, 1),
    iana(ClassOfService, 5, 1),
    iana(SourcePort, 7, 2),
    iana(SourceV4, 8, 4),
    iana(SourceV6, 27, 16),
    iana(DestinationPort, 11, 2),
    iana(DestinationV4, 12, 4),
    iana(DestinationV6, 28, 16),
    iana(SourceAs, 16, 4),
    iana(DestinationAs, 17, 4),
    iana(Start, 152, 8),
    iana(End, 153, 8),
    iana(Input, 10, 2),
    iana(Output, 14, 2),
    iana(IpVersion, 60, 1),
    vendor(SessionId, 2000, 8),
    text(Host, 2001),
    vendor(Application, 2002, 2),
    text(Login, 2003),
    iana(NatSourceV4, 225, 4),
    iana(NatSourcePort, 227, 2),
    vendor(Fragmented, 2010, 2),
    vendor(Retransmitted, 2011, 2),
    vendor(DeliverTime, 2012, 4),
    vendor(Channel, 2016, 2),
    iana(Vlan, 58, 2),
    iana(PostVlan, 59, 2),
    text(Mpls, 2017),
    vendor(OriginalClassOfService, 2990, 1),
    iana(DroppedOctets, 132, 8),
    iana(DroppedPackets, 133, 8),
];
