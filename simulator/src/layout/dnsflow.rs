//! dnsflow: the vendor publishes the fields and none of their ids. What other streams carry is sent by
//! the same elements; the answer itself by ids of our own invention, 3601 to 3605.

use super::{Entry, Records, iana, text, vendor};
use crate::field::Field::*;

pub(super) const RECORDS: Records = Records { fields: &FIELDS, ipv6: true, other: &[], volume: false };

const FIELDS: [Entry; 19] = [
    vendor(Time, 1001, 4),
    vendor(SessionId, 2000, 8),
    text(Login, 1002),
    vendor(SourceV4, 1003, 4),
    vendor(SourceV6, 1003, 16),
    vendor(DestinationV4, 1004, 4),
    vendor(DestinationV6, 1004, 16),
    vendor(SourcePort, 1013, 2),
    vendor(DestinationPort, 1014, 2),
    iana(Protocol, 4, 1),
    text(DnsHost, 3601),
    vendor(DnsType, 3602, 2),
    vendor(DnsClass, 3603, 2),
    vendor(DnsTtl, 3604, 4),
    text(Rdata, 3605),
    iana(Vlan, 58, 2),
    iana(PostVlan, 59, 2),
    vendor(Channel, 2016, 2),
    text(Mpls, 2017),
];
