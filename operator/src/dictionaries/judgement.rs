//! What is said of a dictionary: from the object and the reports of the collectors that use it to one reason, words
//! and numbers. Pure. Holds nothing that changes while nothing happens, and never calls ready what was reported of
//! an older generation.

use crds::kubernetes::Dictionary;
use crds::status::{QoeDictionaryStatus, shorten};
use crds::{QoeDictionary, validate};
use dictionaries::parse::BadRow;
use dictionaries::{Report, State};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Entry;

/// Lines that a message names.
const NAMED_LINES: usize = 10;
/// The longest reason of one line, in characters.
const MAX_REASON: usize = 300;
/// The longest message, in bytes.
const MAX_MESSAGE: usize = 4_096;

/// How a dictionary stands; what is worse comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Its contents are in force.
    InForce,
    /// Its contents are in force without some lines.
    InForceWithBadRows,
    /// There is no collector to use it.
    NotUsed,
    /// It is not in force yet, and nobody need do anything.
    Loading,
    /// Its source cannot be read.
    SourceUnreachable,
    /// Another object has the same keys.
    Conflict,
    /// It has bad lines and a previous version.
    BadRows,
    /// Its source is one of one machine.
    NotOnKubernetes,
    /// The object makes no sense.
    Invalid,
}

impl Standing {
    /// The reason of conditions and events.
    pub fn reason(self) -> &'static str {
        match self {
            Standing::InForce => "InForce",
            Standing::InForceWithBadRows => "InForceWithBadRows",
            Standing::NotUsed => "NotUsed",
            Standing::Loading => "Loading",
            Standing::SourceUnreachable => "SourceUnreachable",
            Standing::Conflict => "Conflict",
            Standing::BadRows => "BadRows",
            Standing::NotOnKubernetes => "NotOnKubernetes",
            Standing::Invalid => "Invalid",
        }
    }

    /// What the object says is in force.
    pub fn is_ready(self) -> bool {
        matches!(self, Standing::InForce | Standing::InForceWithBadRows)
    }

    /// It is tried again by itself.
    pub fn is_reconciling(self) -> bool {
        matches!(self, Standing::Loading | Standing::SourceUnreachable)
    }

    /// It waits for a person.
    pub fn is_stalled(self) -> bool {
        self >= Standing::Conflict
    }
}

/// A standing in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// How it stands.
    pub standing: Standing,
    /// Words of the conditions.
    pub message: String,
}

/// A collector that uses a dictionary.
pub struct User {
    /// Its name.
    pub name: String,
    /// What was reported last.
    pub entry: Option<Entry>,
}

/// Whether an object cannot be used, whoever uses it.
pub fn of_object(dictionary: &Dictionary) -> Option<Judgement> {
    let problems = validate::dictionary(&QoeDictionary::from(dictionary));
    if !problems.is_empty() {
        return Some(judged(Standing::Invalid, validate::listed(&problems)));
    }
    dictionary.spec.source.file.is_some().then(|| {
        judged(
            Standing::NotOnKubernetes,
            "spec.source.file: files are read by `qoe up` on one machine only: use configMap, secret or http",
        )
    })
}

/// What a loader's report amounts to.
pub fn of_report(report: &Report) -> Judgement {
    let standing = match &report.state {
        State::InForce if report.bad.count == 0 => Standing::InForce,
        State::InForce => Standing::InForceWithBadRows,
        State::BadRows => Standing::BadRows,
        State::Conflict(_) => Standing::Conflict,
        State::Unreachable(_) => Standing::SourceUnreachable,
        State::WaitsFor(_) | State::Failed(_) => Standing::Loading,
    };
    let mut message = match (&report.state, report.version) {
        (State::InForce, Some(version)) => format!("version {version}: {} rows are in force", report.rows),
        (State::InForce, None) => format!("{} rows are in force", report.rows),
        (other, _) => other.to_string(),
    };
    let bad = report.bad.count;
    if bad > 0 {
        let what = if report.state == State::InForce { "bad rows are left out" } else { "bad rows" };
        message.push_str(&format!("; {bad} {what}: {}", lines(&report.bad.first, bad)));
    }
    let odd = report.warnings.len() as u64;
    if odd > 0 {
        message.push_str(&format!("; {odd} rows look unintended: {}", lines(&report.warnings, odd)));
    }
    judged(standing, message)
}

/// What a dictionary amounts to for those that use it.
pub fn of_users(users: &[User], generation: i64, collectors: Option<&Vec<String>>) -> Judgement {
    if users.is_empty() {
        return judged(Standing::NotUsed, unused(collectors));
    }
    let mut all: Vec<(&str, Judgement)> = Vec::new();
    for User { name, entry } in users {
        let judgement = match entry {
            Some(entry) if entry.generation >= generation => of_report(&entry.report),
            Some(_) | None => judged(
                Standing::Loading,
                format!("collector {name} has not loaded it yet: see its conditions"),
            ),
        };
        all.push((name, judgement));
    }
    let worst = all.iter().map(|(_, judgement)| judgement.standing).max().unwrap_or(Standing::NotUsed);
    let concerned: Vec<&(&str, Judgement)> =
        all.iter().filter(|(_, judgement)| judgement.standing == worst).collect();
    let words: Vec<String> = match concerned.as_slice() {
        [(_, judgement)] if users.len() == 1 => vec![judgement.message.clone()],
        several => several.iter().map(|(name, judgement)| format!("{name}: {}", judgement.message)).collect(),
    };
    judged(worst, words.join("; "))
}

