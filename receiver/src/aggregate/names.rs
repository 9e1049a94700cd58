//! What a host's name becomes in aggregates, worked out once for each name and kept beyond a flush.

use crds::enrichment::HostName;
use ipfix::BytesColumn;

use super::texts::Texts;
use crate::enrich::without_port;

/// Memory beyond which names are forgotten with the next flush.
const MAX_MEMORY: usize = 48 << 20;
/// A name that is not among the flush's texts yet.
const UNKNOWN: u32 = u32::MAX;

/// Names as they came and what became of them.
pub(super) struct Names {
    raw: Texts,
    /// Of each raw name: its number in `shown`.
    shown_as: Vec<u32>,
    shown: Texts,
    /// Of each shown name: its number among the texts of this flush.
    numbers: Vec<u32>,
    are: HostName,
}

impl Names {
    pub(super) fn new() -> Names {
        Names {
            raw: Texts::new(),
            shown_as: Vec::new(),
            shown: Texts::new(),
            numbers: Vec::new(),
            are: HostName::default(),
        }
    }

    /// Replaces `numbers` by what the names of a column become, as numbers of `texts`.
    pub(super) fn number_all(
        &mut self,
        column: &BytesColumn,
        are: HostName,
        texts: &mut Texts,
        numbers: &mut Vec<u32>,
    ) {
        if are != self.are {
            *self = Names { are, ..Names::new() };
        }
        self.raw.number_all(column, numbers);
        while self.shown_as.len() < self.raw.len() {
            let name = shown(self.raw.get(self.shown_as.len() as u32), are);
            self.shown_as.push(self.shown.number(&name));
        }
        self.numbers.resize(self.shown.len(), UNKNOWN);
        for number in numbers {
            let shown_as = self.shown_as.get(*number as usize).copied().unwrap_or_default();
            let Some(known) = self.numbers.get_mut(shown_as as usize) else { continue };
            if *known == UNKNOWN {
                *known = texts.number(self.shown.get(shown_as));
            }
            *number = *known;
        }
    }

    /// Bytes that they take.
    pub(super) fn memory(&self) -> usize {
        self.raw.memory() + self.shown.memory() + (self.shown_as.capacity() + self.numbers.capacity()) * 4
    }

    /// The texts of the flush are forgotten.
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        if self.memory() > MAX_MEMORY {
            *self = Names { are: self.are, ..Names::new() };
        }
    }
}

/// Names longer than any host's are left as they are.
const LONGEST: usize = 255;

/// The name in lower case without port and final dot, shortened to the registered domain by the public suffix list if
/// so configured. What is no name in a domain, such as an address, stays whole.
fn shown(host: &[u8], as_configured: HostName) -> Vec<u8> {
    let host = without_port(host);
    let host = host.strip_suffix(b".").unwrap_or(host);
    let name = host.to_ascii_lowercase();
    let ends_in_digit = name.last().is_some_and(u8::is_ascii_digit);
    if as_configured == HostName::FullName || name.len() > LONGEST || ends_in_digit || name.contains(&b':') {
        return name;
    }
    match psl::domain(&name) {
        Some(domain) => domain.as_bytes().to_vec(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shortened_to_what_was_registered() {
        for (host, domain) in [
            ("www.Example.co.uk:443", "example.co.uk"),
            ("r3---sn-abc.googlevideo.com", "googlevideo.com"),
            ("a.b.example.com.", "example.com"),
            ("example.com", "example.com"),
            ("bucket.s3.amazonaws.com", "bucket.s3.amazonaws.com"),
            ("co.uk", "co.uk"),
            ("localhost", "localhost"),
            ("a.unknown-ending", "a.unknown-ending"),
            ("192.0.2.7:80", "192.0.2.7"),
            ("[2001:db8::1]:443", "[2001:db8::1]"),
            ("", ""),
            ("..", "."),
        ] {
            let found = shown(host.as_bytes(), HostName::RegisteredDomain);
            assert_eq!(String::from_utf8_lossy(&found), domain, "{host}");
        }
        assert_eq!(shown(b"WWW.Example.com:80", HostName::FullName), b"www.example.com");
    }

    #[test]
    fn whatever_a_record_says_has_a_name() {
        for host in [vec![0xff; 300], vec![b'.'; 300], b"a..b".to_vec(), b"\xc3\x28.com".to_vec()] {
            shown(&host, HostName::RegisteredDomain);
        }
    }
}
