//! Reads rows in ClickHouse's RowBinary format, as a dictionary's rows are fetched and kept. Whatever the bytes
//! are, it ends with rows or with an error, and a length is never believed before its bytes are there.

use std::io::{self, BufRead, Read};

/// The longest text of a field. No field of a dictionary's line is longer.
const MOST_TEXT: u64 = 1 << 16;
/// The most DPIs that a row may be limited to.
const MOST_DPIS: u64 = 1 << 16;

/// Reads the fields of rows one after the other.
pub struct RowBinary<R> {
    from: R,
}

impl<R: BufRead> RowBinary<R> {
    /// Rows of `from`.
    pub fn new(from: R) -> RowBinary<R> {
        RowBinary { from }
    }

    /// Whether there is no further row.
    pub fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.from.fill_buf()?.is_empty())
    }

    /// A UInt16.
    pub fn u16(&mut self) -> io::Result<u16> {
        Ok(u16::from_le_bytes(self.bytes()?))
    }

    /// A UInt32.
    pub fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    /// A String.
    pub fn text(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        let length = self.length(MOST_TEXT, "a text")?;
        into.clear();
        self.from.by_ref().take(length).read_to_end(into)?;
        if into.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// An Array(UInt16).
    pub fn dpis(&mut self, into: &mut Vec<u16>) -> io::Result<()> {
        into.clear();
        for _ in 0..self.length(MOST_DPIS, "a list of DPIs")? {
            into.push(self.u16()?);
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// A length as LEB128.
    fn length(&mut self, most: u64, what: &str) -> io::Result<u64> {
        let mut length = 0_u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.bytes()?;
            length |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if length > most {
                    break;
                }
                return Ok(length);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("{what} is longer than {most}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order_to_the_end() {
        let mut bytes = vec![2, 1, 0, 3, 0];
        bytes.extend([5]);
        bytes.extend(b"hello");
        bytes.extend(7_u32.to_le_bytes());
        let mut rows = RowBinary::new(bytes.as_slice());
        let mut dpis = Vec::new();
        rows.dpis(&mut dpis).unwrap();
        assert_eq!(dpis, [1, 3]);
        let mut text = Vec::new();
        rows.text(&mut text).unwrap();
        assert_eq!(text, b"hello");
        assert!(!rows.is_at_end().unwrap());
        assert_eq!(rows.u32().unwrap(), 7);
        assert!(rows.is_at_end().unwrap());
        assert!(rows.u16().is_err());
    }

    #[test]
    fn a_length_is_not_believed() {
        for bytes in [&[0xff; 9][..], &[0xff, 0xff, 0xff, 0x0f, 1], &[200, 1, b'x']] {
            assert!(RowBinary::new(bytes).text(&mut Vec::new()).is_err(), "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut rows = RowBinary::new(bytes.as_slice());
            let mut dpis = Vec::new();
            while rows.dpis(&mut dpis).is_ok() && rows.text(&mut Vec::new()).is_ok() {}
        }
    }
}
