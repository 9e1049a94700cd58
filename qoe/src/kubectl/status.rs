//! `kubectl qoe status`: one screen about one collector. What is not as it should be comes first.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use crds::status::{QoeCollectorStatus, ReceiverState, ShardState, VolumeState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use operator::collector::status::short;

use super::access::Access;
use super::table::table;
use super::{collector, print};

/// Conditions that are there only while something is going on; all others should be true.
const SHOULD_BE_FALSE: [&str; 3] = ["Reconciling", "Stalled", "JournalLost"];

/// Options of `kubectl qoe status`.
#[derive(Args)]
pub struct Options {
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// The status of the object
    Json,
}

/// Prints the status.
pub async fn run(access: &Access, options: &Options) -> anyhow::Result<()> {
    let found = collector::find(access).await?;
    if options.output == Output::Json {
        print(&format!("{}\n", serde_json::to_string_pretty(found.status_value())?));
        return Ok(());
    }
    let status = found.status()?;
    let head = Head { name: found.full_name(), paused: found.is_paused(), seen: found.is_seen(&status) };
    print(&screen(&head, &status));
    Ok(())
}

/// What is known of the object beside its status.
struct Head {
    name: String,
    paused: bool,
    /// Whether the status speaks of the object as it is now.
    seen: bool,
}

fn screen(head: &Head, status: &QoeCollectorStatus) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{}: {}", head.name, summary(head, status));
    conditions(&mut text, &status.conditions);
    if !status.receivers.is_empty() {
        text.push_str("\nreceivers\n");
        receivers(&mut text, &status.receivers);
    }
    if !status.shards.is_empty() {
        text.push_str("\nservers\n");
        shards(&mut text, &status.shards);
    }
    if let Some(schema) = &status.schema {
        let version = schema.version.as_deref().unwrap_or("an unknown version");
        let _ = writeln!(text, "\ntables are of {version}");
        if schema.pending_count > 0 {
            let _ = writeln!(text, "  {} not carried out yet: kubectl qoe plan", schema.pending_count);
        }
        if let Some(error) = &schema.last_error {
            let _ = writeln!(text, "  last error: {error}");
        }
    }
    text
}

fn summary(head: &Head, status: &QoeCollectorStatus) -> String {
    if status.conditions.is_empty() {
        return "no operator has looked at it yet: does one run, and watch this namespace?".to_owned();
    }
    let ready =
        status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let mut summary = if ready { "ready" } else { "not ready" }.to_owned();
    if let Some(count) = &status.receivers_ready {
        let _ = write!(summary, ", receivers {count}");
    }
    if let Some(version) = &status.version {
        let _ = write!(summary, " of version {version}");
    }
    if head.paused {
        summary.push_str(", paused");
    }
    if !head.seen {
        summary.push_str(
            "; the operator has not looked at the last change yet, what follows is of the one before",
        );
    }
    summary
}

/// What is not as it should be; conditions that say the same stand in one line.
fn conditions(text: &mut String, conditions: &[Condition]) {
    let mut lines: Vec<(String, &Condition)> = Vec::new();
    for condition in conditions.iter().filter(|condition| !is_well(condition)) {
        let what = format!("{} is {}", condition.type_, condition.status);
        let same = |line: &&mut (String, &Condition)| {
            line.1.reason == condition.reason && line.1.message == condition.message
        };
        match lines.iter_mut().find(same) {
            Some((said, _)) => {
                let _ = write!(said, ", {what}");
            }
            None => lines.push((what, condition)),
        }
    }
    for (what, condition) in lines {
        let _ = writeln!(text, "  {what}, {}: {}", condition.reason, condition.message);
    }
}

fn is_well(condition: &Condition) -> bool {
    let wanted = if SHOULD_BE_FALSE.contains(&condition.type_.as_str()) { "False" } else { "True" };
    condition.status == wanted
}

fn receivers(text: &mut String, receivers: &[ReceiverState]) {
    let rows: Vec<[String; 10]> = receivers.iter().map(receiver).collect();
    let head = [
        "DPI",
        "POD",
        "NODE",
        "READY",
        "VERSION",
        "RECEIVED",
        "STORED",
        "WAITING",
        "MISSING",
        "JOURNAL HOURS",
    ];
    text.push_str(&table(head, &rows));
    for receiver in receivers {
        if let Some(message) = &receiver.message {
            let _ = writeln!(text, "  dpi {}: {message}", receiver.dpi);
        }
    }
}

fn receiver(receiver: &ReceiverState) -> [String; 10] {
    let sum = |of: fn(&crds::status::StreamState) -> u64| {
        short(receiver.streams.iter().map(of).fold(0, u64::saturating_add))
    };
    let name = receiver.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    [
        format!("{}{name}", receiver.dpi),
        receiver.pod.clone().unwrap_or_default(),
        receiver.node.clone().unwrap_or_default(),
        yes_or_no(receiver.ready),
        receiver.version.clone().unwrap_or_default(),
        sum(|stream| stream.received),
        sum(|stream| stream.stored),
        sum(|stream| stream.waiting),
        sum(|stream| stream.missing),
        receiver.journal_hours_left.clone().unwrap_or_default(),
    ]
}

/// A line for each volume of each server; what is the server's own stands in the first of its lines.
fn shards(text: &mut String, shards: &[ShardState]) {
    let mut rows = Vec::new();
    for shard in shards {
        let none = [VolumeState::default()];
        let volumes = if shard.volumes.is_empty() { none.as_slice() } else { shard.volumes.as_slice() };
        for (line, volume) in volumes.iter().enumerate() {
            let own = |value: String| if line == 0 { value } else { String::from(" ") };
            rows.push([
                own(shard.shard.to_string()),
                own(shard.pod.clone().or_else(|| shard.url.clone()).unwrap_or_default()),
                own(yes_or_no(shard.ready)),
                own(shard.version.clone().unwrap_or_default()),
                volume.name.clone(),
                volume.size.clone().unwrap_or_default(),
                volume.free.clone().unwrap_or_default(),
                volume.hours_left.clone().unwrap_or_default(),
            ]);
        }
    }
    let head = ["SHARD", "SERVER", "READY", "VERSION", "VOLUME", "SIZE", "FREE", "HOURS LEFT"];
    text.push_str(&table(head, &rows));
    for shard in shards {
        if let Some(message) = &shard.message {
            let _ = writeln!(text, "  shard {}: {message}", shard.shard);
        }
    }
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests;
