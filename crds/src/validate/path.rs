//! The way to a field: `spec.dpis[0].streams[1].port`.

use std::fmt;

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A field of a mapping.
    Field(String),
    /// An element of a list, counted from 0.
    Index(usize),
}

/// The way from the document to a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// The document itself.
    pub fn root() -> FieldPath {
        FieldPath::default()
    }

    /// A field below this one.
    pub fn field(&self, name: &str) -> FieldPath {
        self.then(Segment::Field(name.to_owned()))
    }

    /// An element of this list.
    pub fn index(&self, index: usize) -> FieldPath {
        self.then(Segment::Index(index))
    }

    /// The steps, outermost first.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether this is the document itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    fn then(&self, segment: Segment) -> FieldPath {
        let mut segments = Vec::with_capacity(self.0.len() + 1);
        segments.extend_from_slice(&self.0);
        segments.push(segment);
        FieldPath(segments)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Field(name) => {
                    if position > 0 {
                        f.write_str(".")?;
                    }
                    // Keys are the user's: one with spaces, or without end, must not break the line.
                    let plain = name.len() <= 63
                        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/.".contains(&b));
                    if plain {
                        f.write_str(name)?;
                    } else {
                        let start: String = name.chars().take(60).collect();
                        write!(f, "{start:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
