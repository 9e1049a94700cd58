//! How long texts, lists and maps may be, what texts look like, and how lists are merged by server-side
//! apply. Everything has a bound: the API server estimates the cost of a rule from them.
//!
//! Patterns accept what [`crate::validate`] accepts.

use serde_json::{Map, Value};

/// Endings of paths that both kinds have, and what is said about these fields.
pub(super) const SHARED: &[(&str, Bound)] = &[
    ("Ref.name", OBJECT_NAME),
    ("Ref.key", DATA_KEY),
    // Status. The operator shortens its texts to these.
    ("status.conditions", Bound::Map(0, 32, &["type"])),
    ("conditions[].type", Bound::Text(316)),
    ("conditions[].status", Bound::Choice(&["True", "False", "Unknown"])),
    ("conditions[].reason", Bound::Text(1_024)),
    ("conditions[].message", Bound::Text(32_768)),
    ("status.version", Bound::Text(64)),
];

/// Endings of a collector's paths.
pub(super) const COLLECTOR: &[(&str, Bound)] = &[
    // The collector.
    ("spec.version", Bound::Pattern(64, "^[0-9]{1,5}[.][0-9]{1,5}[.][0-9]{1,5}(-[0-9A-Za-z.-]{1,40})?$")),
    ("spec.timeZone", Bound::Pattern(64, "^[A-Za-z0-9/_+-]+$")),
    ("spec.approvals", Bound::Set(0, 16)),
    ("spec.approvals[]", Bound::Pattern(71, "^sha256:[0-9a-fA-F]{1,64}$")),
    ("nodes.cpuFeatures", Bound::Set(0, 32)),
    ("nodes.cpuFeatures[]", Bound::Pattern(50, "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")),
    // A DPI and its streams. A stream's name may be left out, so it cannot be a key of its list.
    ("spec.dpis", Bound::Map(1, 64, &["id"])),
    ("dpis[].name", Bound::Text(63)),
    ("dpis[].streams", Bound::Whole(1, 16)),
    ("streams[].name", LABEL),
    ("allowFrom", Bound::Set(0, 64)),
    ("allowFrom[]", Bound::Text(43)),
    ("domains", Bound::Map(0, 64, &["id"])),
    ("targets", Bound::Map(1, 8, &["name"])),
    ("targets[].name", LABEL),
    ("targets[].host", Bound::Pattern(253, r"^[^\s/]+$")),
    // How a receiver runs.
    ("storageClassName", Bound::Text(253)),
    ("priorityClassName", Bound::Text(253)),
    ("imagePullSecrets", Bound::Map(0, 16, &["name"])),
    ("imagePullSecrets[].name", OBJECT_NAME),
    ("service.loadBalancerClass", Bound::Text(317)),
    ("service.annotations", Bound::Entries(32)),
    ("service.annotations{}", Bound::Text(4_096)),
    ("nodeSelector", Bound::Entries(32)),
    ("nodeSelector{}", Bound::Text(63)),
    ("resources.requests", Bound::Entries(16)),
    ("resources.limits", Bound::Entries(16)),
    ("tolerations", Bound::Whole(0, 32)),
    ("tolerations[].key", Bound::Text(317)),
    ("tolerations[].value", Bound::Text(63)),
    ("tuning.inserters", Bound::Number(1, 64)),
    ("tuning.queueMessages", Bound::Number(1, u32::MAX)),
    // ClickHouse.
    ("clickhouse.database", IDENTIFIER),
    ("managed.shards", Bound::Number(1, 64)),
    ("managed.image", Bound::Text(512)),
    ("managed.users", Bound::Map(0, 64, &["name"])),
    ("managed.users[].name", IDENTIFIER),
    ("external.endpoints", Bound::Whole(1, 64)),
    ("external.endpoints[]", URL),
    ("external.cluster", Bound::Text(253)),
    ("storagePolicy.name", Bound::Text(253)),
    ("storagePolicy.hotVolume", Bound::Text(253)),
    ("storagePolicy.coldVolume", Bound::Text(253)),
    // Tables and elements.
    ("rollups", Bound::Whole(0, 5)),
    ("keys", Bound::Set(1, 16)),
    ("spec.elements", Bound::Map(0, 64, &["stream", "pen", "id"])),
    ("elements[].id", Bound::Number(1, 0x7fff)),
    ("elements[].name", Bound::Text(128)),
    ("elements[].column", IDENTIFIER),
    // Status.
    ("status.receiversReady", Bound::Text(32)),
    ("totals.received", Bound::Text(32)),
    ("totals.stored", Bound::Text(32)),
    ("totals.waiting", Bound::Text(32)),
    ("totals.missing", Bound::Text(32)),
    ("status.receivers", Bound::Map(0, 64, &["dpi"])),
    ("receivers[].name", STATUS_TEXT),
    ("receivers[].pod", STATUS_TEXT),
    ("receivers[].node", STATUS_TEXT),
    ("receivers[].version", STATUS_TEXT),
    ("receivers[].message", STATUS_TEXT),
    ("receivers[].journalHoursLeft", Bound::Text(32)),
    ("receivers[].streams", Bound::Map(0, 16, &["name"])),
    ("receivers[].streams[].name", Bound::Text(63)),
    ("receivers[].streams[].address", STATUS_TEXT),
    ("receivers[].streams[].lastError", STATUS_TEXT),
    ("status.shards", Bound::Map(0, 64, &["shard"])),
    ("shards[].pod", STATUS_TEXT),
    ("shards[].url", STATUS_TEXT),
    ("shards[].version", Bound::Text(64)),
    ("shards[].message", STATUS_TEXT),
    ("shards[].volumes", Bound::Map(0, 16, &["name"])),
    ("volumes[].name", Bound::Text(253)),
    ("volumes[].size", Bound::Text(32)),
    ("volumes[].free", Bound::Text(32)),
    ("volumes[].hoursLeft", Bound::Text(32)),
    ("shards[].tables", Bound::Map(0, 64, &["name"])),
    ("tables[].name", Bound::Text(253)),
    ("tables[].rows", Bound::Text(32)),
    ("tables[].hot", Bound::Text(32)),
    ("tables[].cold", Bound::Text(32)),
    ("schema.version", Bound::Text(64)),
    ("schema.planHash", Bound::Text(71)),
    ("schema.lastError", STATUS_TEXT),
    ("schema.pending", Bound::Whole(0, 64)),
    ("pending[].action", STATUS_TEXT),
    ("pending[].object", STATUS_TEXT),
    ("pending[].risk", Bound::Text(64)),
    ("pending[].statement", Bound::Text(4_096)),
];

