//! Columns: where decoded values go, one growing array per wanted column.
//!
//! Numbers are kept in host order, so that a column can be written out as it stands. A column never
//! holds a value of its own type per row: the kind is chosen once.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// Unsigned, one byte.
    U8,
    /// Unsigned, two bytes.
    U16,
    /// Unsigned, four bytes; also IPv4 addresses.
    U32,
    /// Unsigned, eight bytes.
    U64,
    /// Sixteen bytes in network order: IPv6 addresses.
    Bytes16,
    /// Strings and raw bytes of any length.
    Bytes,
}

/// The values of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// See [`ColumnKind::U8`].
    U8(Vec<u8>),
    /// See [`ColumnKind::U16`].
    U16(Vec<u16>),
    /// See [`ColumnKind::U32`].
    U32(Vec<u32>),
    /// See [`ColumnKind::U64`].
    U64(Vec<u64>),
    /// See [`ColumnKind::Bytes16`].
    Bytes16(Vec<[u8; 16]>),
    /// See [`ColumnKind::Bytes`].
    Bytes(BytesColumn),
}

/// Runs one expression on whatever vector (or [`BytesColumn`]) a column holds.
macro_rules! each {
    ($column:expr, $values:ident => $body:expr) => {
        match $column {
            Column::U8($values) => $body,
            Column::U16($values) => $body,
            Column::U32($values) => $body,
            Column::U64($values) => $body,
            Column::Bytes16($values) => $body,
            Column::Bytes($values) => $body,
        }
    };
}

impl Column {
    /// An empty column.
    pub fn new(kind: ColumnKind) -> Self {
        Self::with_capacity(kind, 0)
    }

    /// An empty column with room for `rows` values (of byte columns: for their ends only).
    pub fn with_capacity(kind: ColumnKind, rows: usize) -> Self {
        match kind {
            ColumnKind::U8 => Self::U8(Vec::with_capacity(rows)),
            ColumnKind::U16 => Self::U16(Vec::with_capacity(rows)),
            ColumnKind::U32 => Self::U32(Vec::with_capacity(rows)),
            ColumnKind::U64 => Self::U64(Vec::with_capacity(rows)),
            ColumnKind::Bytes16 => Self::Bytes16(Vec::with_capacity(rows)),
            ColumnKind::Bytes => {
                Self::Bytes(BytesColumn { data: Vec::new(), ends: Vec::with_capacity(rows) })
            }
        }
    }

    /// What the column holds.
    pub fn kind(&self) -> ColumnKind {
        match self {
            Self::U8(_) => ColumnKind::U8,
            Self::U16(_) => ColumnKind::U16,
            Self::U32(_) => ColumnKind::U32,
            Self::U64(_) => ColumnKind::U64,
            Self::Bytes16(_) => ColumnKind::Bytes16,
            Self::Bytes(_) => ColumnKind::Bytes,
        }
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        each!(self, values => values.len())
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the values and keeps the memory.
    pub fn clear(&mut self) {
        each!(self, values => values.clear());
    }

    /// Keeps the first `rows` values.
    pub fn truncate(&mut self, rows: usize) {
        each!(self, values => values.truncate(rows));
    }

    /// Keeps the rows that are marked, in their order; rows beyond the marks go.
    pub fn retain(&mut self, keep: &[bool]) {
        match self {
            Self::U8(values) => retain(values, keep),
            Self::U16(values) => retain(values, keep),
            Self::U32(values) => retain(values, keep),
            Self::U64(values) => retain(values, keep),
            Self::Bytes16(values) => retain(values, keep),
            Self::Bytes(values) => values.retain(keep),
        }
    }

    /// Appends `rows` times the default: 0, or the empty string.
    pub fn push_defaults(&mut self, rows: usize) {
        match self {
            Self::U8(values) => values.resize(values.len() + rows, 0),
            Self::U16(values) => values.resize(values.len() + rows, 0),
            Self::U32(values) => values.resize(values.len() + rows, 0),
            Self::U64(values) => values.resize(values.len() + rows, 0),
            Self::Bytes16(values) => values.resize(values.len() + rows, [0; 16]),
            Self::Bytes(values) => values.push_empty(rows),
        }
    }

    /// Appends `rows` times `value`, cut to the column's width. Columns of bytes get defaults.
    pub fn push_constant(&mut self, value: u64, rows: usize) {
        match self {
            Self::U8(values) => values.resize(values.len() + rows, value as u8),
            Self::U16(values) => values.resize(values.len() + rows, value as u16),
            Self::U32(values) => values.resize(values.len() + rows, value as u32),
            Self::U64(values) => values.resize(values.len() + rows, value),
            Self::Bytes16(_) | Self::Bytes(_) => self.push_defaults(rows),
        }
    }

    /// The bytes that the values take, for deciding when a block is full.
    pub fn byte_size(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::U16(values) => size_of_val(values.as_slice()),
            Self::U32(values) => size_of_val(values.as_slice()),
            Self::U64(values) => size_of_val(values.as_slice()),
            Self::Bytes16(values) => size_of_val(values.as_slice()),
            Self::Bytes(values) => values.data.len() + size_of_val(values.ends.as_slice()),
        }
    }
}

