//! Names and texts inside SQL statements. Everything that comes from a configuration passes through here
//! before it becomes part of a statement; nothing else in this crate may build quotes by hand.

/// A name as an identifier: backticks only where ClickHouse would write them itself, so that what we
/// generate can be compared with what the server shows.
pub fn identifier(name: &str) -> String {
    let plain_start = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let plain = name.chars().all(|each| each.is_ascii_alphanumeric() || each == '_');
    if plain_start && plain {
        return name.to_owned();
    }
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A text as a string literal.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// `database.table`, each quoted where needed.
pub fn qualified(database: &str, table: &str) -> String {
    format!("{}.{}", identifier(database), identifier(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_needs_quotes() {
        assert_eq!(identifier("fullflow"), "fullflow");
        assert_eq!(identifier("my-db"), "`my-db`");
        assert_eq!(identifier("1st"), "`1st`");
        assert_eq!(identifier("a`b\\"), "`a\\`b\\\\`");
        assert_eq!(literal("it's a \\"), "'it\\'s a \\\\'");
        assert_eq!(qualified("qoe stor", "t"), "`qoe stor`.t");
    }
}
