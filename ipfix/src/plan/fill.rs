//! The loops over one column.

use super::operations::{Operation, Run};
use super::records::Records;
use super::{Convert, MessageContext};
use crate::column::{BytesColumn, Column, ColumnKind};

/// Seconds from the era of NTP timestamps, 1900, to that of Unix, 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// Appends one value per record to each column of a run. This is where the time goes.
pub(super) fn append_run(run: &Run, columns: &mut [Column], records: &impl Records) {
    match run.kind {
        ColumnKind::U8 => append_run_to::<u8>(run, columns, records),
        ColumnKind::U16 => append_run_to::<u16>(run, columns, records),
        ColumnKind::U32 => append_run_to::<u32>(run, columns, records),
        ColumnKind::U64 => append_run_to::<u64>(run, columns, records),
        ColumnKind::Bytes16 | ColumnKind::Bytes => {} // runs are of numbers
    }
}

fn append_run_to<T: Number>(run: &Run, columns: &mut [Column], records: &impl Records) {
    match run.width {
        1 => append_run_from::<T, 1>(run, columns, records, |bytes| u8::from_be_bytes(bytes).into()),
        2 => append_run_from::<T, 2>(run, columns, records, |bytes| u16::from_be_bytes(bytes).into()),
        4 => append_run_from::<T, 4>(run, columns, records, |bytes| u32::from_be_bytes(bytes).into()),
        _ => append_run_from::<T, 8>(run, columns, records, u64::from_be_bytes),
    }
}

#[inline]
fn append_run_from<T: Number, const W: usize>(
    run: &Run,
    columns: &mut [Column],
    records: &impl Records,
    read: impl Fn([u8; W]) -> u64,
) {
    for &(column, place) in &run.columns {
        let Some(column) = columns.get_mut(column) else { continue };
        match T::values_of(column) {
            Some(values) => values.extend(records.arrays(place).map(|bytes| T::low_order(read(bytes)))),
            None => column.push_defaults(records.len()),
        }
    }
}

/// Appends one value per record. If the operation does not fit the column, defaults are appended.
pub(super) fn append(
    column: &mut Column,
    operation: Operation,
    records: &impl Records,
    context: &MessageContext<'_>,
) {
    match column {
        Column::U8(values) => append_numbers(values, operation, records, context),
        Column::U16(values) => append_numbers(values, operation, records, context),
        Column::U32(values) => append_numbers(values, operation, records, context),
        Column::U64(values) => append_numbers(values, operation, records, context),
        Column::Bytes16(values) => match operation {
            Operation::Bytes16(place) => values.extend(records.arrays::<16>(place)),
            _ => values.resize(values.len() + records.len(), [0; 16]),
        },
        Column::Bytes(values) => match operation {
            Operation::VariableBytes(place) => append_bytes(values, records.variable(place)),
            Operation::FixedBytes { place, width } => append_bytes(values, records.slices(place, width)),
            _ => values.push_empty(records.len()),
        },
    }
}

fn append_bytes<'a>(column: &mut BytesColumn, values: impl Iterator<Item = &'a [u8]>) {
    for value in values {
        column.push(value);
    }
}

fn append_numbers<T: Number>(
    column: &mut Vec<T>,
    operation: Operation,
    records: &impl Records,
    context: &MessageContext<'_>,
) {
    match operation {
        Operation::Number { place, width, convert } => {
            let values = records.slices(place, width).map(read_number);
            column.extend(values.map(|value| T::low_order(to_millis(convert, value))));
        }
        Operation::Uptime { place, width } => {
            let uptimes = records.slices(place, width).map(read_number);
            column.extend(uptimes.map(|uptime| T::low_order(uptime_to_millis(uptime, context))));
        }
        Operation::UptimeAndBoot { place, width, boot: (boot, boot_width) } => {
            let uptimes = records.slices(place, width).map(read_number);
            let boots = records.slices(boot, boot_width).map(read_number);
            column.extend(uptimes.zip(boots).map(|(uptime, boot)| T::low_order(boot.wrapping_add(uptime))));
        }
        Operation::Bytes16(_) | Operation::FixedBytes { .. } | Operation::VariableBytes(_) => {
            column.resize(column.len() + records.len(), T::low_order(0))
        }
    }
}

