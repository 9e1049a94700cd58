//! Address ranges (`192.0.2.0/24`, `2001:db8::/32`) that may send to a listener.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of IPv4 or IPv6 addresses that share a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not a [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not `address/prefix` at all.
    #[error("{NETWORK}, got {0:?}", NETWORK = crate::validate::words::NETWORK)]
    Malformed(String),
    /// The address has bits set behind the prefix: one address or the whole range may be meant.
    #[error("{text:?} has bits set behind the prefix: write {range} for the range or {host} for one address")]
    HostBits {
        /// What was written.
        text: String,
        /// The range that contains it.
        range: Network,
        /// The one address.
        host: Network,
    },
}

impl Network {
    /// Whether `address` lies in this range. An IPv4 address that arrives on an IPv6 socket as
    /// `::ffff:192.0.2.1` counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let malformed = || NetworkError::Malformed(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let prefix: u8 = prefix.parse().map_err(|_| malformed())?;
        let (first, length) = match address {
            IpAddr::V4(v4) if prefix <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                (IpAddr::V4((v4.to_bits() & mask).into()), 32)
            }
            IpAddr::V6(v6) if prefix <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                (IpAddr::V6((v6.to_bits() & mask).into()), 128)
            }
            _ => return Err(malformed()),
        };
        if first != address {
            return Err(NetworkError::HostBits {
                text: text.to_owned(),
                range: Network { address: first, prefix },
                host: Network { address, prefix: length },
            });
        }
        Ok(Network { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_exactly_its_range() {
        let network: Network = "192.0.2.0/25".parse().unwrap();
        for (address, inside) in [
            ("192.0.2.0", true),
            ("192.0.2.127", true),
            ("192.0.2.128", false),
            ("::ffff:192.0.2.1", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{address}");
        }
        let six: Network = "2001:db8::/32".parse().unwrap();
        assert!(six.contains("2001:db8:ffff::1".parse().unwrap()));
        assert!(!six.contains("2001:db9::".parse().unwrap()));
        for all in ["0.0.0.0/0", "::/0"] {
            let network: Network = all.parse().unwrap();
            assert_eq!(network.contains("203.0.113.9".parse().unwrap()), all.starts_with('0'));
            assert_eq!(network.contains("2001:db8::1".parse().unwrap()), all.starts_with(':'));
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "/", "192.0.2.0", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "::/129", "x/8"] {
            assert!(matches!(text.parse::<Network>(), Err(NetworkError::Malformed(_))), "{text}");
        }
        assert_eq!(
            "10.1.2.3/8".parse::<Network>().unwrap_err().to_string(),
            "\"10.1.2.3/8\" has bits set behind the prefix: write 10.0.0.0/8 for the range or \
             10.1.2.3/32 for one address"
        );
    }
}
