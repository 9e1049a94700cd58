//! Which version of the receivers runs. Pure.

use crds::collector::{QoeCollectorSpec, UpgradePolicy};

use super::validate::Refused;

/// The version that is wanted: the object's, else the one it was created with, which
/// `upgradePolicy: Automatic` moves with the operator (`newest`).
///
/// # Errors
/// A version that is not one, or newer than this operator knows how to run.
pub fn wanted(spec: &QoeCollectorSpec, fixed: Option<&str>, newest: &str) -> Result<String, Refused> {
    if let Some(asked) = &spec.version {
        let Some(number) = parse(asked) else {
            let message = format!("spec.version: expected a version such as {newest}, got {asked:?}");
            return Err(Refused { reason: "Invalid", message });
        };
        if parse(newest).is_some_and(|newest| number > newest) {
            let message = format!(
                "spec.version: {asked} is newer than this operator ({newest}): upgrade the operator first"
            );
            return Err(Refused { reason: "VersionTooNew", message });
        }
        return Ok(asked.clone());
    }
    let Some(fixed) = fixed else { return Ok(newest.to_owned()) };
    let older = parse(fixed) < parse(newest);
    Ok(match spec.upgrade_policy {
        UpgradePolicy::Automatic if older => newest.to_owned(),
        UpgradePolicy::Automatic | UpgradePolicy::Manual => fixed.to_owned(),
    })
}

/// Numbers of `major.minor.patch`; what follows a `-` or `+` sorts before the release.
fn parse(text: &str) -> Option<([u64; 3], bool)> {
    let (numbers, rest) = match text.find(['-', '+']) {
        Some(at) => (text.get(..at)?, Some(text.get(at + 1..)?)),
        None => (text, None),
    };
    if rest.is_some_and(|rest| rest.is_empty() || !rest.bytes().all(tag_byte)) || text.len() > 64 {
        return None;
    }
    let mut parsed = [0; 3];
    let mut parts = numbers.split('.');
    for number in &mut parsed {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some((parsed, rest.is_none()))
}

/// What an image's tag may hold beside a version's numbers.
fn tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(version: Option<&str>, policy: UpgradePolicy) -> QoeCollectorSpec {
        let text = "{dpis: [{id: 0, streams: [{type: Fullflow, port: 1500, transport: TCP}]}], clickhouse: {managed: {}}}";
        let document = format!(
            "{{apiVersion: qoeplane.io/v1alpha1, kind: QoeCollector, metadata: {{name: main}}, spec: {text}}}"
        );
        let mut documents = crds::load::documents(&document, "test").unwrap();
        let mut spec = documents.collectors.remove(0).spec;
        spec.version = version.map(str::to_owned);
        spec.upgrade_policy = policy;
        spec
    }

    #[test]
    fn the_object_decides() {
        let spec = spec(Some("0.1.9"), UpgradePolicy::Automatic);
        assert_eq!(wanted(&spec, Some("0.1.3"), "0.2.0").unwrap(), "0.1.9");
        assert_eq!(wanted(&spec, None, "0.1.9").unwrap(), "0.1.9");
    }

    #[test]
    fn what_was_there_at_creation_stays_or_moves() {
        assert_eq!(wanted(&spec(None, UpgradePolicy::Manual), None, "0.2.0").unwrap(), "0.2.0");
        assert_eq!(wanted(&spec(None, UpgradePolicy::Manual), Some("0.1.0"), "0.2.0").unwrap(), "0.1.0");
        assert_eq!(wanted(&spec(None, UpgradePolicy::Automatic), Some("0.1.0"), "0.2.0").unwrap(), "0.2.0");
        let newer = wanted(&spec(None, UpgradePolicy::Automatic), Some("0.3.0"), "0.2.0").unwrap();
        assert_eq!(newer, "0.3.0", "an older operator never moves receivers back by itself");
    }

    #[test]
    fn too_new_and_nonsense_are_refused() {
        let refusal =
            |version| wanted(&spec(Some(version), UpgradePolicy::Manual), None, "0.2.0").unwrap_err();
        assert_eq!(refusal("0.10.0").reason, "VersionTooNew");
        for nonsense in
            ["", "latest", "1", "1.2", "1.2.3.4", "0.2.0 ", "0.2.0-", "0.2.0/x", "0.-1.0", "v0.2.0"]
        {
            assert_eq!(refusal(nonsense).reason, "Invalid", "{nonsense}");
        }
        assert!(parse("0.2.0-rc.1") < parse("0.2.0"));
    }
}
