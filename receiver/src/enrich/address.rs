//! An address as the look-ups take it, and as the columns of a stream hold it.

use std::net::IpAddr;

use ipfix::Column;

/// An address as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4.
    V4(u32),
    /// IPv6.
    V6(u128),
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Address {
        match address {
            IpAddr::V4(address) => Address::V4(address.to_bits()),
            IpAddr::V6(address) => Address::V6(address.to_bits()),
        }
    }
}

/// The addresses of one end of the records: each is in one of two columns, the other holds zeros.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End<'a> {
    ipv4: &'a [u32],
    ipv6: &'a [[u8; 16]],
}

impl<'a> End<'a> {
    pub(super) fn new(ipv4: Option<&'a Column>, ipv6: Option<&'a Column>) -> End<'a> {
        End { ipv4: numbers(ipv4), ipv6: addresses(ipv6) }
    }

    /// The address in a row: IPv4 unless that is 0; `None` if the stream has no other.
    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<Address> {
        match self.ipv4.get(row) {
            None | Some(0) => self.ipv6.get(row).map(|bytes| Address::V6(u128::from_be_bytes(*bytes))),
            Some(number) => Some(Address::V4(*number)),
        }
    }
}

/// A column's values, none if it is not one of numbers of 4 bytes.
pub(super) fn numbers(column: Option<&Column>) -> &[u32] {
    match column {
        Some(Column::U32(values)) => values,
        _ => &[],
    }
}

fn addresses(column: Option<&Column>) -> &[[u8; 16]] {
    match column {
        Some(Column::Bytes16(values)) => values,
        _ => &[],
    }
}
