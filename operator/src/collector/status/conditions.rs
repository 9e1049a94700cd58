//! The conditions, each answering one question of a person. All positive except kstatus's own
//! Reconciling, Stalled and the transient JournalLost.

use crds::status::shorten;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::dictionaries::dictionaries_ready;
use super::numbers::{short, streams, sum_of};
use super::shards::{clickhouse_ready, storage_fits};
use super::{Facts, condition, receivers};

/// The longest message of a condition, in characters: it is read at a glance.
const MAX_MESSAGE: usize = 4_096;
/// A DPI that sends nothing for so long is worth a word, in seconds.
const SILENT_S: i64 = 300;

/// `True`, `False` or `Unknown`, a reason in CamelCase, and words with numbers.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    name: &'static str,
    status: Option<bool>,
    reason: &'static str,
    message: String,
}

pub(super) fn finding(
    name: &'static str,
    status: impl Into<Option<bool>>,
    reason: &'static str,
    message: impl Into<String>,
) -> Finding {
    Finding { name, status: status.into(), reason, message: message.into() }
}

/// All conditions; times are kept where the status did not change.
pub(super) fn conditions(facts: &Facts, earlier: &[Condition]) -> Vec<Condition> {
    let receivers_ready = receivers_ready(facts);
    let schema = finding("SchemaReady", facts.schema.ready, facts.schema.reason, &facts.schema.message);
    let stalled = stalled(facts);
    let clickhouse_ready = clickhouse_ready(&facts.servers);
    let ready = ready(facts, &stalled, [Some(&receivers_ready), clickhouse_ready.as_ref(), Some(&schema)]);
    let reconciling = reconciling(facts, &stalled, &ready);
    let mut findings = vec![
        ready,
        reconciling,
        stalled,
        receivers_ready,
        schema,
        dictionaries_ready(facts),
        receiving(facts),
        nothing_lost(facts),
        storage_fits(&facts.servers),
    ];
    findings.extend(clickhouse_ready);
    findings.extend(journal_lost(facts));
    findings.into_iter().map(|finding| dated(finding, facts, earlier)).collect()
}

fn dated(finding: Finding, facts: &Facts, earlier: &[Condition]) -> Condition {
    let status = match finding.status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let same = condition(earlier, finding.name).filter(|earlier| earlier.status == status);
    Condition {
        type_: finding.name.to_owned(),
        status: status.to_owned(),
        reason: finding.reason.to_owned(),
        message: shorten(&finding.message, MAX_MESSAGE),
        observed_generation: Some(facts.generation),
        last_transition_time: same.map_or(Time(facts.now), |earlier| earlier.last_transition_time.clone()),
    }
}

fn ready(facts: &Facts, stalled: &Finding, needed: [Option<&Finding>; 3]) -> Finding {
    if stalled.status == Some(true) {
        return finding("Ready", false, stalled.reason, &stalled.message);
    }
    if facts.paused {
        return finding("Ready", false, "Paused", "spec.paused: nothing is changed until it is false");
    }
    if let Some(failure) = facts.failures.first() {
        return finding("Ready", false, "ApplyFailed", failure);
    }
    let needed = needed.into_iter().flatten();
    if let Some(missing) = needed.clone().find(|finding| finding.status != Some(true)) {
        return finding("Ready", false, missing.reason, &missing.message);
    }
    let messages: Vec<&str> = needed.map(|finding| finding.message.as_str()).collect();
    finding("Ready", true, "Ready", messages.join("; "))
}

fn reconciling(facts: &Facts, stalled: &Finding, ready: &Finding) -> Finding {
    if stalled.status == Some(true) {
        return finding("Reconciling", false, "Stalled", "nothing happens until a person acts: see Stalled");
    }
    if facts.paused {
        return finding("Reconciling", false, "Paused", "spec.paused: nothing is changed until it is false");
    }
    if ready.status == Some(true) {
        return finding("Reconciling", false, "Done", "everything is as it should be");
    }
    finding("Reconciling", true, ready.reason, &ready.message)
}

