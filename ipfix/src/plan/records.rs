//! Where records and their fields lie.
//!
//! A record is a row of segments: bytes whose number the template fixes. A field of variable length
//! ends a segment, the next one begins after its value; so a place in a record is a segment and an
//! offset in it, and a record without such fields is one segment.

use std::ops::Range;

use super::Decoded;
use crate::template::Template;

/// Where a field begins in a record; of a field of variable length: its length byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    segment: usize,
    offset: usize,
}

/// The segments of a template's records.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The fewest bytes that a record has.
    min_record_len: usize,
    /// Lengths of the segments that end with a field of variable length, without that field.
    before_variable: Vec<usize>,
    /// Length of the segment after the last field of variable length.
    last: usize,
}

impl Layout {
    /// The segments of a template's records, and the places of its fields.
    pub(super) fn of(template: &Template) -> (Self, Vec<Place>) {
        let mut places = Vec::with_capacity(template.fields.len());
        let mut before_variable = Vec::new();
        let mut offset = 0;
        for field in &template.fields {
            places.push(Place { segment: before_variable.len(), offset });
            if field.is_variable() {
                before_variable.push(offset);
                offset = 0;
            } else {
                offset += usize::from(field.length);
            }
        }
        (Self { min_record_len: template.min_record_len(), before_variable, last: offset }, places)
    }

    /// The length of every record, if there is no field of variable length.
    pub(super) fn stride(&self) -> Option<usize> {
        self.before_variable.is_empty().then_some(self.last)
    }

    /// The number of segments.
    pub(super) fn segments(&self) -> usize {
        self.before_variable.len() + 1
    }

    /// Counts the records in a data set.
    pub(super) fn count_records(&self, set_body: &[u8]) -> Decoded {
        match self.stride() {
            Some(0) => Decoded { records: 0, malformed_tail: !is_zero(set_body) },
            Some(stride) => {
                // What is left is shorter than a record: padding.
                Decoded { records: (set_body.len() / stride) as u32, malformed_tail: false }
            }
            None => self.walk(set_body, 0, |_| {}),
        }
    }

    /// Finds the records in a data set of variable length and appends the positions of all their
    /// segments within the buffer. The positions of a record that does not end within the set are
    /// not left behind.
    pub(super) fn find_records(
        &self,
        buffer: &[u8],
        body: &Range<usize>,
        positions: &mut Vec<u32>,
    ) -> Decoded {
        // Positions are 32 bits wide; messages are far shorter.
        let end = body.end.min(buffer.len()).min(u32::MAX as usize);
        let Some(up_to_end) = buffer.get(..end) else { return Decoded::default() };
        let found_before = positions.len();
        let decoded = self.walk(up_to_end, body.start, |position| positions.push(position as u32));
        positions.truncate(found_before + decoded.records as usize * self.segments());
        decoded
    }

    /// Goes from record to record, from `start` to the end of `bytes`, and tells where each segment
    /// begins.
    #[inline]
    fn walk(&self, bytes: &[u8], start: usize, mut segment_at: impl FnMut(usize)) -> Decoded {
        let mut records = 0;
        let mut at = start;
        // The shortest record has at least the length byte that made it variable, so this ends.
        while bytes.len().saturating_sub(at) >= self.min_record_len {
            let Some(end) = self.record_end(bytes, at, &mut segment_at) else {
                let malformed_tail = !is_zero(bytes.get(at..).unwrap_or_default());
                return Decoded { records, malformed_tail };
            };
            records += 1;
            at = end;
        }
        Decoded { records, malformed_tail: false }
    }

    /// Where the record that begins at `at` ends, if that is within `bytes`.
    #[inline]
    fn record_end(&self, bytes: &[u8], mut at: usize, segment_at: &mut impl FnMut(usize)) -> Option<usize> {
        for &length in &self.before_variable {
            segment_at(at);
            let (prefix, value) = variable_length(bytes, at + length)?;
            at += length + prefix + value;
        }
        segment_at(at);
        at += self.last;
        (at <= bytes.len()).then_some(at)
    }
}

