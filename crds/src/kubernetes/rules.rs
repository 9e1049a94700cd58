//! The rules that the API server itself checks, in CEL: what excludes what, what must differ, what may not
//! change. An object that breaks one never gets into the cluster.
//!
//! [`crate::validate`] checks all of them too, except those about changes: it sees no earlier object.

use crate::validate::words;

/// The receiver's own HTTP port in its pod.
const HTTP_PORT: u16 = 9_400;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// The object or field it belongs to, which CEL calls `self`.
    pub at: &'static str,
    /// True if all is well.
    pub rule: String,
    /// What is said otherwise.
    pub message: String,
    /// The field below `at` that is to blame.
    pub field: Option<&'static str>,
}

fn rule(
    at: &'static str,
    field: Option<&'static str>,
    message: impl Into<String>,
    rule: impl Into<String>,
) -> Rule {
    Rule { at, rule: rule.into(), message: message.into(), field }
}

/// The rules of a collector.
pub(super) fn collector() -> Vec<Rule> {
    let mut rules = vec![rule(
        "",
        None,
        format!("metadata.name: {}", words::COLLECTOR_NAME),
        "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')",
    )];
    rules.push(rule(
        "",
        None,
        format!("metadata.name: {}", words::NAME_WITH_SERVERS),
        format!(
            "!has(self.spec.clickhouse.managed) || self.metadata.name.size() <= {}",
            crate::managed::LONGEST_COLLECTOR
        ),
    ));
    streams(&mut rules);
    journal(&mut rules);
    clickhouse(&mut rules);
    tables(&mut rules);
    rules
}

/// The rules of a dictionary.
pub(super) fn dictionary() -> Vec<Rule> {
    vec![
        rule(
            "spec.type",
            None,
            "the type of a dictionary cannot be changed; make another dictionary",
            "self == oldSelf",
        ),
        rule(
            "spec.source",
            None,
            words::ONE_SOURCE,
            "[has(self.inline), has(self.configMap), has(self.secret), has(self.http), has(self.table), \
             has(self.file)].filter(given, given).size() == 1",
        ),
    ]
}

fn streams(rules: &mut Vec<Rule>) {
    let names = "[self.streams.map(s, has(s.name) ? s.name : s.type.lowerAscii())]";
    rules.push(rule(
        "spec.dpis[]",
        Some(".streams"),
        "the streams of a DPI need different names; a name defaults to the type in lower case",
        format!("{names}.all(names, names.all(a, names.exists_one(b, b == a)))"),
    ));
    let ports = "[self.streams.map(s, has(s.transport) && s.transport == 'UDP' ? -s.port : s.port)]";
    rules.push(rule(
        "spec.dpis[]",
        Some(".streams"),
        "the streams of a DPI need different ports, unless one is TCP and the other UDP",
        format!("{ports}.all(ports, ports.all(a, ports.exists_one(b, b == a)))"),
    ));
    rules.push(rule(
        "spec.dpis[].streams[]",
        Some(".tls"),
        words::TLS_NEEDS_TCP,
        "!has(self.tls) || !has(self.transport) || self.transport == 'TCP'",
    ));
    rules.push(rule(
        "spec.dpis[].streams[]",
        Some(".port"),
        format!("TCP port {HTTP_PORT} is taken by the receiver's own metrics"),
        format!("self.port != {HTTP_PORT} || (has(self.transport) && self.transport == 'UDP')"),
    ));
    rules.push(rule(
        "spec.dpis[].streams[].allowFrom[]",
        None,
        format!("{} without bits set behind the prefix", words::NETWORK),
        "isCIDR(self) && cidr(self).masked() == cidr(self)",
    ));
}