/// Endings of a dictionary's paths.
pub(super) const DICTIONARY: &[(&str, Bound)] = &[
    ("spec.collectors", Bound::Set(0, 64)),
    ("spec.collectors[]", Bound::Text(63)),
    ("spec.dpis", Bound::Set(0, 256)),
    ("source.inline", Bound::Text(1_000_000)),
    ("source.file", Bound::Given(4_096)),
    ("configMap.name", OBJECT_NAME),
    ("configMap.key", DATA_KEY),
    ("secret.name", OBJECT_NAME),
    ("secret.key", DATA_KEY),
    ("http.url", URL),
    ("table.database", IDENTIFIER),
    ("table.name", IDENTIFIER),
    ("status.usedBy", Bound::Set(0, 64)),
    ("status.usedBy[]", Bound::Text(63)),
];

const OBJECT_NAME: Bound = Bound::Pattern(253, "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$");
const DATA_KEY: Bound = Bound::Pattern(253, "^[-._a-zA-Z0-9]+$");
const LABEL: Bound = Bound::Pattern(63, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$");
const IDENTIFIER: Bound = Bound::Pattern(64, "^[A-Za-z_][A-Za-z0-9_]*$");
const URL: Bound = Bound::Pattern(2_048, r"^https?://[^\s/]\S*$");
const STATUS_TEXT: Bound = Bound::Text(1_024);

/// What is said about one field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    /// A text of at most so many characters.
    Text(u32),
    /// A text of at most so many characters that is not empty.
    Given(u32),
    /// A text of at most so many characters that looks like this.
    Pattern(u32, &'static str),
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A number, from and to.
    Number(u32, u32),
    /// A map with at most so many entries.
    Entries(u32),
    /// A list that is replaced as a whole; fewest and most elements.
    Whole(u32, u32),
    /// A list of different values; fewest and most elements.
    Set(u32, u32),
    /// A list of objects told apart by these fields; fewest and most elements.
    Map(u32, u32, &'static [&'static str]),
}

