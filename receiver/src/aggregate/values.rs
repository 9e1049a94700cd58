//! What the records of a block bring to their groups, laid out so that a group takes a record's values as they lie.

use std::ops::Range;

use crds::enrichment::RttUnit;
use ipfix::Column;
use schema::aggregate::Way;

use super::layout::{Add, Layout};
use crate::enrich::TO;

/// Rows that are laid out at a time: they stay in the cache until they are added.
pub(super) const PIECE: usize = 1024;

/// Buffers for one block, and for a piece of it.
#[derive(Default)]
pub(super) struct Values {
    /// The columns that are summed.
    summed: Vec<Vec<u64>>,
    /// Microseconds; 0: none was measured.
    rtt: Vec<u64>,
    /// All ones for records to the subscriber, else 0.
    is_to: Vec<u64>,
    /// Of each record of the piece its slots.
    slots: Vec<u64>,
    piece: Range<usize>,
}

/// What one record brings.
pub(super) struct Brought<'a> {
    pub(super) slots: &'a [u64],
    pub(super) rtt: u64,
    pub(super) is_to: bool,
}

impl Values {
    /// Takes the columns of a block, all numbers in 8 bytes.
    pub(super) fn take(&mut self, layout: &Layout, columns: &[Column], rtt_unit: RttUnit, rows: usize) {
        let Values { summed, rtt, is_to, .. } = self;
        summed.resize_with(layout.summed.len(), Vec::new);
        for (values, place) in summed.iter_mut().zip(&layout.summed) {
            widen(columns.get(*place), 1, rows, values);
        }
        let unit = rtt_unit.microseconds().into();
        widen(layout.rtt.and_then(|place| columns.get(place)), unit, rows, rtt);
        is_to.clear();
        let directions = layout.directions(columns);
        is_to.extend(directions.iter().map(|direction| if *direction == TO { u64::MAX } else { 0 }));
        is_to.resize(rows, 0);
    }

    /// Lays out the slots of some rows.
    pub(super) fn lay_out(&mut self, layout: &Layout, piece: Range<usize>) {
        let width = layout.slots.all();
        self.slots.clear();
        self.slots.resize(piece.len() * width, 0);
        self.piece = piece.clone();
        let is_to = self.is_to.get(piece.clone()).unwrap_or_default();
        let rtt = self.rtt.get(piece.clone()).unwrap_or_default();
        let summed = |place: usize| {
            let values = self.summed.get(place).and_then(|values| values.get(piece.clone()));
            values.unwrap_or_default().iter()
        };
        for (slot, (add, way)) in layout.adds.iter().enumerate() {
            let mut bring = Bring { slots: &mut self.slots, width, slot, way: *way, is_to };
            match *add {
                Add::Nothing => {}
                Add::One => bring.all(is_to.iter().map(|_| 1)),
                Add::NonZero(place) => bring.all(summed(place).map(|value| u64::from(*value != 0))),
                Add::Value(place) => bring.all(summed(place).copied()),
                Add::RttCount => bring.all(rtt.iter().map(|rtt| u64::from(*rtt != 0))),
                Add::Rtt => bring.all(rtt.iter().copied()),
                Add::RttComplement => bring.all(rtt.iter().map(|rtt| if *rtt == 0 { 0 } else { !rtt })),
            }
        }
    }

    /// What a row of the block brings, which must be of the piece.
    #[inline]
    pub(super) fn of(&self, layout: &Layout, row: usize) -> Brought<'_> {
        let start = (row - self.piece.start) * layout.slots.all();
        Brought {
            slots: self.slots.get(start..start + layout.slots.all()).unwrap_or_default(),
            rtt: self.rtt.get(row).copied().unwrap_or(0),
            is_to: self.is_to.get(row).is_some_and(|is_to| *is_to != 0),
        }
    }
}

/// Brings one value of each row to a slot.
struct Bring<'a> {
    slots: &'a mut [u64],
    width: usize,
    slot: usize,
    way: Way,
    is_to: &'a [u64],
}

impl Bring<'_> {
    #[inline]
    fn all(&mut self, of_rows: impl Iterator<Item = u64>) {
        let flip = if self.way == Way::From { u64::MAX } else { 0 };
        let both = if self.way == Way::Both { u64::MAX } else { 0 };
        let rows = self.slots.chunks_exact_mut(self.width).zip(self.is_to);
        for ((row, is_to), value) in rows.zip(of_rows) {
            if let Some(slot) = row.get_mut(self.slot) {
                *slot = value & (is_to ^ flip | both);
            }
        }
    }
}

fn widen(column: Option<&Column>, unit: u64, rows: usize, out: &mut Vec<u64>) {
    out.clear();
    match column {
        Some(Column::U8(values)) => out.extend(values.iter().map(|value| u64::from(*value) * unit)),
        Some(Column::U16(values)) => out.extend(values.iter().map(|value| u64::from(*value) * unit)),
        Some(Column::U32(values)) => out.extend(values.iter().map(|value| u64::from(*value) * unit)),
        Some(Column::U64(values)) => out.extend(values.iter().map(|value| value.saturating_mul(unit))),
        _ => out.resize(rows, 0),
    }
}