fn journal(rules: &mut Vec<Rule>) {
    rules.push(rule(
        "spec.dpis[].receiver.journal.size",
        None,
        words::JOURNAL_SIZE,
        "quantity(string(self)).compareTo(quantity('16Mi')) >= 0",
    ));
    // These two look from the DPI, because `receiver` and `journal` may be absent before or after.
    let size = |object: &str| {
        let size = or(object, &["receiver", "journal", "size"], crate::dpi::DEFAULT_JOURNAL);
        format!("quantity(string({size}))")
    };
    rules.push(rule(
        "spec.dpis[]",
        Some(".receiver.journal.size"),
        "a journal cannot shrink; its volume would have to be made anew",
        format!("{}.compareTo({}) >= 0", size("self"), size("oldSelf")),
    ));
    let class = |object: &str| or(object, &["receiver", "journal", "storageClassName"], "");
    rules.push(rule(
        "spec.dpis[]",
        Some(".receiver.journal.storageClassName"),
        "the storage class of a volume cannot be changed",
        format!("{} == {}", class("self"), class("oldSelf")),
    ));
}

fn clickhouse(rules: &mut Vec<Rule>) {
    rules.push(rule(
        "spec.clickhouse",
        None,
        words::ONE_CLICKHOUSE,
        "[has(self.managed), has(self.external), has(self.embedded)].filter(given, given).size() == 1",
    ));
    let database = |object: &str| or(object, &["database"], crate::clickhouse::DEFAULT_DATABASE);
    rules.push(rule(
        "spec.clickhouse",
        Some(".database"),
        "the database cannot be changed; its tables would be left behind",
        format!("{} == {}", database("self"), database("oldSelf")),
    ));
    rules.push(rule(
        "spec.clickhouse.external",
        Some(".cluster"),
        words::CLUSTER_NEEDED,
        "self.endpoints.size() == 1 || has(self.cluster)",
    ));
    rules.push(rule(
        "spec.clickhouse.external",
        Some(".endpoints"),
        words::ENDPOINT_TWICE,
        "self.endpoints.all(one, self.endpoints.exists_one(other, other == one))",
    ));
    managed(rules);
}

/// These look from `managed`, because `storage` and its volumes may be absent before or after.
fn managed(rules: &mut Vec<Rule>) {
    use crate::clickhouse::{DEFAULT_COLD, DEFAULT_HOT};
    let at = "spec.clickhouse.managed";
    let hot = |object: &str| or(object, &["storage", "hot", "size"], DEFAULT_HOT);
    // Without `storage` there is a large volume, without `storage.cold` none.
    let cold = |object: &str| {
        format!(
            "(has({object}.storage) ? {} : '{DEFAULT_COLD}')",
            or(object, &["storage", "cold", "size"], "0")
        )
    };
    for (field, size) in [(".storage.hot.size", hot("#")), (".storage.cold.size", cold("#"))] {
        let of = |object: &str| format!("quantity(string({}))", size.replace('#', object));
        rules.push(rule(
            at,
            Some(field),
            words::VOLUME_SHRINKS,
            format!("{}.compareTo({}) >= 0", of("self"), of("oldSelf")),
        ));
    }
    for (field, volume) in
        [(".storage.hot.storageClassName", "hot"), (".storage.cold.storageClassName", "cold")]
    {
        let class = |object: &str| or(object, &["storage", volume, "storageClassName"], "");
        // A large volume that comes later may have any class.
        let was_there =
            if volume == "cold" { "(has(oldSelf.storage) && !has(oldSelf.storage.cold)) || " } else { "" };
        rules.push(rule(
            at,
            Some(field),
            "the storage class of a volume cannot be changed",
            format!("{was_there}{} == {}", class("self"), class("oldSelf")),
        ));
    }
    let (major, minor) = crate::clickhouse::OLDEST_SERVER;
    let older: Vec<String> = (0..major).map(|older| older.to_string()).collect();
    let minors: Vec<String> = (0..minor).map(|older| older.to_string()).collect();
    rules.push(rule(
        at,
        Some(".image"),
        words::OLD_SERVER,
        format!(
            "!has(self.image) || !self.image.matches('^[^@]*:v?(({})[.][0-9]|{major}[.]({})([^0-9]|$))')",
            older.join("|"),
            minors.join("|")
        ),
    ));
    let reserved: Vec<String> =
        crate::managed::RESERVED_USERS.iter().map(|name| format!("'{name}'")).collect();
    rules.push(rule(
        "spec.clickhouse.managed.users[]",
        Some(".name"),
        words::RESERVED_USER,
        format!("!(self.name in [{}])", reserved.join(", ")),
    ));
}

