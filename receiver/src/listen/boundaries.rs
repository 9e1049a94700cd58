//! Where the messages of a TCP stream end.

use ipfix::message::{HeaderError, Protocol, parse_header};

use super::Refusal;

/// Whole messages at the beginning of what was received.
pub struct Boundaries {
    /// Their bytes.
    pub whole: usize,
    /// Their number.
    pub messages: u32,
    /// What follows them cannot be a message.
    pub error: Option<(Refusal, String)>,
}

/// Finds whole messages.
pub fn find_messages(received: &[u8]) -> Boundaries {
    let mut boundaries = Boundaries { whole: 0, messages: 0, error: None };
    loop {
        let rest = received.get(boundaries.whole..).unwrap_or_default();
        match parse_header(rest) {
            Ok(header) if header.protocol == Protocol::NetflowV9 => {
                let detail = "NetFlow v9 has no message length and cannot be sent over TCP: use UDP or IPFIX";
                boundaries.error = Some((Refusal::NetflowV9OverTcp, detail.to_string()));
                return boundaries;
            }
            Ok(header) if rest.len() >= header.length as usize => {
                boundaries.whole += header.length as usize;
                boundaries.messages += 1;
            }
            Ok(_) | Err(HeaderError::Incomplete) => return boundaries,
            Err(error) => {
                boundaries.error = Some((Refusal::of_header(&error), error.to_string()));
                return boundaries;
            }
        }
    }
}