/// A number that a column can hold.
trait Number: Copy {
    /// The low-order bytes of a number.
    fn low_order(value: u64) -> Self;

    /// The values of a column of such numbers.
    fn values_of(column: &mut Column) -> Option<&mut Vec<Self>>;
}

macro_rules! number {
    ($($type:ty: $column:ident),*) => {
        $(impl Number for $type {
            #[inline(always)]
            fn low_order(value: u64) -> Self {
                value as $type
            }

            fn values_of(column: &mut Column) -> Option<&mut Vec<Self>> {
                match column {
                    Column::$column(values) => Some(values),
                    _ => None,
                }
            }
        })*
    };
}

number!(u8: U8, u16: U16, u32: U32, u64: U64);

/// A big-endian number of any length (RFC 7011 section 6.2); of more than 8 bytes the last 8 count.
fn read_number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn to_millis(convert: Convert, value: u64) -> u64 {
    match convert {
        Convert::Plain | Convert::UptimeToMillis => value,
        Convert::SecondsToMillis => value.saturating_mul(1000),
        Convert::MicrosNtpToMillis | Convert::NanosNtpToMillis => ntp_to_millis(value),
    }
}

/// An NTP timestamp: seconds in the upper half, fractions of 2^-32 s in the lower (RFC 7011 sections
/// 6.1.9 and 6.1.10). The seconds wrap in 2036; what lies before 1970 is taken for a time after that.
/// 0 means no time and stays 0.
fn ntp_to_millis(timestamp: u64) -> u64 {
    if timestamp == 0 {
        return 0;
    }
    let seconds = timestamp >> 32;
    let millis = ((timestamp & u64::from(u32::MAX)) * 1000) >> 32;
    let unix = if seconds >= NTP_TO_UNIX { seconds - NTP_TO_UNIX } else { seconds + (1 << 32) - NTP_TO_UNIX };
    unix * 1000 + millis
}

/// Milliseconds since the exporter booted, as NetFlow v9 has them. They wrap after 49.7 days, so only
/// the distance from the header's uptime counts: a flow is at most half of that old, or a little
/// ahead of the header.
fn uptime_to_millis(uptime: u64, context: &MessageContext<'_>) -> u64 {
    let exported = u64::from(context.export_time) * 1000;
    if context.uptime_ms == 0 {
        return exported;
    }
    let age = context.uptime_ms.wrapping_sub(uptime as u32) as i32;
    exported.saturating_add_signed(-i64::from(age))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_timestamps() {
        assert_eq!(ntp_to_millis(0), 0);
        assert_eq!(ntp_to_millis(NTP_TO_UNIX << 32), 0);
        assert_eq!(ntp_to_millis((NTP_TO_UNIX + 1_700_000_000) << 32 | 1 << 31), 1_700_000_000_500);
        // 2036-02-07 06:28:16 UTC, when the seconds wrap.
        assert_eq!(ntp_to_millis(1), 2_085_978_496_000);
    }

    #[test]
    fn uptimes() {
        let context = |uptime_ms| MessageContext { export_time: 1_700_000_000, uptime_ms, constants: &[] };
        assert_eq!(uptime_to_millis(4_000, &context(10_000)), 1_699_999_994_000);
        assert_eq!(uptime_to_millis(10_500, &context(10_000)), 1_700_000_000_500, "ahead of the header");
        assert_eq!(uptime_to_millis(0xffff_ff9c, &context(100)), 1_699_999_999_800, "wrapped in between");
        assert_eq!(uptime_to_millis(4_000, &context(0)), 1_700_000_000_000, "no uptime");
    }

    #[test]
    fn numbers_of_any_length() {
        assert_eq!(read_number(&[]), 0);
        assert_eq!(read_number(&[1, 2, 3]), 0x01_0203);
        assert_eq!(read_number(&[0xff; 8]), u64::MAX);
    }
}
