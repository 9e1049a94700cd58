//! The one on-disk record format: a 48-byte header and a payload, checked by CRC32C. Journal
//! segments, the intent log and set-aside files all consist of frames, so there is one encoder, one
//! check and one repair. This module does no I/O and must never trust a length that it has read.

use crc_fast::{CrcAlgorithm, Digest};

/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 48;
/// The largest payload that is ever written or believed, in bytes. A checkpoint is the largest: see
/// the bounds of what the decoder remembers.
pub const MAX_PAYLOAD: usize = 64 << 20;
/// Journal frames start at multiples of this many bytes, so that a damaged one can be stepped over.
pub const ALIGNMENT: usize = 4096;

const MAGIC: u32 = u32::from_le_bytes(*b"QoeF");

/// What a frame's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Whole IPFIX messages of one TCP session, back to back.
    Stream = 1,
    /// Datagrams of one UDP session, each preceded by its length as a little-endian u16.
    Datagrams = 2,
    /// A session begins; the payload names its peer (JSON).
    SessionOpened = 3,
    /// A session has ended; no payload.
    SessionClosed = 4,
    /// At the head of a segment: a session in force and its templates. Not part of the sequence of
    /// frame numbers: it repeats what earlier frames said.
    Head = 5,
    /// Intent log: a range that is about to be inserted.
    Intent = 16,
    /// Intent log: a range that is settled.
    Done = 17,
    /// Intent log: everything known at a low-water mark.
    Checkpoint = 18,
    /// Intent log: a row of the ledger that is about to be inserted.
    LedgerRow = 19,
    /// Set-aside file: rows that the server refused.
    SetAside = 20,
    /// Intent log: what became of a part of a range whose content was refused.
    Piece = 21,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        const ALL: [Kind; 11] = [
            Kind::Stream,
            Kind::Datagrams,
            Kind::SessionOpened,
            Kind::SessionClosed,
            Kind::Head,
            Kind::Intent,
            Kind::Done,
            Kind::Checkpoint,
            Kind::LedgerRow,
            Kind::SetAside,
            Kind::Piece,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame's header. All integers are little-endian on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// CRC32C over the rest of the header and the payload.
    pub crc: u32,
    /// Payload length in bytes, without padding.
    pub length: u32,
    /// What the payload is.
    pub kind: Kind,
    /// The first four bytes of the journal's identity: a frame of another journal is not ours.
    pub journal: u32,
    /// Position in the journal, from 1, without holes within one life of the process.
    pub number: u64,
    /// Arrival, microseconds since 1970 UTC, strictly increasing within a journal.
    pub arrival_us: u64,
    /// The number of the frame that opened the session.
    pub session: u64,
    /// Whole messages in the payload.
    pub messages: u32,
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than a header or than its length says.
    #[error("the frame is cut off")]
    CutOff,
    /// No frame begins here.
    #[error("no frame begins here")]
    NoMagic,
    /// The kind is unknown or the length is beyond the limit.
    #[error("the frame's header is impossible")]
    BadHeader,
    /// The CRC does not match.
    #[error("the frame's CRC does not match its content")]
    BadCrc,
}

impl Header {
    /// Bytes that the frame takes on disk when frames are padded to `alignment`.
    pub fn stored_len(&self, alignment: usize) -> u64 {
        padded(HEADER_LEN + self.length as usize, alignment) as u64
    }

    /// Reads a header; the CRC is checked by [`check`], which needs the payload.
    pub fn parse(bytes: &[u8]) -> Result<Header, FrameError> {
        let header = bytes.first_chunk::<HEADER_LEN>().ok_or(FrameError::CutOff)?;
        let mut reader = Fields { rest: header };
        if reader.u32() != MAGIC {
            return Err(FrameError::NoMagic);
        }
        let crc = reader.u32();
        let length = reader.u32();
        let kind = reader.u32();
        let kind = u8::try_from(kind).ok().and_then(Kind::from_byte).ok_or(FrameError::BadHeader)?;
        if length as usize > MAX_PAYLOAD {
            return Err(FrameError::BadHeader);
        }
        Ok(Header {
            crc,
            length,
            kind,
            journal: reader.u32(),
            messages: reader.u32(),
            number: reader.u64(),
            arrival_us: reader.u64(),
            session: reader.u64(),
        })
    }

    /// The header's bytes for a payload given in parts; fills in `length` and `crc`.
    pub fn seal(&mut self, payload: &[&[u8]]) -> [u8; HEADER_LEN] {
        let length: usize = payload.iter().map(|part| part.len()).sum();
        self.length = u32::try_from(length).unwrap_or(u32::MAX);
        let mut bytes = self.bytes();
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        if let Some(rest) = bytes.get(8..) {
            digest.update(rest);
        }
        for part in payload {
            digest.update(part);
        }
        self.crc = digest.finalize() as u32;
        if let Some(field) = bytes.get_mut(4..8) {
            field.copy_from_slice(&self.crc.to_le_bytes());
        }
        bytes
    }

    fn bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let words = [MAGIC, self.crc, self.length, self.kind as u32, self.journal, self.messages];
        let doubles = [self.number, self.arrival_us, self.session];
        let encoded = words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .chain(doubles.iter().flat_map(|double| double.to_le_bytes()));
        for (slot, byte) in bytes.iter_mut().zip(encoded) {
            *slot = byte;
        }
        bytes
    }

    /// Checks a payload against the header's CRC.
    pub fn check(&self, payload: &[u8]) -> Result<(), FrameError> {
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        let bytes = self.bytes();
        digest.update(bytes.get(8..).unwrap_or_default());
        digest.update(payload);
        if digest.finalize() as u32 == self.crc { Ok(()) } else { Err(FrameError::BadCrc) }
    }
}

/// `length` rounded up to a multiple of `alignment`.
pub fn padded(length: usize, alignment: usize) -> usize {
    length.div_ceil(alignment.max(1)) * alignment.max(1)
}

/// CRC32C of some bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Reads little-endian integers one after the other; zero past the end.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn u32(&mut self) -> u32 {
        let Some((field, rest)) = self.rest.split_first_chunk::<4>() else { return 0 };
        self.rest = rest;
        u32::from_le_bytes(*field)
    }

    fn u64(&mut self) -> u64 {
        let Some((field, rest)) = self.rest.split_first_chunk::<8>() else { return 0 };
        self.rest = rest;
        u64::from_le_bytes(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            crc: 0,
            length: 0,
            kind: Kind::Stream,
            journal: 7,
            number: 3,
            arrival_us: 1_700_000_000_000_000,
            session: 1,
            messages: 2,
        }
    }

    #[test]
    fn a_sealed_frame_reads_back() {
        let mut sealed = header();
        let bytes = sealed.seal(&[b"ab", b"cde"]);
        let read = Header::parse(&bytes).unwrap();
        assert_eq!(read, sealed);
        assert_eq!(read.length, 5);
        assert_eq!(read.check(b"abcde"), Ok(()));
        assert_eq!(read.check(b"abcdf"), Err(FrameError::BadCrc));
        assert_eq!(read.stored_len(4096), 4096);
    }

    #[test]
    fn the_crc_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_found(bit in 0..HEADER_LEN * 8, payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = header().seal(&[&payload]);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let accepted = Header::parse(&bytes)
                .and_then(|read| if read.length as usize == payload.len() { read.check(&payload) } else { Err(FrameError::CutOff) });
            prop_assert!(accepted.is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            if let Ok(read) = Header::parse(&bytes) {
                let _ = read.check(&bytes);
            }
        }
    }
}
