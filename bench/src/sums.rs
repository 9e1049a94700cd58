//! What is compared: of each field one number, such that sender, collector and ClickHouse can all make it. Must be
//! cheap, because it counts as work of the tier that is measured.

use std::collections::BTreeMap;

use ipfix::{Column, Element};
use serde::{Deserialize, Serialize};

/// Sums over records: of numbers their sum, of addresses of 16 bytes the sum of the bytes, of texts the sum of their
/// lengths times 2^32 and of their bytes; all modulo 2^64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Records.
    pub records: u64,
    /// By the field's name, see [`name`].
    pub fields: BTreeMap<String, u64>,
}

/// A field's name: the number of the element, for a vendor's with his number and a point in front.
pub fn name(element: Element) -> String {
    match element.pen {
        0 => element.id.to_string(),
        pen => format!("{pen}.{}", element.id),
    }
}

impl Sums {
    /// Adds to the sum of a field.
    pub fn add(&mut self, field: &str, sum: u64) {
        match self.fields.get_mut(field) {
            Some(known) => *known = known.wrapping_add(sum),
            None => {
                self.fields.insert(field.to_owned(), sum);
            }
        }
    }

    /// Adds all sums of another, `times` times.
    pub fn add_all(&mut self, other: &Sums, times: u64) {
        self.records += other.records * times;
        for (field, sum) in &other.fields {
            self.add(field, sum.wrapping_mul(times));
        }
    }

    /// Of a field, 0 if no record has it.
    pub fn of(&self, field: &str) -> u64 {
        self.fields.get(field).copied().unwrap_or(0)
    }

    /// Why two are not the same; `None` if they are. Only fields that `self` has are looked at.
    pub fn differs_from(&self, sent: &Sums) -> Option<String> {
        if self.records != sent.records {
            return Some(format!("{} records instead of {}", self.records, sent.records));
        }
        self.fields.iter().find_map(|(field, sum)| {
            let expected = sent.of(field);
            (*sum != expected).then(|| format!("field {field} sums up to {sum} instead of {expected}"))
        })
    }
}

/// The sum over a column.
pub fn of_column(column: &Column) -> u64 {
    match column {
        Column::U8(values) => of_bytes(values),
        Column::U16(values) => {
            // Few enough at a time for 32 bits, which add up twice as fast.
            values
                .chunks(1 << 16)
                .map(|some| u64::from(some.iter().map(|value| u32::from(*value)).sum::<u32>()))
                .sum()
        }
        Column::U32(values) => values.iter().map(|value| u64::from(*value)).sum(),
        Column::U64(values) => values.iter().fold(0, |sum, value| sum.wrapping_add(*value)),
        Column::Bytes16(values) => of_bytes(values.as_flattened()),
        Column::Bytes(values) => ((values.data.len() as u64) << 32).wrapping_add(of_bytes(&values.data)),
    }
}

/// The sum of bytes, eight at a time.
pub fn of_bytes(bytes: &[u8]) -> u64 {
    const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
    // Lanes of 16 bits hold the sum of 128 words, each of which adds at most 510.
    let mut sum = 0;
    let (words, rest) = bytes.as_chunks::<8>();
    for some in words.chunks(128) {
        let lanes = some.iter().fold(0_u64, |lanes, word| {
            let word = u64::from_le_bytes(*word);
            lanes + (word & EVEN) + (word >> 8 & EVEN)
        });
        sum += (0..4).map(|lane| lanes >> (16 * lane) & 0xffff).sum::<u64>();
    }
    sum + rest.iter().map(|byte| u64::from(*byte)).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_summed() {
        for length in [0, 1, 7, 8, 9, 1023, 1024, 5000] {
            let bytes: Vec<u8> = (0..length).map(|number| (number * 7 % 256) as u8 | 0x80).collect();
            assert_eq!(of_bytes(&bytes), bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        }
        assert_eq!(of_bytes(&[255; 10_000]), 2_550_000);
    }

    #[test]
    fn a_difference_has_a_name() {
        let mut sent = Sums { records: 2, ..Sums::default() };
        sent.add("1", 10);
        sent.add("43823.2001", 7);
        let mut stored = Sums { records: 2, ..Sums::default() };
        stored.add("1", 10);
        assert_eq!(stored.differs_from(&sent), None);
        stored.add("1", 1);
        assert!(stored.differs_from(&sent).unwrap().contains("field 1 "));
        stored.records = 1;
        assert!(stored.differs_from(&sent).unwrap().contains("1 records"));
    }
}
