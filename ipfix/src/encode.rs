//! Writing messages: what an exporter does, for tests and for the DPI simulator.
//!
//! The builder keeps the framing right (lengths, counts, padding); it does not check records against
//! their template, so that tests can write wrong ones.

use thiserror::Error;

use crate::element::Element;
use crate::message::{Protocol, VERSION_IPFIX, VERSION_V9};
use crate::template::{ENTERPRISE_BIT, FieldSpec, Template};

/// Why a message cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Lengths are 16 bits wide.
    #[error("message of {0} bytes is longer than 65535")]
    MessageTooLong(usize),
    /// A value of variable length has at most 65,535 bytes, a template as many fields.
    #[error("a value or a template is longer than its 16-bit length can say")]
    ValueTooLong,
}

/// Builds one message after the other in the same buffer.
///
/// ```
/// use ipfix::{Element, FieldSpec, MessageBuilder, Protocol, Template};
///
/// let template = Template::new(256, 0, vec![
///     FieldSpec::new(Element::iana(1), 8),
///     FieldSpec::variable(Element::vas_experts(2003)),
/// ]);
/// let mut builder = MessageBuilder::new(Protocol::Ipfix, 0);
/// builder.begin(1_700_000_000, 0);
/// builder.template(&template);
/// builder.begin_data(256);
/// builder.put_u64(1500);
/// builder.put_variable(b"user-1");
/// builder.end_record();
/// assert_eq!(builder.data_records(), 1); // the next message's sequence number is 1
/// let message = builder.finish()?;
/// assert_eq!(message.len(), 16 + 4 + 16 + 4 + 8 + 7);
/// # Ok::<(), ipfix::EncodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MessageBuilder {
    protocol: Protocol,
    domain: u32,
    uptime_ms: u32,
    alignment: usize,
    buf: Vec<u8>,
    open_set: Option<OpenSet>,
    data_records: u32,
    template_records: u32,
    value_too_long: bool,
}

#[derive(Clone, Copy, Debug)]
struct OpenSet {
    id: u16,
    start: usize,
}

impl MessageBuilder {
    /// A builder of messages of one observation domain (NetFlow v9: source id).
    pub fn new(protocol: Protocol, domain: u32) -> Self {
        let alignment = match protocol {
            Protocol::Ipfix => 1,
            Protocol::NetflowV9 => 4,
        };
        Self {
            protocol,
            domain,
            uptime_ms: 0,
            alignment,
            buf: Vec::with_capacity(2048),
            open_set: None,
            data_records: 0,
            template_records: 0,
            value_too_long: false,
        }
    }

    /// Pads each set with zeros to a multiple of `bytes` from the start of the message. The default
    /// is 4 for NetFlow v9, which demands it, and 1, no padding, for IPFIX. Records must not be
    /// shorter than the padding, or a decoder takes it for records.
    #[must_use]
    pub fn with_alignment(mut self, bytes: usize) -> Self {
        self.alignment = bytes.max(1);
        self
    }

    /// Sets the uptime in milliseconds that NetFlow v9 headers state.
    pub fn set_uptime_ms(&mut self, uptime_ms: u32) {
        self.uptime_ms = uptime_ms;
    }

    /// Begins a message and forgets the one before.
    ///
    /// `export_time` is in Unix seconds; `sequence` counts the data records (IPFIX) or the packets
    /// (NetFlow v9) sent before.
    pub fn begin(&mut self, export_time: u32, sequence: u32) {
        self.buf.clear();
        self.open_set = None;
        self.data_records = 0;
        self.template_records = 0;
        self.value_too_long = false;
        match self.protocol {
            Protocol::Ipfix => {
                self.put_u16(VERSION_IPFIX);
                self.put_u16(0); // length, known at the end
            }
            Protocol::NetflowV9 => {
                self.put_u16(VERSION_V9);
                self.put_u16(0); // count, known at the end
                self.put_u32(self.uptime_ms);
            }
        }
        self.put_u32(export_time);
        self.put_u32(sequence);
        self.put_u32(self.domain);
    }

