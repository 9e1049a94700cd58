//! natflow: the vendor's template, complete.

use super::{Entry, Records, iana, text, vendor};
use crate::field::Field::*;

pub(super) const RECORDS: Records = Records { fields: &FIELDS, ipv6: false, other: &[], volume: false };

const FIELDS: [Entry; 11] = [
    iana(Start, 323, 8),
    iana(Protocol, 4, 1),
    iana(NatEvent, 230, 1),
    iana(SubscriberV4, 8, 4),
    iana(PublicV4, 225, 4),
    iana(SubscriberPort, 7, 2),
    iana(PublicPort, 227, 2),
    iana(HostV4, 12, 4),
    iana(HostPort, 11, 2),
    vendor(SessionId, 2000, 8),
    text(Login, 2003),
];
