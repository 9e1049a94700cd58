//! Whether several objects of one type can be one dictionary: where both apply, no key may be in both. Only
//! compares; which object is in the right is for people to say.

use std::fmt;

use crate::parse::Parsed;

/// One object's share of a dictionary.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Name of the object.
    pub object: &'a str,
    /// The DPIs it is limited to; none: all.
    pub dpis: Option<&'a [u16]>,
    /// Its rows.
    pub parsed: &'a Parsed<'a>,
}

/// Two objects that say something about the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The object that comes first.
    pub first: String,
    /// The other one.
    pub second: String,
    /// How many keys are in both.
    pub shared: u64,
    /// The first of them in the first object's order, for a person.
    pub key: String,
    /// Its line in the first object.
    pub first_line: u64,
    /// Its line in the second one.
    pub second_line: u64,
}

/// Every pair of parts that both apply to some DPI and share keys. The parts are of one type.
pub fn conflicts(parts: &[Part<'_>]) -> Vec<Conflict> {
    let mut found = Vec::new();
    for (position, first) in parts.iter().enumerate() {
        for second in parts.iter().skip(position + 1) {
            if applies_with(first.dpis, second.dpis) {
                found.extend(conflict(first, second));
            }
        }
    }
    found
}

/// Whether there is a DPI that both limits let through. An empty list limits nothing, as in the rows' table.
fn applies_with(first: Option<&[u16]>, second: Option<&[u16]>) -> bool {
    let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
    first.is_empty() || second.is_empty() || first.iter().any(|dpi| second.contains(dpi))
}

fn conflict(first: &Part<'_>, second: &Part<'_>) -> Option<Conflict> {
    let mut key = Vec::new();
    let mut conflict: Option<Conflict> = None;
    for row in 0..first.parsed.rows() {
        first.parsed.read_key(row, &mut key);
        let Some(other) = second.parsed.row_with_key(&key) else { continue };
        let conflict = conflict.get_or_insert_with(|| Conflict {
            first: first.object.to_string(),
            second: second.object.to_string(),
            shared: 0,
            key: first.parsed.key_text(row),
            first_line: first.parsed.line(row).unwrap_or_default(),
            second_line: second.parsed.line(other).unwrap_or_default(),
        });
        conflict.shared += 1;
    }
    conflict
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conflict { first, second, shared, key, first_line, second_line } = self;
        let keys = if *shared == 1 { "key" } else { "keys" };
        write!(
            f,
            "{first} and {second} share {shared} {keys}: {key} is in line {first_line} of {first} and in line \
             {second_line} of {second}"
        )
    }
}

#[cfg(test)]
mod tests {
    use schema::dictionaries::{ASNUM, CRC, SUBNETS_LOCAL};

    use super::*;
    use crate::parse::parse;

    #[test]
    fn shared_keys_are_a_conflict_that_names_both_lines() {
        let a = parse(&SUBNETS_LOCAL, b"10.0.0.0/8\ta\n\n10.1.0.0/16\ta\n::1\ta\n");
        let b = parse(&SUBNETS_LOCAL, b"::1/128\tb\n10.2.0.0/16\tb\n10.1.2.3/16\tb\n");
        let c = parse(&SUBNETS_LOCAL, b"10.3.0.0/16\tc\n");
        let part = |object, parsed| Part { object, dpis: None, parsed };
        let found = conflicts(&[part("a", &a), part("b", &b), part("c", &c)]);
        let expected = Conflict {
            first: "a".to_string(),
            second: "b".to_string(),
            shared: 2,
            key: "prefix 10.1.0.0/16".to_string(),
            first_line: 3,
            second_line: 3,
        };
        assert_eq!(found, [expected]);
        assert_eq!(
            found[0].to_string(),
            "a and b share 2 keys: prefix 10.1.0.0/16 is in line 3 of a and in line 3 of b"
        );
    }

    #[test]
    fn every_pair_is_looked_at() {
        let same = parse(&ASNUM, b"1\tone\n");
        let part = |object| Part { object, dpis: None, parsed: &same };
        let pairs: Vec<(String, String)> = conflicts(&[part("a"), part("b"), part("c")])
            .into_iter()
            .map(|conflict| (conflict.first, conflict.second))
            .collect();
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(pairs, [pair("a", "b"), pair("a", "c"), pair("b", "c")]);
    }

    #[test]
    fn a_key_of_several_fields_is_shared_as_a_whole() {
        let a = parse(&CRC, b"1\tp1\t5\n");
        let b = parse(&CRC, b"1\tp2\t5\n2\tp1\t5\n");
        let c = parse(&CRC, b" 01\tp1\t7\n");
        let part = |object, parsed| Part { object, dpis: None, parsed };
        assert!(conflicts(&[part("a", &a), part("b", &b)]).is_empty());
        let found = conflicts(&[part("a", &a), part("c", &c)]);
        assert_eq!(
            found.first().map(|conflict| conflict.key.as_str()),
            Some("switch_id 1, switch_port \"p1\"")
        );
    }

    #[test]
    fn objects_for_different_dpis_never_conflict() {
        let same = parse(&ASNUM, b"1\tone\n");
        let count = |first: Option<&[u16]>, second: Option<&[u16]>| {
            let part = |object, dpis| Part { object, dpis, parsed: &same };
            conflicts(&[part("a", first), part("b", second)]).len()
        };
        assert_eq!(count(Some(&[1, 2]), Some(&[3])), 0);
        assert_eq!(count(Some(&[1, 2]), Some(&[3, 2])), 1);
        assert_eq!(count(None, Some(&[3])), 1);
        assert_eq!(count(Some(&[3]), None), 1);
        assert_eq!(count(Some(&[]), Some(&[3])), 1);
        assert_eq!(count(None, None), 1);
    }
}