    /// Appends a template or an options template; several of a kind in a row share a set.
    pub fn template(&mut self, template: &Template) {
        let Ok(field_count) = u16::try_from(template.fields.len()) else {
            self.value_too_long = true;
            return;
        };
        self.open_template_set(template.is_options());
        self.template_records += 1;
        self.put_u16(template.id);
        match (self.protocol, template.is_options()) {
            (_, false) => self.put_u16(field_count),
            (Protocol::Ipfix, true) => {
                self.put_u16(field_count);
                self.put_u16(template.scope_count);
            }
            (Protocol::NetflowV9, true) => {
                // NetFlow v9 counts the bytes of scope and option fields instead.
                let option_count = field_count.saturating_sub(template.scope_count);
                self.put_u16(template.scope_count.saturating_mul(4));
                self.put_u16(option_count.saturating_mul(4));
            }
        }
        for field in &template.fields {
            self.field_spec(field);
        }
    }

    fn field_spec(&mut self, field: &FieldSpec) {
        let Element { pen, id } = field.element;
        let with_pen = self.protocol == Protocol::Ipfix && pen != 0;
        self.put_u16(if with_pen { id | ENTERPRISE_BIT } else { id });
        self.put_u16(field.length);
        if with_pen {
            self.put_u32(pen);
        }
    }

    /// Appends the withdrawal of a template (RFC 7011 section 8.1). With the id of the set itself, 2
    /// or 3, it withdraws all templates of that kind.
    pub fn withdraw(&mut self, id: u16, options: bool) {
        self.open_template_set(options);
        self.template_records += 1;
        self.put_u16(id);
        self.put_u16(0);
    }

    fn open_template_set(&mut self, options: bool) {
        let id = match options {
            false => self.protocol.template_set_id(),
            true => self.protocol.options_template_set_id(),
        };
        if self.open_set.is_none_or(|set| set.id != id) {
            self.begin_set(id);
        }
    }

    /// Begins a data set for records of that template.
    pub fn begin_data(&mut self, template_id: u16) {
        self.begin_set(template_id);
    }

    /// Begins a set with any id.
    pub fn begin_set(&mut self, id: u16) {
        self.close_set();
        self.open_set = Some(OpenSet { id, start: self.buf.len() });
        self.put_u16(id);
        self.put_u16(0); // length, known at the end
    }

    fn close_set(&mut self) {
        let Some(set) = self.open_set.take() else { return };
        self.buf.resize(self.buf.len().next_multiple_of(self.alignment), 0);
        let length = self.buf.len() - set.start;
        self.patch_u16(set.start + 2, length);
    }

    /// Writes a length or count into its place. One that does not fit is noticed by `finish`,
    /// because then the message is too long as well.
    fn patch_u16(&mut self, at: usize, value: usize) {
        if let Some(place) = self.buf.get_mut(at..at + 2) {
            place.copy_from_slice(&(value as u16).to_be_bytes());
        }
    }

    /// Counts a record as complete.
    #[inline]
    pub fn end_record(&mut self) {
        self.data_records += 1;
    }

    /// The data records in the message so far.
    pub fn data_records(&self) -> u32 {
        self.data_records
    }

    /// The bytes of the message so far, without the padding of the open set.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Whether there is nothing besides the header.
    pub fn is_empty(&self) -> bool {
        self.buf.len() <= self.protocol.header_len()
    }

