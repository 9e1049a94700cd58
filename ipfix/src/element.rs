//! Information elements: what a field of a template means.
//!
//! An element is identified by a private enterprise number and an id; nothing in this crate ever
//! identifies one by its name.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The private enterprise number of VAS Experts, whose DPI is our main exporter.
pub const VAS_EXPERTS: u32 = 43_823;

/// Stands for the scope field types of NetFlow v9 (1 system, 2 interface, ... RFC 3954 section 6.1).
/// They are numbered apart from the elements, so they must not be mistaken for them. The number is
/// reserved by IANA as an enterprise number, no exporter can own it.
pub const V9_SCOPE: u32 = u32::MAX;

/// One information element. It is written `152` if it is IANA's, `43823/2000` otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Element {
    /// Private enterprise number; 0 means IANA's own registry.
    pub pen: u32,
    /// The number of the element within that enterprise.
    pub id: u16,
}

impl Element {
    /// An element of IANA's registry.
    pub const fn iana(id: u16) -> Self {
        Self { pen: 0, id }
    }

    /// An element of VAS Experts (PEN 43823).
    pub const fn vas_experts(id: u16) -> Self {
        Self { pen: VAS_EXPERTS, id }
    }

    /// A scope field type of NetFlow v9.
    pub const fn v9_scope(id: u16) -> Self {
        Self { pen: V9_SCOPE, id }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pen == 0 { write!(f, "{}", self.id) } else { write!(f, "{}/{}", self.pen, self.id) }
    }
}

/// A text that names no element.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no element: write `<id>` for IANA's elements or `<enterprise number>/<id>`")]
pub struct ParseElementError(String);

impl FromStr for Element {
    type Err = ParseElementError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (pen, id) = text.split_once('/').unwrap_or(("0", text));
        match (pen.parse(), id.parse()) {
            (Ok(pen), Ok(id)) => Ok(Self { pen, id }),
            _ => Err(ParseElementError(text.to_owned())),
        }
    }
}

/// Abstract data types of elements (RFC 7011 section 6.1), as far as flow records use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ElementType {
    /// One byte.
    Unsigned8,
    /// Up to 2 bytes.
    Unsigned16,
    /// Up to 4 bytes.
    Unsigned32,
    /// Up to 8 bytes.
    Unsigned64,
    /// One byte, 1 means true, 2 means false.
    Boolean,
    /// 6 bytes.
    MacAddress,
    /// 4 bytes.
    Ipv4Address,
    /// 16 bytes.
    Ipv6Address,
    /// IPv4 or IPv6: the length in the template tells.
    IpAddress,
    /// Unix seconds, 4 bytes.
    DateTimeSeconds,
    /// Unix milliseconds, 8 bytes.
    DateTimeMilliseconds,
    /// NTP timestamp, 8 bytes.
    DateTimeMicroseconds,
    /// NTP timestamp, 8 bytes.
    DateTimeNanoseconds,
    /// UTF-8, mostly of variable length.
    String,
    /// Raw bytes.
    OctetArray,
}

/// What a registry knows of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementInfo {
    /// The element itself.
    pub element: Element,
    /// Its name, for example `octetDeltaCount`.
    pub name: Cow<'static, str>,
    /// Its abstract data type.
    pub element_type: ElementType,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_written_and_read_alike() {
        for (element, text) in [(Element::iana(152), "152"), (Element::vas_experts(2000), "43823/2000")] {
            assert_eq!(element.to_string(), text);
            assert_eq!(text.parse(), Ok(element));
        }
        for wrong in ["", "x", "1/", "/1", "70000", "1/2/3", "-1"] {
            assert!(wrong.parse::<Element>().is_err(), "{wrong}");
        }
    }
}