/// Numbers and users of the new status; conditions are not filled. Numbers of what is in force move only when
/// something else comes into force.
pub fn numbers(users: &[User], judgement: &Judgement, previous: &QoeDictionaryStatus) -> QoeDictionaryStatus {
    let mut status = QoeDictionaryStatus {
        used_by: users.iter().map(|user| user.name.clone()).collect(),
        ..QoeDictionaryStatus::default()
    };
    if users.is_empty() {
        return status;
    }
    let reports: Vec<(&str, &Report)> =
        users.iter().filter_map(|user| Some((user.name.as_str(), &user.entry.as_ref()?.report))).collect();
    // Nothing can be said of lines that were not read.
    let counted = |report: &&(&str, &Report)| {
        matches!(report.1.state, State::InForce | State::BadRows | State::Conflict(_))
    };
    status.bad_rows =
        reports.iter().filter(counted).map(|(_, report)| report.bad.count).max().or(previous.bad_rows);
    if judgement.standing.is_ready() {
        status.rows = reports.iter().map(|(_, report)| report.rows).max();
        status.version = versions(&reports);
    } else {
        status.rows = previous.rows;
        status.version = previous.version.clone();
    }
    status
}

/// After a restart nothing is reported yet. What the same generation was for the same collectors, it still is.
pub fn still_holds(users: &[User], generation: Option<i64>, previous: &QoeDictionaryStatus) -> bool {
    let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
    !users.is_empty()
        && users.iter().all(|user| user.entry.is_none())
        && was_ready(generation, previous).is_some()
        && previous.used_by == names
}

/// What a dictionary amounts to for one collector alone, and the version that it has in force. As with
/// [`still_holds`], before anything is reported its status is what is known.
pub fn of_one(dictionary: &Dictionary, user: User) -> (Judgement, Option<u32>) {
    if let Some(judgement) = of_object(dictionary) {
        return (judgement, None);
    }
    let generation = dictionary.metadata.generation;
    if user.entry.is_none()
        && let Some(previous) =
            dictionary.status.as_ref().filter(|status| status.used_by.contains(&user.name))
        && let Some(ready) = was_ready(generation, previous)
    {
        let left_out = ready.reason == Standing::InForceWithBadRows.reason();
        let standing = if left_out { Standing::InForceWithBadRows } else { Standing::InForce };
        let version = previous.version.as_ref().and_then(|version| version.parse().ok());
        return (judged(standing, &ready.message), version);
    }
    let version = user.entry.as_ref().and_then(|entry| entry.report.version);
    let collectors = dictionary.spec.collectors.as_ref();
    (of_users(&[user], generation.unwrap_or_default(), collectors), version)
}

/// The condition, if this generation was ready.
fn was_ready(generation: Option<i64>, previous: &QoeDictionaryStatus) -> Option<&Condition> {
    let ready = previous.conditions.iter().find(|condition| condition.type_ == "Ready")?;
    (ready.status == "True" && previous.observed_generation == generation).then_some(ready)
}

/// `7`, or each collector's own.
fn versions(reports: &[(&str, &Report)]) -> Option<String> {
    let first = reports.first()?.1.version?;
    if reports.iter().all(|(_, report)| report.version == Some(first)) {
        return Some(first.to_string());
    }
    let each = reports.iter().filter_map(|(name, report)| Some(format!("{name} {}", report.version?)));
    Some(shorten(&each.collect::<Vec<_>>().join(", "), crds::status::MAX_TEXT))
}

fn unused(collectors: Option<&Vec<String>>) -> String {
    match collectors {
        None => "there is no QoeCollector in this namespace to use it".to_owned(),
        Some(names) if names.is_empty() => "spec.collectors is empty: no QoeCollector uses it".to_owned(),
        Some(names) => {
            format!(
                "spec.collectors: there is no QoeCollector named {} in this namespace",
                names.join(" or ")
            )
        }
    }
}

/// `line 3: REASON; line 9: REASON; and 4 more`
fn lines(rows: &[BadRow], count: u64) -> String {
    let mut words: Vec<String> = rows
        .iter()
        .take(NAMED_LINES)
        .map(|row| format!("line {}: {}", row.line, shorten(&row.reason, MAX_REASON)))
        .collect();
    let more = count.saturating_sub(words.len() as u64);
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join("; ")
}

fn judged(standing: Standing, message: impl AsRef<str>) -> Judgement {
    let mut message = shorten(message.as_ref(), MAX_MESSAGE);
    if message.len() > MAX_MESSAGE {
        // A character takes at most four bytes.
        message = shorten(&message, MAX_MESSAGE / 4);
    }
    Judgement { standing, message }
}

#[cfg(test)]
mod tests;
