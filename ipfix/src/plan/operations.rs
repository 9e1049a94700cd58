//! How the wanted columns are filled from the fields of a template: what compiling a plan decides.

use super::records::Place;
use super::{Convert, Source, Wanted};
use crate::column::ColumnKind;
use crate::element::Element;
use crate::template::{FieldSpec, VARIABLE};

/// Element systemInitTimeMilliseconds.
const BOOT_TIME: Element = Element::iana(160);

/// What fills each column, in the order in which it is done. Columns are meant by their place among
/// the wanted ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Operations {
    /// Columns that are filled by the same loop, together: a small set's time would otherwise go
    /// into choosing loops, which the processor cannot foresee (twice as long for 18 records).
    pub(super) runs: Vec<Run>,
    /// All other columns that a field fills.
    pub(super) others: Vec<(usize, Operation)>,
    /// Columns that no field fills: with the constant of the context that does, or defaults.
    pub(super) without_field: Vec<(usize, Option<usize>)>,
}

/// Columns of one kind whose numbers are taken as they are from fields of one width.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) kind: ColumnKind,
    /// 1, 2, 4 or 8 bytes.
    pub(super) width: usize,
    pub(super) columns: Vec<(usize, Place)>,
}

/// How one column is filled from fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// By numbers of any width.
    Number { place: Place, width: usize, convert: Convert },
    /// By milliseconds since boot, with the time of the boot from the context.
    Uptime { place: Place, width: usize },
    /// By milliseconds since boot, with the time of the boot, place and width, from the record.
    UptimeAndBoot { place: Place, width: usize, boot: (Place, usize) },
    /// By 16 bytes.
    Bytes16(Place),
    /// By a field of fixed length.
    FixedBytes { place: Place, width: usize },
    /// By a field of variable length.
    VariableBytes(Place),
}

impl Operations {
    /// Decides for each wanted column.
    pub(super) fn of(wanted: &[Wanted], fields: &[(FieldSpec, Place)]) -> Self {
        let mut operations = Self::default();
        for (column, wanted) in wanted.iter().enumerate() {
            match Operation::of(wanted, fields) {
                None => operations.without_field.push((column, wanted.constant)),
                Some(Operation::Number {
                    place,
                    width: width @ (1 | 2 | 4 | 8),
                    convert: Convert::Plain,
                }) => operations.add_to_run(wanted.kind, width, (column, place)),
                Some(other) => operations.others.push((column, other)),
            }
        }
        operations
    }

    /// How many columns are filled from a field.
    pub(super) fn matched(&self) -> usize {
        let in_runs: usize = self.runs.iter().map(|run| run.columns.len()).sum();
        in_runs + self.others.len()
    }

    fn add_to_run(&mut self, kind: ColumnKind, width: usize, column: (usize, Place)) {
        match self.runs.iter_mut().find(|run| run.kind == kind && run.width == width) {
            Some(run) => run.columns.push(column),
            None => self.runs.push(Run { kind, width, columns: vec![column] }),
        }
    }
}

impl Operation {
    /// `None` for a column that a constant fills, or that the template has no field for.
    fn of(wanted: &Wanted, fields: &[(FieldSpec, Place)]) -> Option<Self> {
        if wanted.constant.is_some() {
            return None;
        }
        for source in &wanted.sources {
            let accepted = fields.iter().find(|(field, _)| accepts(source, wanted.kind, field));
            let Some(&(field, place)) = accepted else { continue };
            let width = usize::from(field.length);
            return Some(match (wanted.kind, source.convert) {
                (ColumnKind::Bytes16, _) => Self::Bytes16(place),
                (ColumnKind::Bytes, _) if field.is_variable() => Self::VariableBytes(place),
                (ColumnKind::Bytes, _) => Self::FixedBytes { place, width },
                (_, Convert::UptimeToMillis) => match boot_time(fields) {
                    Some(boot) => Self::UptimeAndBoot { place, width, boot },
                    None => Self::Uptime { place, width },
                },
                (_, convert) => Self::Number { place, width, convert },
            });
        }
        None
    }

    /// Whether it depends on the message that the record came in.
    pub(super) fn needs_context(self) -> bool {
        matches!(self, Self::Uptime { .. })
    }
}

/// Whether a field can be read into a column of that kind.
fn accepts(source: &Source, kind: ColumnKind, field: &FieldSpec) -> bool {
    if field.element != source.element {
        return false;
    }
    if field.is_variable() {
        return kind == ColumnKind::Bytes && source.max_len == VARIABLE;
    }
    let possible = match kind {
        ColumnKind::Bytes => true,
        ColumnKind::Bytes16 => field.length == 16,
        ColumnKind::U8 | ColumnKind::U16 | ColumnKind::U32 | ColumnKind::U64 => match source.convert {
            Convert::MicrosNtpToMillis | Convert::NanosNtpToMillis => field.length == 8,
            Convert::Plain | Convert::SecondsToMillis | Convert::UptimeToMillis => {
                (1..=8).contains(&field.length)
            }
        },
    };
    possible && (source.min_len..=source.max_len).contains(&field.length)
}

fn boot_time(fields: &[(FieldSpec, Place)]) -> Option<(Place, usize)> {
    let (field, place) = fields.iter().find(|(field, _)| field.element == BOOT_TIME)?;
    (1..=8).contains(&field.length).then_some((*place, usize::from(field.length)))
}