/// Reads the length of a value of variable length (RFC 7011 section 7): the bytes that the length
/// itself takes, and the bytes of the value.
#[inline]
fn variable_length(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    match *bytes.get(at)? {
        u8::MAX => {
            let long = bytes.get(at + 1..at + 3)?.try_into().ok()?;
            Some((3, usize::from(u16::from_be_bytes(long))))
        }
        short => Some((1, usize::from(short))),
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// The values of a field over all records.
pub(super) trait Records {
    /// The number of records.
    fn len(&self) -> usize;

    /// The first `W` bytes of a field.
    fn arrays<const W: usize>(&self, place: Place) -> impl Iterator<Item = [u8; W]>;

    /// The first `width` bytes of a field.
    fn slices(&self, place: Place, width: usize) -> impl Iterator<Item = &[u8]>;

    /// The values of a field of variable length, without their lengths.
    fn variable(&self, place: Place) -> impl Iterator<Item = &[u8]>;
}

/// Records of one fixed length, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct FixedRecords<'a> {
    /// Exactly the records.
    bytes: &'a [u8],
    stride: usize,
}

impl<'a> FixedRecords<'a> {
    /// The first `records` records of a set.
    pub(super) fn new(set_body: &'a [u8], stride: usize, records: usize) -> Self {
        // `chunks_exact` does not allow 0; such a set has no records.
        Self { bytes: set_body.get(..records * stride).unwrap_or_default(), stride: stride.max(1) }
    }
}

impl Records for FixedRecords<'_> {
    fn len(&self) -> usize {
        self.bytes.len() / self.stride
    }

    #[inline]
    fn arrays<const W: usize>(&self, place: Place) -> impl Iterator<Item = [u8; W]> {
        self.bytes.chunks_exact(self.stride).map(move |record| array_at(record, place.offset))
    }

    #[inline]
    fn slices(&self, place: Place, width: usize) -> impl Iterator<Item = &[u8]> {
        let (start, end) = (place.offset, place.offset + width);
        self.bytes.chunks_exact(self.stride).map(move |record| record.get(start..end).unwrap_or_default())
    }

    /// There are none.
    fn variable(&self, _place: Place) -> impl Iterator<Item = &[u8]> {
        std::iter::repeat_n(&[][..], self.len())
    }
}

/// Records with fields of variable length, anywhere in a buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct VariableRecords<'a> {
    buffer: &'a [u8],
    /// For each record, where its segments begin.
    positions: &'a [u32],
    /// How many segments a record has.
    segments: usize,
}

impl<'a> VariableRecords<'a> {
    /// Records whose positions [`Layout::find_records`] has found.
    pub(super) fn new(buffer: &'a [u8], positions: &'a [u32], segments: usize) -> Self {
        Self { buffer, positions, segments: segments.max(1) }
    }

    /// The first `records` records, and the others.
    pub(super) fn split_at(self, records: usize) -> (Self, Self) {
        let middle = (records * self.segments).min(self.positions.len());
        let (first, others) = self.positions.split_at(middle);
        (Self { positions: first, ..self }, Self { positions: others, ..self })
    }

    #[inline]
    fn starts(&self, place: Place) -> impl Iterator<Item = usize> {
        let Place { segment, offset } = place;
        let records = self.positions.chunks_exact(self.segments);
        records.map(move |record| record.get(segment).map_or(0, |&start| start as usize + offset))
    }
}

impl Records for VariableRecords<'_> {
    fn len(&self) -> usize {
        self.positions.len() / self.segments
    }

    #[inline]
    fn arrays<const W: usize>(&self, place: Place) -> impl Iterator<Item = [u8; W]> {
        self.starts(place).map(|start| array_at(self.buffer, start))
    }

    #[inline]
    fn slices(&self, place: Place, width: usize) -> impl Iterator<Item = &[u8]> {
        self.starts(place).map(move |start| self.buffer.get(start..start + width).unwrap_or_default())
    }

    #[inline]
    fn variable(&self, place: Place) -> impl Iterator<Item = &[u8]> {
        self.starts(place).map(|start| {
            let (prefix, length) = variable_length(self.buffer, start).unwrap_or_default();
            let value = start + prefix;
            self.buffer.get(value..value + length).unwrap_or_default()
        })
    }
}

/// `W` bytes at `offset`. That they are there was made sure when the records were counted.
#[inline(always)]
fn array_at<const W: usize>(bytes: &[u8], offset: usize) -> [u8; W] {
    match bytes.get(offset..offset + W).map(<[u8; W]>::try_from) {
        Some(Ok(array)) => array,
        _ => [0; W],
    }
}
