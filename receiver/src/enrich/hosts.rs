//! Categories of hosts. A host without a category of its own has that of the nearest parent domain that has one,
//! down to two labels: no dictionary gives everything under `com` a category.
//!
//! Memory: a host's name and 13 to 15 bytes.

use super::texts::TextTable;

/// No host's name is longer.
const LONGEST: usize = 255;

/// Categories by host, names in lower case.
#[derive(Clone, Debug, Default)]
pub struct HostCategories {
    table: TextTable,
}

/// Why a host cannot be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hosts with categories take more than 4 GiB: leave out hosts whose domain has the same category")]
pub struct HostsTooLarge;

impl HostCategories {
    /// Room for so many hosts; more may come.
    pub fn with_room(hosts: usize) -> HostCategories {
        HostCategories { table: TextTable::with_room(hosts) }
    }

    /// Takes a host in, which is in lower case. One that is there gets the new category.
    pub fn add(&mut self, host: &[u8], category: u16) -> Result<(), HostsTooLarge> {
        self.table.insert(host, category).map(drop).ok_or(HostsTooLarge)
    }

    /// Gives back memory, once all are taken in.
    pub fn shrink(&mut self) {
        self.table.shrink();
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes that they take.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    /// The category of a host as a record has it: in any case, perhaps with a port or a dot at its end; 0: none.
    #[inline]
    pub fn get(&self, host: &[u8]) -> u16 {
        if host.is_empty() || self.is_empty() {
            return 0;
        }
        let host = without_port(host);
        let host = host.strip_suffix(b".").unwrap_or(host);
        if !host.iter().fold(false, |found, byte| found | byte.is_ascii_uppercase()) {
            return self.nearest(host);
        }
        let mut buffer = [0; LONGEST];
        let Some(lower) = buffer.get_mut(..host.len()) else { return 0 };
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        self.nearest(lower)
    }

    #[inline]
    fn nearest(&self, host: &[u8]) -> u16 {
        if host.len() > LONGEST {
            return 0;
        }
        if let Some(category) = self.table.get(host) {
            return category;
        }
        // Where the shortest domain ends: before the last label. An IPv4 address is in no domain: its last label
        // begins with a digit, which no top-level domain does.
        let Some(last_dot) = host.iter().rposition(|&byte| byte == b'.') else { return 0 };
        if host.get(last_dot + 1).is_none_or(u8::is_ascii_digit) {
            return 0;
        }
        for (dot, &byte) in host.iter().take(last_dot).enumerate() {
            if byte != b'.' {
                continue;
            }
            if let Some(category) = host.get(dot + 1..).and_then(|domain| self.table.get(domain)) {
                return category;
            }
        }
        0
    }
}

/// `example.com:8080` and `[2001:db8::1]:8080` without the port; an IPv6 address alone as it is.
#[inline]
pub fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match host.get(..host.len() - digits).and_then(<[u8]>::split_last) {
        Some((b':', name)) if name.ends_with(b"]") || !name.contains(&b':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn naive(hosts: &HashMap<String, u16>, host: &str) -> u16 {
        let labels: Vec<&str> = host.split('.').collect();
        for skipped in 0..labels.len() {
            if skipped > 0 && labels.len() - skipped < 2 {
                break;
            }
            if let Some(category) = hosts.get(&labels[skipped..].join(".")) {
                return *category;
            }
        }
        0
    }

    proptest! {
        #[test]
        fn the_nearest_domain_decides(
            hosts in prop::collection::hash_map("[ab]{1,2}(\\.[ab]{1,2}){0,3}", 1u16.., 0..60),
            asked in prop::collection::vec("[ab]{1,2}(\\.[ab]{1,2}){0,4}", 0..60),
            decoration in prop::sample::select(vec!["", ".", ":80", ".:8080", ":"]),
            upper in any::<bool>(),
        ) {
            let mut categories = HostCategories::with_room(hosts.len() / 2);
            for (host, category) in &hosts {
                prop_assert_eq!(categories.add(host.as_bytes(), *category), Ok(()));
            }
            categories.shrink();
            for host in hosts.keys().chain(&asked) {
                let mut record = format!("{host}{decoration}");
                if upper {
                    record.make_ascii_uppercase();
                }
                prop_assert_eq!(categories.get(record.as_bytes()), naive(&hosts, host), "{}", record);
            }
        }

        #[test]
        fn whatever_a_record_says_is_looked_up(host in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut categories = HostCategories::default();
            categories.add(b"example.com", 1).unwrap();
            categories.get(&host);
        }
    }

    #[test]
    fn hosts_as_records_have_them() {
        let mut categories = HostCategories::default();
        let hosts = [
            ("example.com", 1),
            ("video.example.com", 2),
            ("com", 3),
            ("1.1.1.1", 4),
            ("1.1", 5),
            ("::1", 6),
        ];
        for (host, category) in hosts.into_iter().chain([("[::1]", 7), ("localhost", 8)]) {
            categories.add(host.as_bytes(), category).unwrap();
        }
        for (host, category) in [
            ("example.com", 1),
            ("WWW.Example.COM:443", 1),
            ("a.b.video.example.com.", 2),
            ("notexample.com", 0),
            ("com", 3),
            ("1.1.1.1:80", 4),
            ("7.1.1.1", 0),
            ("::1", 6),
            ("[::1]:8080", 7),
            ("localhost", 8),
            ("a.localhost", 0),
            ("", 0),
            (".", 0),
            (":80", 0),
            ("..", 0),
        ] {
            assert_eq!(categories.get(host.as_bytes()), category, "{host}");
        }
        let long = format!("{}.example.com", "a.".repeat(150));
        assert_eq!(categories.get(long.as_bytes()), 0);
        assert_eq!(categories.get(long.to_uppercase().as_bytes()), 0);
    }
}
