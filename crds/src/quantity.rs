//! Amounts as Kubernetes writes them: `50Gi`, `2`, `500m`, `1.5Ti`.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// What is expected of a [`Quantity`], as error messages put it.
pub const QUANTITY_EXPECTED: &str = "a quantity such as 50Gi, 4Ti, 2 or 500m";

/// More digits than this, before or after the point, is not a quantity anybody means.
const MAX_DIGITS: usize = 15;

/// A Kubernetes quantity. Keeps its text; compares by text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    text: String,
    thousandths: u128,
}

impl Quantity {
    /// The amount in bytes (or whole units), rounded up; `None` if it does not fit 64 bits.
    pub fn bytes(&self) -> Option<u64> {
        u64::try_from(self.thousandths.div_ceil(1_000)).ok()
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A text that is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {QUANTITY_EXPECTED}, got {text:?}")]
pub struct QuantityError {
    text: String,
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        match thousandths(text) {
            Some(thousandths) => Ok(Quantity { text: text.to_owned(), thousandths }),
            None => Err(QuantityError { text: text.to_owned() }),
        }
    }
}

fn thousandths(text: &str) -> Option<u128> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let unit: u128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000 * 1_000,
        "M" => 1_000 * 1_000_000,
        "G" => 1_000 * 1_000_000_000,
        "T" => 1_000 * 1_000_000_000_000,
        "P" => 1_000 * 1_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        "Pi" => 1_000 << 50,
        _ => return None,
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (number, ""),
    };
    if whole.is_empty() || whole.len() > MAX_DIGITS || fraction.len() > MAX_DIGITS {
        return None;
    }
    let mut amount = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    if !fraction.is_empty() {
        let numerator = fraction.parse::<u128>().ok()?.checked_mul(unit)?;
        let denominator = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        amount = amount.checked_add(numerator.div_ceil(denominator))?;
    }
    Some(amount)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        deserializer.deserialize_any(QuantityVisitor)
    }
}

struct QuantityVisitor;

impl Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(QUANTITY_EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, amount: u64) -> Result<Quantity, E> {
        // Kubernetes takes a bare number where it takes a quantity.
        amount.to_string().parse().map_err(|_| E::invalid_value(Unexpected::Unsigned(amount), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_bytes() {
        for (text, bytes) in [
            ("50Gi", 50 << 30),
            ("4Ti", 4 << 40),
            ("1.5Ki", 1_536),
            ("2", 2),
            ("500m", 1),
            ("1k", 1_000),
            ("0.1Ki", 103),
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap().bytes(), Some(bytes), "{text}");
        }
        assert_eq!("999999999999999Pi".parse::<Quantity>().unwrap().bytes(), None);
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "Gi", "1gb", "-1", "1.Gi", ".5Gi", "1..5", "1 Gi", "1e3", "1234567890123456", "é"] {
            assert!(text.parse::<Quantity>().is_err(), "{text:?}");
        }
    }
}
