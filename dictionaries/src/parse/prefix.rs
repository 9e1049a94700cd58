//! Addresses and prefixes of both families in one canonical form. Host bits never stay set, and an IPv4 prefix
//! never hides in an IPv6 one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bits before an IPv4 address that is written as an IPv6 one.
const MAPPED_BITS: u8 = 96;

/// A prefix. Both families share one space: IPv4 is kept as IPv4-mapped IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    address: u128,
    /// Of 128 bits, also for IPv4.
    bits: u8,
}

impl Prefix {
    /// From an address (`10.0.0.1`) or a prefix (`10.0.0.0/24`).
    pub(super) fn read(text: &str) -> Option<Prefix> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let (address, most, before) = match address.parse::<IpAddr>().ok()? {
            IpAddr::V4(address) => (address.to_ipv6_mapped(), 32, MAPPED_BITS),
            IpAddr::V6(address) => (address, 128, 0),
        };
        let length = match length {
            Some(length) => read_length(length, most)?,
            None => most,
        };
        let bits = before + length;
        // The shift by 128 of a default route has no result: nothing of the address is left.
        let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
        Some(Prefix { address: u128::from(address) & mask, bits })
    }

    /// The bytes that no other prefix has.
    pub(super) fn append_key(self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.address.to_be_bytes());
        key.push(self.bits);
    }

    /// How many addresses an IPv4 prefix holds.
    pub(super) fn ipv4_addresses(self) -> Option<u64> {
        self.ipv4()?;
        1_u64.checked_shl(128 - u32::from(self.bits))
    }

    fn ipv4(self) -> Option<(Ipv4Addr, u8)> {
        let length = self.bits.checked_sub(MAPPED_BITS)?;
        Some((Ipv6Addr::from(self.address).to_ipv4_mapped()?, length))
    }
}

/// As `10.0.0.0/24`.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ipv4() {
            Some((address, length)) => write!(f, "{address}/{length}"),
            None => write!(f, "{}/{}", Ipv6Addr::from(self.address), self.bits),
        }
    }
}

fn read_length(text: &str, most: u8) -> Option<u8> {
    // A sign would be a number to `parse`.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|length| *length <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_one_form() {
        for (text, canonical) in [
            ("10.64.66.0/24", "10.64.66.0/24"),
            ("10.64.66.100/24", "10.64.66.0/24"),
            ("172.16.0.0", "172.16.0.0/32"),
            ("255.255.255.255/0", "0.0.0.0/0"),
            ("255.255.255.255/1", "128.0.0.0/1"),
            ("10.0.0.1/32", "10.0.0.1/32"),
            ("2A02:2168:0AAA:bbb::0002", "2a02:2168:aaa:bbb::2/128"),
            ("2a02:2168:aaa:bbb::2/64", "2a02:2168:aaa:bbb::/64"),
            ("ffff::/0", "::/0"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3/96", "0.0.0.0/0"),
            ("::ffff:10.1.2.3/95", "::fffe:0:0/95"),
            ("::/128", "::/128"),
        ] {
            assert_eq!(
                Prefix::read(text).map(|prefix| prefix.to_string()).as_deref(),
                Some(canonical),
                "{text}"
            );
            assert_eq!(Prefix::read(canonical), Prefix::read(text), "{canonical}");
        }
    }

    #[test]
    fn what_is_no_prefix_is_none() {
        for text in [
            "",
            "/",
            "/24",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.300/24",
            "10.0.0",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0.0 /8",
            "::/129",
            "::/256",
            "2a02::1::2",
            "fe80::1%eth0",
            "[::1]",
            "10.0.0.0/255.0.0.0",
            "host.example",
            "010.0.0.1",
        ] {
            assert_eq!(Prefix::read(text), None, "{text}");
        }
    }

    #[test]
    fn keys_tell_prefixes_apart() {
        let texts = ["0.0.0.0/0", "::/0", "10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/32", "::a00:0/128", "::/96"];
        let mut keys = std::collections::HashSet::new();
        for text in texts {
            let mut key = Vec::new();
            Prefix::read(text).unwrap().append_key(&mut key);
            assert!(keys.insert(key), "{text}");
        }
    }

    #[test]
    fn only_ipv4_is_counted() {
        let count = |text: &str| Prefix::read(text).unwrap().ipv4_addresses();
        assert_eq!(count("10.0.0.0/8"), Some(1 << 24));
        assert_eq!(count("0.0.0.0/0"), Some(1 << 32));
        assert_eq!(count("10.0.0.1"), Some(1));
        assert_eq!(count("::/0"), None);
        assert_eq!(count("2a02::/64"), None);
    }
}