fn retain<T>(values: &mut Vec<T>, keep: &[bool]) {
    let mut marks = keep.iter();
    values.retain(|_| marks.next() == Some(&true));
}

/// Values of any length: the i-th one is `data[ends[i - 1]..ends[i]]`, the first begins at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BytesColumn {
    /// All values, one after the other.
    pub data: Vec<u8>,
    /// Where each value ends in `data`.
    pub ends: Vec<u32>,
}

impl BytesColumn {
    /// The number of values.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets the values and keeps the memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
    }

    /// Keeps the first `rows` values.
    pub fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.data.truncate(self.last_end() as usize);
    }

    /// Keeps the rows that are marked, in their order; rows beyond the marks go.
    pub fn retain(&mut self, keep: &[bool]) {
        let (mut rows, mut length, mut start) = (0, 0, 0);
        for row in 0..self.ends.len().min(keep.len()) {
            let Some(&end) = self.ends.get(row) else { break };
            if keep.get(row) == Some(&true) {
                self.data.copy_within(start as usize..end as usize, length as usize);
                length += end - start;
                if let Some(place) = self.ends.get_mut(rows) {
                    *place = length;
                }
                rows += 1;
            }
            start = end;
        }
        self.truncate(rows);
    }

    /// Appends a value. A column cannot hold more than 4 GiB: what would not fit is appended as the
    /// empty string (blocks are sent long before, see [`Column::byte_size`]).
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        match u32::try_from(self.data.len() + value.len()) {
            Ok(end) => {
                self.data.extend_from_slice(value);
                self.ends.push(end);
            }
            Err(_) => self.push_empty(1),
        }
    }

    /// Appends `rows` empty values.
    pub fn push_empty(&mut self, rows: usize) {
        let end = self.last_end();
        self.ends.resize(self.ends.len() + rows, end);
    }

    /// The value in a row, if there is such a row.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let end = *self.ends.get(row)?;
        let start = match row.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.data.get(start as usize..end as usize)
    }

    /// All values in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let value = self.data.get(start as usize..end as usize).unwrap_or_default();
            start = end;
            value
        })
    }

    fn last_end(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ColumnKind; 6] = [
        ColumnKind::U8,
        ColumnKind::U16,
        ColumnKind::U32,
        ColumnKind::U64,
        ColumnKind::Bytes16,
        ColumnKind::Bytes,
    ];

    #[test]
    fn every_kind_grows_and_shrinks() {
        for kind in KINDS {
            let mut column = Column::new(kind);
            assert_eq!(column.kind(), kind);
            column.push_defaults(2);
            column.push_constant(7, 3);
            assert_eq!(column.len(), 5);
            column.truncate(4);
            assert_eq!(column.len(), 4);
            column.clear();
            assert!(column.is_empty());
            assert_eq!(column.byte_size(), 0);
        }
    }

    #[test]
    fn constants_are_cut_to_the_width() {
        let mut column = Column::new(ColumnKind::U16);
        column.push_constant(0x1_0002, 1);
        assert_eq!(column, Column::U16(vec![2]));
    }

    #[test]
    fn marked_rows_stay() {
        for kind in KINDS {
            let mut column = Column::new(kind);
            (1..=5).for_each(|value| column.push_constant(value, 1));
            let mut expected = Column::new(kind);
            [2, 3, 5].into_iter().for_each(|value| expected.push_constant(value, 1));
            column.retain(&[false, true, true, false, true]);
            assert_eq!(column, expected);
            column.retain(&[true]);
            assert_eq!(column.len(), 1);
            column.retain(&[]);
            assert!(column.is_empty());
        }
        let mut texts = BytesColumn::default();
        [&b"one"[..], b"", b"three", b"4", b"fives"].into_iter().for_each(|text| texts.push(text));
        texts.retain(&[true, true, false, false, true]);
        assert_eq!(texts.iter().collect::<Vec<_>>(), [&b"one"[..], b"", b"fives"]);
        assert_eq!(texts.data.len(), 8);
        texts.retain(&[false, true, true]);
        assert_eq!(texts.iter().collect::<Vec<_>>(), [&b""[..], b"fives"]);
    }

    #[test]
    fn byte_values_come_back() {
        let mut column = BytesColumn::default();
        column.push(b"abc");
        column.push_empty(1);
        column.push(b"de");
        assert_eq!(column.iter().collect::<Vec<_>>(), [&b"abc"[..], b"", b"de"]);
        assert_eq!(column.get(0), Some(&b"abc"[..]));
        assert_eq!(column.get(2), Some(&b"de"[..]));
        assert_eq!(column.get(3), None);
        column.truncate(1);
        assert_eq!(column, BytesColumn { data: b"abc".to_vec(), ends: vec![3] });
    }
}
