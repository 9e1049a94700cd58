//! Rules for names that become file names, table names or names of Kubernetes objects.

use super::{FieldPath, Problems, words};

/// Longest name of an object, a stream or an export target.
const MAX_LABEL: usize = 63;

/// Longest name of a collector: names of pods and volumes are made from it.
const MAX_COLLECTOR: usize = 40;

/// Longest name of a database or column.
const MAX_IDENTIFIER: usize = 64;

/// A name that may become part of a host name or a directory: no dots, slashes or capitals.
pub(super) fn label(path: FieldPath, name: &str, problems: &mut Problems) {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let good = !name.is_empty()
        && name.len() <= MAX_LABEL
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !good {
        let message =
            format!("expected a name of at most {MAX_LABEL} of a-z, 0-9 and -, got {}", short(name));
        problems.add(path, message);
    }
}

/// A name of a collector: it begins names of Services and pods.
pub(super) fn collector_name(path: FieldPath, name: &str, problems: &mut Problems) {
    let mut inner = Problems::default();
    label(path.clone(), name, &mut inner);
    if !inner.0.is_empty()
        || name.len() > MAX_COLLECTOR
        || !name.starts_with(|c: char| c.is_ascii_lowercase())
    {
        problems.add(path, format!("{}, got {}", words::COLLECTOR_NAME, short(name)));
    }
}

/// A name of a Kubernetes object: a [`label`] that may contain dots.
pub(super) fn object_name(path: FieldPath, name: &str, problems: &mut Problems) {
    let mut inner = Problems::default();
    for part in name.split('.') {
        label(path.clone(), part, &mut inner);
    }
    if !inner.0.is_empty() || name.len() > 253 {
        problems.add(path, format!("expected a name of a-z, 0-9, - and ., got {}", short(name)));
    }
}

/// A name of a database or column that needs no quoting in SQL.
pub(super) fn identifier(path: FieldPath, name: &str, problems: &mut Problems) {
    let good = !name.is_empty()
        && name.len() <= MAX_IDENTIFIER
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if !good {
        let message = format!(
            "expected a name of at most {MAX_IDENTIFIER} letters, digits and _, not beginning with a digit, got {}",
            short(name)
        );
        problems.add(path, message);
    }
}

/// A version: three numbers, and perhaps a pre-release.
pub(super) fn version(path: FieldPath, version: &str, problems: &mut Problems) {
    let (numbers, rest) = match version.split_once('-') {
        Some((numbers, rest)) => (numbers, Some(rest)),
        None => (version, None),
    };
    let number = |part: &str| (1..=5).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    let good = numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && rest.is_none_or(|rest| (1..=40).contains(&rest.len()) && rest.bytes().all(allowed));
    if !good {
        problems.add(path, format!("expected a version such as 1.2.3, got {}", short(version)));
    }
}

/// A CPU feature, which becomes part of a node's label.
pub(super) fn cpu_feature(path: FieldPath, name: &str, problems: &mut Problems) {
    let plain = |c: char| c.is_ascii_alphanumeric();
    let good = (1..=50).contains(&name.len())
        && name.chars().all(|c| plain(c) || c == '_' || c == '.' || c == '-')
        && name.starts_with(plain)
        && name.ends_with(plain);
    if !good {
        problems.add(path, format!("expected the name of a CPU feature such as SSE42, got {}", short(name)));
    }
}

/// An `http://` or `https://` address.
pub(super) fn http_url(path: FieldPath, url: &str, problems: &mut Problems) {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let good = rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !url.contains(|c: char| c.is_whitespace() || c.is_control())
    });
    if !good {
        let message = format!("expected an address that begins with http:// or https://, got {}", short(url));
        problems.add(path, message);
    }
}

/// A text in quotes, shortened if it is long.
pub(super) fn short(text: &str) -> String {
    let start: String = text.chars().take(60).collect();
    if start.len() < text.len() { format!("{start:?}...") } else { format!("{text:?}") }
}
