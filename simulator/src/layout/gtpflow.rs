//! gtpflow: what the vendor publishes, up to 3310, and four fields beyond, with ids of our own invention.

use super::{Entry, Records, text, vendor};
use crate::field::Field::*;

pub(super) const RECORDS: Records = Records { fields: &FIELDS, ipv6: false, other: &[], volume: false };

const FIELDS: [Entry; 16] = [
    vendor(Time, 1001, 4),
    vendor(GtpVersion, 3300, 1),
    vendor(GtpRequest, 3301, 1),
    vendor(GtpResponse, 3302, 1),
    vendor(GtpCause, 3303, 1),
    vendor(GtpResult, 3304, 1),
    vendor(SessionId, 3305, 8),
    vendor(SgwControlV4, 3306, 4),
    vendor(ControlTeid, 3307, 4),
    vendor(SgwDataV4, 3308, 4),
    vendor(DataTeid, 3309, 4),
    vendor(PgwControlV4, 3310, 4),
    vendor(ControlTeid, 3311, 4),
    text(Imsi, 3316),
    text(Msisdn, 3317),
    text(Apn, 3319),
];
