//! "Did you mean": the nearest of the words that are known.

/// Words longer than this are not compared: nobody mistypes a novel.
const MAX_CHARS: usize = 64;

/// `, did you mean X?` if a known word is near enough, else nothing.
pub(super) fn hint(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) => format!(", did you mean `{near}`?"),
        None => String::new(),
    }
}

/// The known word that is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).take(MAX_CHARS + 1).collect();
    if word.len() > MAX_CHARS {
        return None;
    }
    let mut best = None;
    for candidate in known {
        let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
        let distance = distance(&word, &letters);
        // A third of the letters may be wrong; more would be a guess.
        if distance * 3 <= letters.len().max(3) && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, *candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Edit distance: insertions, deletions, replacements and swaps of neighbours count one each.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (at(&previous, column + 1) + 1)
                .min(at(&current, column) + 1)
                .min(at(&previous, column) + usize::from(letter != other));
            let swapped = row > 0
                && column > 0
                && left.get(row - 1) == Some(other)
                && right.get(column - 1) == Some(letter);
            if swapped {
                cost = cost.min(at(&before, column - 1) + 1);
            }
            current.push(cost);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous.last().copied().unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typing_errors_only() {
        let known = ["port", "transport", "allowFrom", "name"];
        for (word, expected) in [
            ("prot", Some("port")),
            ("Port", Some("port")),
            ("allow_from", Some("allowFrom")),
            ("trasnport", Some("transport")),
            ("xyzzy", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(10_000), &known), None);
    }
}
