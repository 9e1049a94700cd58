//! Columns for a terminal.

use std::fmt::Write;

/// Lines below a head, each column as wide as its widest field; fields that are empty are shown as `-`.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, field) in widths.iter_mut().zip(row) {
            *width = (*width).max(field.chars().count());
        }
    }
    let mut text = String::new();
    let head = head.map(str::to_owned);
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (field, width) in row.iter().zip(widths) {
            let field = if field.is_empty() { "-" } else { field };
            // Writing to a String cannot fail.
            let _ = write!(line, "{field:width$}  ");
        }
        let _ = writeln!(text, "  {}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_fields() {
        let rows = [["0".to_owned(), "größer".to_owned()], ["17".to_owned(), String::new()]];
        assert_eq!(table(["DPI", "POD"], &rows), "  DPI  POD\n  0    größer\n  17   -\n");
    }
}
