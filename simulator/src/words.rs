//! Texts of requests, and numbers written as text without allocating.

/// Paths of requests.
pub(super) const PATHS: [&[u8]; 8] = [
    b"/",
    b"/index.html",
    b"/favicon.ico",
    b"/api/v1/items?page=2",
    b"/static/app.min.js",
    b"/images/2026/11/header.webp",
    b"/search?q=weather+tomorrow",
    b"/generate_204",
];

/// Programs that ask.
pub(super) const USER_AGENTS: [&[u8]; 4] =
    [b"Mozilla/5.0 (X11; Linux x86_64) Browser/120.0", b"Dalvik/2.1.0 (Linux; Phone)", b"curl/8.9.1", b""];

/// One of the texts.
pub(super) fn one_of(texts: &[&'static [u8]], dice: u64) -> &'static [u8] {
    let index = dice % (texts.len() as u64).max(1);
    texts.get(index as usize).copied().unwrap_or_default()
}

/// The last `N` decimal digits.
pub(super) fn decimal<const N: usize>(mut number: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}

/// All 16 hexadecimal digits.
pub(super) fn hex(mut number: u64) -> [u8; 16] {
    let mut digits = [b'0'; 16];
    for digit in digits.iter_mut().rev() {
        *digit = symbol(b"0123456789abcdef", number & 0xf);
        number >>= 4;
    }
    digits
}

/// Four octets in base64 (RFC 4648 section 4).
pub(super) fn base64_of(octets: u32) -> [u8; 8] {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // 32 bits and 4 zeros are 6 symbols.
    let bits = u64::from(octets) << 4;
    let mut text = [b'='; 8];
    for (place, shift) in text.iter_mut().zip([30, 24, 18, 12, 6, 0]) {
        *place = symbol(ALPHABET, bits >> shift & 0x3f);
    }
    text
}

fn symbol(alphabet: &[u8], index: u64) -> u8 {
    alphabet.get(index as usize).copied().unwrap_or(b'?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everybody_writes_them() {
        assert_eq!(&decimal::<6>(1_234), b"001234");
        assert_eq!(&hex(0xbeef), b"000000000000beef");
        assert_eq!(&base64_of(0x7f00_0001), b"fwAAAQ==");
        assert_eq!(one_of(&PATHS, 9), b"/index.html");
    }
}
