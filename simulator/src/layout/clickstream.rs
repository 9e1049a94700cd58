//! clickstream: requests by IPv4 and IPv6, and responses, which a receiver can only join by the session:
//! their own fields are ones that nobody has heard of.

use super::{Entry, Records, iana, text, vendor};
use crate::field::Field::*;

pub(super) const RECORDS: Records = Records { fields: &REQUEST, ipv6: true, other: &RESPONSE, volume: false };

/// 1003 and 1004 are addresses of either family: only the width tells.
const REQUEST: [Entry; 27] = [
    vendor(Time, 1001, 4),
    text(Login, 1002),
    vendor(SourceV4, 1003, 4),
    vendor(SourceV6, 1003, 16),
    vendor(DestinationV4, 1004, 4),
    vendor(DestinationV6, 1004, 16),
    text(Host, 1005),
    text(Path, 1006),
    text(Referer, 1007),
    text(UserAgent, 1008),
    text(Cookie, 1009),
    vendor(SessionId, 2000, 8),
    vendor(Locked, 1010, 8),
    vendor(HostType, 1011, 1),
    vendor(Method, 1012, 1),
    vendor(SourcePort, 1013, 2),
    vendor(DestinationPort, 1014, 2),
    vendor(Channel, 2016, 2),
    vendor(Number, 1024, 2),
    text(Words, 1025),
    iana(Vlan, 58, 2),
    iana(PostVlan, 59, 2),
    iana(SubscriberMac, 56, 6),
    iana(RouterMac, 57, 6),
    text(Mpls, 2017),
    vendor(DeliverTime, 2018, 4),
    vendor(OriginalClassOfService, 2990, 1),
];

const RESPONSE: [Entry; 5] = [
    vendor(Time, 1001, 4),
    vendor(SessionId, 2000, 8),
    vendor(Status, 2801, 2),
    text(ContentType, 2802),
    vendor(Octets, 2803, 8),
];