fn tables(rules: &mut Vec<Rule>) {
    let raw_default = crate::tables::DEFAULT_KEEP_FOR.to_string();
    for at in [
        "spec.tables.fullflow",
        "spec.tables.clickstream",
        "spec.tables.gtpflow",
        "spec.tables.natflow",
        "spec.tables.dnsflow",
    ] {
        let keep = format!("[has(self.keepFor) ? self.keepFor : '{raw_default}']");
        rules.push(rule(
            at,
            Some(".moveToColdAfter"),
            format!("{} ({raw_default} if not given)", words::LESS_THAN_KEEP_FOR),
            format!(
                "!has(self.moveToColdAfter) || {keep}.all(keep, {} < {})",
                seconds("self.moveToColdAfter"),
                seconds("keep")
            ),
        ));
    }
    for at in [
        "spec.tables.fullflow_agg",
        "spec.tables.clickstream_agg",
        "spec.tables.gtpflow_agg",
        "spec.tables.natflow_agg",
        "spec.tables.dnsflow_agg",
    ] {
        rules.push(rule(
            at,
            Some(".moveToColdAfter"),
            words::LESS_THAN_KEEP_FOR,
            format!(
                "!has(self.moveToColdAfter) || !has(self.keepFor) || {} < {}",
                seconds("self.moveToColdAfter"),
                seconds("self.keepFor")
            ),
        ));
        rollups(at, rules);
    }
}

fn rollups(at: &'static str, rules: &mut Vec<Rule>) {
    rules.push(rule(
        at,
        Some(".rollups"),
        format!("after: {}", words::LESS_THAN_KEEP_FOR),
        format!(
            "!has(self.rollups) || !has(self.keepFor) || self.rollups.all(r, {} < {})",
            seconds("r.after"),
            seconds("self.keepFor")
        ),
    ));
    let intervals = format!(
        "([has(self.interval) ? self.interval : '15m'] + self.rollups.map(r, r.interval)).map(i, {})",
        seconds("i")
    );
    rules.push(rule(
        at,
        Some(".rollups"),
        format!("interval: {}", words::MULTIPLE_OF_INTERVAL),
        format!(
            "!has(self.rollups) || [{intervals}].all(l, [1, 2, 3, 4, 5].all(i, i >= l.size() || \
             (l[i] > l[i - 1] && l[i] % l[i - 1] == 0)))"
        ),
    ));
    rules.push(rule(
        at,
        Some(".rollups"),
        format!("interval: {}", words::NO_ROLLUP_TO_10M),
        "!has(self.rollups) || self.rollups.all(r, r.interval != '10m')".to_owned(),
    ));
    let ages = format!("self.rollups.map(r, {})", seconds("r.after"));
    rules.push(rule(
        at,
        Some(".rollups"),
        format!("after: {}", words::MORE_THAN_BEFORE),
        format!(
            "!has(self.rollups) || [{ages}].all(l, [1, 2, 3, 4].all(i, i >= l.size() || l[i] > l[i - 1]))"
        ),
    ));
}

/// A field that may be absent, as may all on the way to it. (CEL's `orValue` would be shorter, but the API
/// server takes its result for a text without bound.)
fn or(object: &str, fields: &[&str], default: &str) -> String {
    let mut path = object.to_owned();
    let mut present = Vec::new();
    for field in fields {
        path = format!("{path}.{field}");
        present.push(format!("has({path})"));
    }
    format!("({} ? {path} : '{default}')", present.join(" && "))
}

/// A duration in seconds. CEL's own `duration()` knows no days.
fn seconds(duration: &str) -> String {
    format!(
        "int({duration}.substring(0, {duration}.size() - 1)) * \
         {{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}}[{duration}.substring({duration}.size() - 1)]"
    )
}