    /// The message so far, for appending whole records at once; remember [`Self::end_record`].
    #[inline]
    pub fn record_bytes(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Appends one byte.
    #[inline]
    pub fn put_u8(&mut self, value: u8) {
        self.buf.push(value);
    }

    /// Appends two bytes, big-endian.
    #[inline]
    pub fn put_u16(&mut self, value: u16) {
        self.buf.extend_from_slice(&value.to_be_bytes());
    }

    /// Appends four bytes, big-endian.
    #[inline]
    pub fn put_u32(&mut self, value: u32) {
        self.buf.extend_from_slice(&value.to_be_bytes());
    }

    /// Appends eight bytes, big-endian.
    #[inline]
    pub fn put_u64(&mut self, value: u64) {
        self.buf.extend_from_slice(&value.to_be_bytes());
    }

    /// Appends the low-order `width` bytes of a number, big-endian: reduced-size encoding (RFC 7011
    /// section 6.2). Widths above 8 are filled with zeros in front.
    pub fn put_uint(&mut self, value: u64, width: usize) {
        let bytes = value.to_be_bytes();
        self.buf.resize(self.buf.len() + width.saturating_sub(bytes.len()), 0);
        self.buf.extend_from_slice(bytes.get(bytes.len().saturating_sub(width)..).unwrap_or_default());
    }

    /// Appends raw bytes: the value of a field of fixed length.
    #[inline]
    pub fn put_bytes(&mut self, value: &[u8]) {
        self.buf.extend_from_slice(value);
    }

    /// Appends a value of variable length in the shorter encoding: one length byte up to 254 bytes,
    /// three above (RFC 7011 section 7).
    #[inline]
    pub fn put_variable(&mut self, value: &[u8]) {
        if value.len() < 255 {
            self.buf.push(value.len() as u8);
            self.buf.extend_from_slice(value);
        } else {
            self.put_variable_long(value);
        }
    }

    /// Appends a value of variable length with three length bytes, which is legal for short values
    /// too.
    pub fn put_variable_long(&mut self, value: &[u8]) {
        let Ok(length) = u16::try_from(value.len()) else {
            self.value_too_long = true;
            return;
        };
        self.buf.push(255);
        self.put_u16(length);
        self.buf.extend_from_slice(value);
    }

    /// Completes the message and returns it; the next [`Self::begin`] reuses its memory.
    ///
    /// # Errors
    /// If the message or something in it is longer than its length field can say.
    pub fn finish(&mut self) -> Result<&[u8], EncodeError> {
        self.close_set();
        if self.value_too_long {
            return Err(EncodeError::ValueTooLong);
        }
        if self.buf.len() > usize::from(u16::MAX) {
            return Err(EncodeError::MessageTooLong(self.buf.len()));
        }
        let value = match self.protocol {
            Protocol::Ipfix => self.buf.len(),
            Protocol::NetflowV9 => (self.data_records + self.template_records) as usize,
        };
        self.patch_u16(2, value);
        Ok(&self.buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipfix_message_byte_by_byte() {
        let mut builder = MessageBuilder::new(Protocol::Ipfix, 7);
        builder.begin(0x0102_0304, 9);
        builder.template(&Template::new(
            256,
            0,
            vec![FieldSpec::new(Element::iana(4), 1), FieldSpec::variable(Element::vas_experts(2003))],
        ));
        builder.begin_data(256);
        builder.put_u8(6);
        builder.put_variable(b"ab");
        builder.end_record();
        let expected = [
            &[0, 10, 0, 44, 1, 2, 3, 4, 0, 0, 0, 9, 0, 0, 0, 7][..],
            &[0, 2, 0, 20, 1, 0, 0, 2, 0, 4, 0, 1, 0x87, 0xd3, 0xff, 0xff, 0, 0, 0xab, 0x2f],
            &[1, 0, 0, 8, 6, 2, b'a', b'b'],
        ];
        assert_eq!(builder.finish().unwrap(), expected.concat());
    }

    #[test]
    fn a_v9_packet_byte_by_byte() {
        let mut builder = MessageBuilder::new(Protocol::NetflowV9, 7);
        builder.set_uptime_ms(5);
        builder.begin(1, 9);
        builder.template(&Template::new(
            257,
            1,
            vec![FieldSpec::new(Element::v9_scope(1), 4), FieldSpec::new(Element::iana(34), 4)],
        ));
        builder.begin_data(256);
        builder.put_uint(0x01_0203, 3);
        builder.end_record();
        let expected = [
            &[0, 9, 0, 2, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 7][..],
            &[0, 1, 0, 20, 1, 1, 0, 4, 0, 4, 0, 1, 0, 4, 0, 34, 0, 4, 0, 0],
            &[1, 0, 0, 8, 1, 2, 3, 0],
        ];
        assert_eq!(builder.finish().unwrap(), expected.concat());
    }

    #[test]
    fn lengths_that_do_not_fit_are_errors() {
        let mut builder = MessageBuilder::new(Protocol::Ipfix, 0);
        builder.begin(0, 0);
        builder.begin_data(256);
        builder.put_variable(&[0; 65_535]);
        assert_eq!(builder.finish(), Err(EncodeError::MessageTooLong(65_558)));
        builder.begin(0, 0);
        builder.put_variable(&[0; 65_536]);
        assert_eq!(builder.finish(), Err(EncodeError::ValueTooLong));
        builder.begin(0, 0);
        assert_eq!(builder.finish().map(<[u8]>::len), Ok(16));
    }

    #[test]
    fn variable_lengths_use_one_or_three_bytes() {
        let mut builder = MessageBuilder::new(Protocol::Ipfix, 0);
        for (length, expected) in [(254, 255), (255, 258), (1000, 1003)] {
            builder.begin(0, 0);
            builder.put_variable(&vec![1; length]);
            assert_eq!(builder.len() - 16, expected);
        }
        builder.begin(0, 0);
        builder.put_variable_long(b"x");
        assert_eq!(builder.len() - 16, 4);
    }
}
