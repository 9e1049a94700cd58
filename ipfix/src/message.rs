//! Framing: message headers, and the sets within a message.
//!
//! Nothing here looks into a set, copies bytes or trusts a length: a set is handed out only if it
//! lies within its message.

use nom::number::complete::{be_u16, be_u32};
use nom::{IResult, Parser};
use thiserror::Error;

/// Length of an IPFIX message header in bytes (RFC 7011 section 3.1).
pub const IPFIX_HEADER_LEN: usize = 16;
/// Length of a NetFlow v9 packet header in bytes (RFC 3954 section 5.1).
pub const V9_HEADER_LEN: usize = 20;
/// Length of a set header in bytes: id and length.
pub const SET_HEADER_LEN: usize = 4;

const VERSION_V5: u16 = 5;
pub(crate) const VERSION_V9: u16 = 9;
pub(crate) const VERSION_IPFIX: u16 = 10;

/// The two protocols that we decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// IPFIX, version 10 (RFC 7011).
    Ipfix,
    /// NetFlow version 9 (RFC 3954).
    NetflowV9,
}

impl Protocol {
    /// Length of the message header in bytes.
    pub const fn header_len(self) -> usize {
        match self {
            Self::Ipfix => IPFIX_HEADER_LEN,
            Self::NetflowV9 => V9_HEADER_LEN,
        }
    }

    /// The id of sets that hold templates.
    pub(crate) const fn template_set_id(self) -> u16 {
        match self {
            Self::Ipfix => 2,
            Self::NetflowV9 => 0,
        }
    }

    /// The id of sets that hold options templates.
    pub(crate) const fn options_template_set_id(self) -> u16 {
        match self {
            Self::Ipfix => 3,
            Self::NetflowV9 => 1,
        }
    }
}

/// A message header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which protocol the message speaks.
    pub protocol: Protocol,
    /// Bytes of the whole message; NetFlow v9 does not say, there it is the length of the datagram.
    pub length: u16,
    /// When the message left the exporter, in Unix seconds.
    pub export_time: u32,
    /// IPFIX: data records sent before this message. NetFlow v9: packets sent before. Both modulo
    /// 2^32 and per observation domain.
    pub sequence: u32,
    /// Observation domain; NetFlow v9: source id.
    pub domain: u32,
    /// NetFlow v9: records in the packet, templates included. IPFIX: 0.
    pub count: u16,
    /// NetFlow v9: milliseconds since the exporter booted. IPFIX: 0.
    pub uptime_ms: u32,
}

/// Why bytes are no message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The header is not there completely; on a stream: read on.
    #[error("message header is incomplete")]
    Incomplete,
    /// NetFlow v5, which is what the DPI sends unless it is told otherwise.
    #[error(
        "this is NetFlow v5, which is not supported: set netflow_full_collector_type on the DPI \
         (0, its default, is NetFlow v5; 1 is IPFIX over UDP, 2 is IPFIX over TCP)"
    )]
    NetflowV5,
    /// Neither IPFIX nor NetFlow v9.
    #[error("version {0} is neither IPFIX (10) nor NetFlow v9 (9)")]
    BadVersion(u16),
    /// The message claims to be shorter than its header, or the datagram is too long for a message.
    #[error("message length {0} is impossible")]
    BadLength(u16),
}

/// Reads a message header.
///
/// For IPFIX the buffer may hold less or more than the message: compare [`Header::length`] with
/// what is there. For NetFlow v9 the buffer must be the datagram.
///
/// # Errors
/// See [`HeaderError`]. The version is judged as soon as two bytes are there.
pub fn parse_header(buf: &[u8]) -> Result<Header, HeaderError> {
    let (rest, version) = incomplete(be_u16(buf))?;
    match version {
        VERSION_IPFIX => {
            let (_, header) = incomplete(ipfix_header(rest))?;
            if usize::from(header.length) < IPFIX_HEADER_LEN {
                return Err(HeaderError::BadLength(header.length));
            }
            Ok(header)
        }
        VERSION_V9 => {
            let (_, mut header) = incomplete(v9_header(rest))?;
            header.length = u16::try_from(buf.len()).map_err(|_| HeaderError::BadLength(u16::MAX))?;
            Ok(header)
        }
        VERSION_V5 => Err(HeaderError::NetflowV5),
        other => Err(HeaderError::BadVersion(other)),
    }
}

