//! What a host's name becomes in aggregates.

use crds::enrichment::HostName;

use crate::enrich::without_port;

/// Names longer than any host's are left as they are.
const LONGEST: usize = 255;

/// The name in lower case without port and final dot, shortened to the registered domain by the public suffix list if
/// so configured. What is no name in a domain, such as an address, stays whole.
pub(super) fn shown(host: &[u8], as_configured: HostName) -> Vec<u8> {
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