fn stalled(facts: &Facts) -> Finding {
    if let Some(refused) = &facts.refused {
        return finding("Stalled", true, refused.reason, &refused.message);
    }
    if facts.schema.stalled {
        return finding("Stalled", true, facts.schema.reason, &facts.schema.message);
    }
    if let Some((reason, message)) = &facts.servers.waits_for_a_person {
        return finding("Stalled", true, reason, message);
    }
    let unscheduled = facts.receivers.iter().find_map(|receiver| {
        let (reason, words) = receiver.unscheduled.as_ref()?;
        Some((reason, format!("DPI {}: {words}", receiver.dpi)))
    });
    if let Some((reason, message)) = unscheduled {
        return finding("Stalled", true, reason, message);
    }
    finding("Stalled", false, "NotStalled", "nothing waits for a person")
}

fn receivers_ready(facts: &Facts) -> Finding {
    let name = "ReceiversReady";
    if facts.refused.is_some() && facts.receivers.is_empty() {
        return finding(name, None, "NotChecked", "the object is not used as it is: see Stalled");
    }
    let wanted = facts.receivers.len();
    let ready = facts.receivers.iter().filter(|receiver| receiver.ready).count();
    if ready == wanted {
        return finding(name, true, "AllReady", format!("{ready} of {wanted} receivers are ready"));
    }
    let mut lines = vec![format!("{ready} of {wanted} receivers are ready")];
    let mut reason = "NotReady";
    for receiver in facts.receivers.iter().filter(|receiver| !receiver.ready) {
        let message = receivers::message(receiver);
        if let Some((why, _)) = receiver.unscheduled {
            reason = why;
        } else if receiver.serving && reason == "NotReady" {
            reason = "Rolling";
        }
        let words = match (message, receiver.serving) {
            (Some(message), _) => message,
            (None, true) => "is being replaced".to_owned(),
            (None, false) => "is starting".to_owned(),
        };
        lines.push(format!("DPI {}: {words}", receiver.dpi));
    }
    finding(name, false, reason, lines.join("; "))
}

fn receiving(facts: &Facts) -> Finding {
    let name = "Receiving";
    let mut silent = Vec::new();
    let mut records = 0_u64;
    for receiver in &facts.receivers {
        let decoded =
            streams(receiver).fold(0_u64, |sum, stream| sum.saturating_add(stream.destination.decoded));
        records = records.saturating_add(decoded);
        let last = streams(receiver).filter_map(|stream| stream.last_record_at).max();
        let age = last.map(|last| facts.now.as_second() - i64::try_from(last / 1_000).unwrap_or(i64::MAX));
        match age {
            Some(age) if age <= SILENT_S => {}
            Some(age) => silent.push(format!("DPI {} has sent nothing for {} min", receiver.dpi, age / 60)),
            None => silent.push(format!("DPI {} has not sent anything yet", receiver.dpi)),
        }
    }
    if records == 0 {
        return finding(name, None, "NoRecordYet", "no record has arrived yet");
    }
    if silent.is_empty() {
        let message = format!("every DPI sends; {} records so far", short(records));
        return finding(name, true, "EveryDPISends", message);
    }
    finding(name, false, "Silent", silent.join("; "))
}

fn nothing_lost(facts: &Facts) -> Finding {
    let name = "NothingLost";
    let mut answered = false;
    let (mut missing, mut refused, mut other, mut aside) = (0_u64, 0_u64, 0_u64, 0_u64);
    for stream in facts.receivers.iter().flat_map(streams) {
        answered = true;
        missing = missing.saturating_add(stream.sequence.missing);
        refused = refused.saturating_add(sum_of(&stream.wire.refused));
        other = other
            .saturating_add(sum_of(&stream.sequence.undecodable))
            .saturating_add(stream.journal.lost_frames);
        aside = aside.saturating_add(stream.destination.set_aside);
    }
    if !answered {
        return finding(name, None, "NotChecked", "no receiver has answered yet");
    }
    let totals = format!(
        "since the journals were made: {missing} records missing, {refused} messages refused, {other} undecodable, {aside} set aside"
    );
    if facts.lost_lately == 0 {
        return finding(
            name,
            true,
            "NothingLost",
            format!("nothing was lost within the last hour; {totals}"),
        );
    }
    let message = format!("{} were lost within the last hour; {totals}", facts.lost_lately);
    finding(name, false, "RecordsLost", message)
}

/// Present only while it is so.
fn journal_lost(facts: &Facts) -> Option<Finding> {
    let lost: Vec<String> = facts
        .receivers
        .iter()
        .filter_map(|receiver| Some(format!("DPI {}: {}", receiver.dpi, receiver.journal_lost.as_ref()?)))
        .collect();
    (!lost.is_empty()).then(|| finding("JournalLost", true, "VolumeGone", lost.join("; ")))
}
