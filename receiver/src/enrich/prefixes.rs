//! Whether an address lies in one of many prefixes. Prefixes that overlap or touch become one range.
//!
//! Memory for each range that is left: 12 to 16 bytes (IPv4), 36 to 40 (IPv6); and 8 KiB.

use std::net::IpAddr;

use super::address::Address;
use super::ranges::Ranges;
use super::sieve::Sieve;

/// The prefixes of a dictionary.
#[derive(Clone, Debug, Default)]
pub struct Prefixes {
    ipv4: Ranges<u32>,
    /// The first 16 bits of IPv4 addresses: most hosts are far from every prefix.
    ipv4_near: Sieve,
    ipv6: Ranges<u128>,
}

impl Prefixes {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges() == 0
    }

    /// How many ranges are left of them.
    pub fn ranges(&self) -> usize {
        self.ipv4.len() + self.ipv6.len()
    }

    /// Bytes that they take.
    pub fn memory(&self) -> usize {
        self.ipv4.memory() + self.ipv4_near.memory() + self.ipv6.memory()
    }

    /// Whether an address lies in one of them.
    #[inline]
    pub fn contains(&self, address: Address) -> bool {
        match address {
            Address::V4(number) => {
                self.ipv4_near.may_have((number >> 16) as u16) && self.ipv4.contains(number)
            }
            Address::V6(number) => self.ipv6.contains(number),
        }
    }
}

/// From addresses and lengths of prefixes; bits beyond the length do not matter, and a length beyond the
/// address's is the whole address.
impl FromIterator<(IpAddr, u8)> for Prefixes {
    fn from_iter<I: IntoIterator<Item = (IpAddr, u8)>>(prefixes: I) -> Prefixes {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for (address, length) in prefixes {
            match Address::from(address) {
                Address::V4(number) => {
                    let mask = mask_v4(length);
                    ipv4.push((number & mask, number | !mask));
                }
                Address::V6(number) => {
                    let mask = mask_v6(length);
                    ipv6.push((number & mask, number | !mask));
                }
            }
        }
        let mut ipv4_near = Sieve::default();
        for (first, last) in &ipv4 {
            (first >> 16..=last >> 16).for_each(|bits| ipv4_near.add(bits as u16));
        }
        Prefixes { ipv4: Ranges::new(ipv4), ipv4_near, ipv6: Ranges::new(ipv6) }
    }
}

/// The bits of an IPv4 address that a prefix of this length fixes.
pub(super) fn mask_v4(length: u8) -> u32 {
    u32::MAX.checked_shl(32u32.saturating_sub(length.into())).unwrap_or(0)
}

/// The bits of an IPv6 address that a prefix of this length fixes.
pub(super) fn mask_v6(length: u8) -> u128 {
    u128::MAX.checked_shl(128u32.saturating_sub(length.into())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn prefix() -> impl Strategy<Value = (IpAddr, u8)> {
        prop_oneof![
            (any::<u32>(), 0u8..=32, 0u32..32)
                .prop_map(|(bits, length, shift)| (IpAddr::V4(Ipv4Addr::from_bits(bits >> shift)), length)),
            (any::<u128>(), 0u8..=128, 0u32..128)
                .prop_map(|(bits, length, shift)| (IpAddr::V6(Ipv6Addr::from_bits(bits >> shift)), length)),
        ]
    }

    fn naive(prefixes: &[(IpAddr, u8)], address: IpAddr) -> bool {
        prefixes.iter().any(|&(prefix, length)| match (prefix, address) {
            (IpAddr::V4(prefix), IpAddr::V4(address)) => {
                let differ = (prefix.to_bits() ^ address.to_bits()).leading_zeros();
                differ >= u32::from(length)
            }
            (IpAddr::V6(prefix), IpAddr::V6(address)) => {
                let differ = (prefix.to_bits() ^ address.to_bits()).leading_zeros();
                differ >= u32::from(length)
            }
            _ => false,
        })
    }

    proptest! {
        #[test]
        fn an_address_is_in_a_prefix_or_in_none(
            prefixes in prop::collection::vec(prefix(), 0..60),
            asked in prop::collection::vec(prefix(), 0..200),
        ) {
            let prefixes: Vec<(IpAddr, u8)> =
                // A prefix of everything hides mistakes in the others.
                prefixes.into_iter().filter(|prefix| prefix.1 > 4).collect();
            let set: Prefixes = prefixes.iter().copied().collect();
            prop_assert_eq!(set.is_empty(), prefixes.is_empty());
            for (address, _) in prefixes.iter().chain(&asked) {
                prop_assert_eq!(set.contains(Address::from(*address)), naive(&prefixes, *address));
            }
        }
    }

    #[test]
    fn everything_is_a_prefix_too() {
        let set: Prefixes =
            [("0.0.0.0".parse().unwrap(), 0), ("2001:db8::1".parse().unwrap(), 128)].into_iter().collect();
        assert!(set.contains(Address::V4(0)) && set.contains(Address::V4(u32::MAX)));
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        assert!(set.contains(Address::from(one)));
        assert!(!set.contains(Address::V6(0)));
        assert_eq!(set.ranges(), 2);
    }
}
