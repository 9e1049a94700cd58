//! `qoe ledger`: the three balances of each stream, from the running receiver.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use crds::receiver::{Status, StreamStatus};

use crate::data_dir::DataDir;

/// Options of `qoe ledger`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    data: DataDir,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// How balances are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// The whole status document
    Json,
}

/// Prints the balances. Fails if one does not meet.
#[allow(clippy::print_stdout, reason = "this is the program's output")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    let status = options.data.receiver_status()?;
    match options.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        Output::Text => print!("{}", text(&status)),
    }
    Ok(())
}

/// The balances as a text.
pub fn text(status: &Status) -> String {
    let mut text = String::new();
    for dpi in &status.dpis {
        for stream in &dpi.streams {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "dpi {} {} ({})", dpi.id, stream.name, stream.address);
            stream_text(&mut text, stream);
        }
    }
    text
}

fn stream_text(text: &mut String, stream: &StreamStatus) {
    let StreamStatus { wire, sequence, destination, journal, .. } = stream;
    let refused: u64 = wire.refused.values().sum();
    let undecodable: u64 = sequence.undecodable.values().sum();
    let _ = writeln!(
        text,
        "  wire         {} messages arrived = {} journaled + {refused} refused{}",
        wire.arrived,
        wire.journaled,
        reasons(&wire.refused)
    );
    let _ = writeln!(
        text,
        "  sequence     {} records announced = {} decoded + {} options + {} missing + {undecodable} undecodable{}",
        sequence.announced,
        sequence.decoded,
        sequence.options,
        sequence.missing,
        reasons(&sequence.undecodable)
    );
    let aggregates = stream.aggregates.iter().map(|aggregate| &aggregate.destination);
    for destination in std::iter::once(destination).chain(&stream.nat).chain(aggregates) {
        let filtered: u64 = destination.filtered.values().sum();
        let _ = write!(
            text,
            "  destination  {} records decoded = {} stored in {} + {} waiting + {} set aside",
            destination.decoded,
            destination.stored,
            destination.table,
            destination.waiting,
            destination.set_aside
        );
        let filtered_text = format!(" + {filtered} filtered{}", reasons(&destination.filtered));
        let _ = writeln!(text, "{}", if filtered > 0 { filtered_text.as_str() } else { "" });
    }
    if journal.waiting_frames > 0 {
        let _ = writeln!(text, "  journal      {} frames not stored yet", journal.waiting_frames);
    }
    for (what, count) in [
        ("datagrams dropped by the kernel", wire.kernel_drops),
        ("datagrams that came twice", sequence.duplicates),
        ("NetFlow v9 packets missing", sequence.missing_packets),
        ("sets waiting for their template", sequence.waiting_sets),
        ("journal frames that cannot be read", journal.lost_frames),
    ] {
        if count > 0 {
            let _ = writeln!(text, "  also         {count} {what}");
        }
    }
    if let Some(error) = &stream.last_error
        && destination.waiting > 0
    {
        let _ = writeln!(text, "  last error   {error}");
    }
}

fn reasons(by_reason: &std::collections::BTreeMap<String, u64>) -> String {
    let listed: Vec<String> = by_reason.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    if listed.is_empty() { String::new() } else { format!(" ({})", listed.join(", ")) }
}
