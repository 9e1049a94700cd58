//! One line of the status per DPI.

use crds::receiver::StreamStatus;
use crds::status::{MAX_TEXT, ReceiverState, StreamState, shorten};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::ReceiverFacts;
use super::numbers::{rounded, streams, sum_of};

/// What is reported of one receiver.
pub(super) fn state(facts: &ReceiverFacts) -> ReceiverState {
    let answer = facts.status.as_ref().and_then(|answer| answer.as_ref().ok());
    let hours = streams(facts).filter_map(|stream| stream.journal.hours_left).reduce(f64::min);
    ReceiverState {
        dpi: facts.dpi,
        name: facts.name.clone(),
        pod: facts.pod.clone(),
        node: facts.node.clone(),
        ready: facts.ready,
        version: answer.map(|answer| shorten(&answer.version, 64)),
        message: message(facts).map(|message| shorten(&message, MAX_TEXT)),
        journal_hours_left: hours.map(hours_text),
        streams: streams(facts).map(|stream| stream_state(stream, facts)).collect(),
    }
}

/// The first of what a person should know.
pub(super) fn message(facts: &ReceiverFacts) -> Option<String> {
    if let Some(lost) = &facts.journal_lost {
        return Some(lost.clone());
    }
    if let Some((_, words)) = &facts.unscheduled {
        return Some(words.clone());
    }
    if let Some(trouble) = &facts.trouble {
        return Some(trouble.clone());
    }
    match &facts.status {
        Some(Err(error)) => Some(error.clone()),
        Some(Ok(status)) => {
            if !status.cpu_missing.is_empty() {
                return Some(format!("the node's CPU lacks {}", status.cpu_missing.join(", ")));
            }
            status.config_error.clone()
        }
        None => None,
    }
}

fn stream_state(stream: &StreamStatus, facts: &ReceiverFacts) -> StreamState {
    let address = facts.addresses.iter().find(|(name, _)| *name == stream.name);
    StreamState {
        name: stream.name.clone(),
        address: address.map(|(_, address)| address.clone()),
        received: rounded(stream.destination.decoded),
        stored: rounded(stream.destination.stored),
        waiting: rounded(stream.destination.waiting),
        missing: stream.sequence.missing,
        refused: sum_of(&stream.wire.refused),
        set_aside: stream.destination.set_aside,
        undecodable: sum_of(&stream.sequence.undecodable),
        last_record_at: stream.last_record_at.and_then(time),
        last_error: stream.last_error.as_ref().map(|error| shorten(error, MAX_TEXT)),
    }
}

fn time(milliseconds: u64) -> Option<Time> {
    // Whole minutes: the exact time would make every status a new one.
    let seconds = i64::try_from(milliseconds / 60_000 * 60).ok()?;
    Timestamp::from_second(seconds).ok().map(Time)
}

fn hours_text(hours: f64) -> String {
    if hours < 10.0 { format!("{hours:.1}") } else { format!("{hours:.0}") }
}