fn ipfix_header(input: &[u8]) -> IResult<&[u8], Header> {
    let (input, (length, export_time, sequence, domain)) = (be_u16, be_u32, be_u32, be_u32).parse(input)?;
    let protocol = Protocol::Ipfix;
    Ok((input, Header { protocol, length, export_time, sequence, domain, count: 0, uptime_ms: 0 }))
}

fn v9_header(input: &[u8]) -> IResult<&[u8], Header> {
    let (input, (count, uptime_ms, export_time, sequence, domain)) =
        (be_u16, be_u32, be_u32, be_u32, be_u32).parse(input)?;
    let protocol = Protocol::NetflowV9;
    Ok((input, Header { protocol, length: 0, export_time, sequence, domain, count, uptime_ms }))
}

/// The number parsers fail for one reason only: too few bytes.
fn incomplete<T>(result: IResult<&[u8], T>) -> Result<(&[u8], T), HeaderError> {
    result.map_err(|_| HeaderError::Incomplete)
}

/// What a set holds, told by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetKind {
    /// Templates.
    Template,
    /// Options templates.
    OptionsTemplate,
    /// Data records (also those of options templates).
    Data,
    /// An id that the protocol does not define: to be skipped.
    Reserved,
}

/// One set of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set<'a> {
    /// The set's id; of data sets: the id of their template.
    pub id: u16,
    /// Everything after the set header, padding included.
    pub body: &'a [u8],
    /// Where `body` begins within the message.
    pub offset: usize,
}

impl Set<'_> {
    /// What the set holds.
    pub fn kind(&self, protocol: Protocol) -> SetKind {
        if self.id >= 256 {
            SetKind::Data
        } else if self.id == protocol.template_set_id() {
            SetKind::Template
        } else if self.id == protocol.options_template_set_id() {
            SetKind::OptionsTemplate
        } else {
            SetKind::Reserved
        }
    }
}

/// Why the rest of a message cannot be divided into sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SetError {
    /// A set claims to be shorter than its own header.
    #[error("set {id} at byte {offset} claims a length of {length}, less than its header")]
    TooShort {
        /// Where the set header begins within the message.
        offset: usize,
        /// The set's id.
        id: u16,
        /// The claimed length.
        length: u16,
    },
    /// A set claims to go on after its message has ended.
    #[error("set {id} at byte {offset} claims a length of {length}, only {available} bytes are left")]
    TooLong {
        /// Where the set header begins within the message.
        offset: usize,
        /// The set's id.
        id: u16,
        /// The claimed length.
        length: u16,
        /// The bytes that the message has from there on.
        available: usize,
    },
    /// Less than a set header is left, and it is not padding.
    #[error("{available} bytes at byte {offset} are too few for a set")]
    TrailingBytes {
        /// Where they begin within the message.
        offset: usize,
        /// How many they are.
        available: usize,
    },
}

/// The sets of a message. Ends after the first error, because nothing after it can be found.
#[derive(Clone, Debug)]
pub struct Sets<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Sets<'a> {
    /// The sets of `message`, which begins with its header. Bytes after the length that the header
    /// states are ignored; if the message is shorter, its last set is found too long.
    pub fn new(header: &Header, message: &'a [u8]) -> Self {
        let end = message.len().min(usize::from(header.length));
        let offset = header.protocol.header_len();
        Self { rest: message.get(offset..end).unwrap_or_default(), offset }
    }

    fn stop(&mut self, error: SetError) -> Option<Result<Set<'a>, SetError>> {
        self.rest = &[];
        Some(Err(error))
    }
}

impl<'a> Iterator for Sets<'a> {
    type Item = Result<Set<'a>, SetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        let available = self.rest.len();
        let Ok((after_header, (id, length))) = set_header(self.rest) else {
            // Padding behind the last set is not foreseen, but harmless.
            if self.rest.iter().all(|&byte| byte == 0) {
                return None;
            }
            return self.stop(SetError::TrailingBytes { offset, available });
        };
        let Some(body_len) = usize::from(length).checked_sub(SET_HEADER_LEN) else {
            return self.stop(SetError::TooShort { offset, id, length });
        };
        let Some((body, rest)) = after_header.split_at_checked(body_len) else {
            return self.stop(SetError::TooLong { offset, id, length, available });
        };
        self.rest = rest;
        self.offset += usize::from(length);
        Some(Ok(Set { id, body, offset: offset + SET_HEADER_LEN }))
    }
}

fn set_header(input: &[u8]) -> IResult<&[u8], (u16, u16)> {
    (be_u16, be_u16).parse(input)
}
