//! Texts inside the XML of ClickHouse's configuration.

/// A text between two tags.
pub(super) fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_stays_between_its_tags() {
        assert_eq!(super::text("a<b>&c"), "a&lt;b&gt;&amp;c");
    }
}