/// The longest ending of `path` in the tables.
pub(super) fn find(tables: [&[(&'static str, Bound)]; 2], path: &str) -> Option<(&'static str, Bound)> {
    let mut best: Option<(&'static str, Bound)> = None;
    for (ending, bound) in tables.into_iter().flatten() {
        let longer = best.is_none_or(|(known, _)| ending.len() > known.len());
        if longer && ends_with(path, ending) {
            best = Some((ending, *bound));
        }
    }
    best
}

/// Whether the ending begins at a field's name (`spec.dpis` is no ending of `myspec.dpis`); one that begins
/// with a capital may begin within a name (`Ref.name`).
fn ends_with(path: &str, ending: &str) -> bool {
    let Some(before) = path.strip_suffix(ending) else {
        return false;
    };
    before.is_empty() || before.ends_with('.') || ending.starts_with(|first: char| first.is_uppercase())
}

impl Bound {
    /// Writes the bound into a schema.
    pub(super) fn apply(self, fields: &mut Map<String, Value>) {
        match self {
            Bound::Text(most) => set(fields, "maxLength", most),
            Bound::Given(most) => {
                set(fields, "minLength", 1);
                set(fields, "maxLength", most);
            }
            Bound::Pattern(most, pattern) => {
                set(fields, "maxLength", most);
                set(fields, "pattern", pattern);
            }
            Bound::Choice(choices) => set(fields, "enum", choices.to_vec()),
            Bound::Number(least, most) => {
                set(fields, "minimum", least);
                set(fields, "maximum", most);
            }
            Bound::Entries(most) => set(fields, "maxProperties", most),
            Bound::Whole(least, most) => list(fields, least, most, "atomic"),
            Bound::Set(least, most) => list(fields, least, most, "set"),
            Bound::Map(least, most, keys) => {
                list(fields, least, most, "map");
                set(fields, "x-kubernetes-list-map-keys", keys.to_vec());
            }
        }
    }
}

fn list(fields: &mut Map<String, Value>, least: u32, most: u32, kind: &str) {
    if least > 0 {
        set(fields, "minItems", least);
    }
    set(fields, "maxItems", most);
    set(fields, "x-kubernetes-list-type", kind);
}

fn set(fields: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    fields.insert(name.to_owned(), value.into());
}

#[cfg(test)]
mod tests {
    use super::super::{definition, schema};
    use super::*;

    #[test]
    fn every_bound_and_every_rule_is_about_a_field_that_exists() {
        let mut unused: Vec<&str> = SHARED.iter().map(|(ending, _)| *ending).collect();
        for kind in [definition::collector(), definition::dictionary()] {
            let mut own: Vec<&str> = kind.bounds.iter().map(|(ending, _)| *ending).collect();
            let mut rules = kind.rules.clone();
            schema::walk("", &mut kind.schema(), &mut |path, _| {
                if let Some((ending, _)) = find([kind.bounds, SHARED], path) {
                    own.retain(|known| *known != ending);
                    unused.retain(|known| *known != ending);
                }
                rules.retain(|rule| rule.at != path);
            });
            assert_eq!(own, Vec::<&str>::new(), "{}", kind.name);
            assert_eq!(rules, [], "{}", kind.name);
        }
        assert_eq!(unused, Vec::<&str>::new());
    }

    #[test]
    fn an_ending_begins_with_a_name() {
        assert!(ends_with("spec.dpis", "spec.dpis") && ends_with("a.spec.dpis", "spec.dpis"));
        assert!(ends_with("a.caSecretRef.name", "Ref.name"));
        assert!(!ends_with("a.myspec.dpis", "spec.dpis"));
    }
}
