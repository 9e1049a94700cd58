//! `qoe journal`: what is in the journals, and set-aside rows once more.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use ipfix::cache::{Limits, TemplateCache};
use ipfix::message::Sets;
use receiver::insert::{Access, Target};
use receiver::inspect;
use receiver::journal::Kind;
use receiver::sessions::{Message, Messages};

use crate::data_dir::DataDir;

/// Options of `qoe journal`.
#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List journals and set-aside rows
    Ls(Selection),
    /// Print the frames, messages and templates of a journal, one line each
    Cat(Selection),
    /// Send set-aside rows again
    Retry(Selection),
}

#[derive(Args)]
struct Selection {
    #[command(flatten)]
    data: DataDir,
    /// Only this journal, such as dpi-0-fullflow
    name: Option<String>,
}

impl Selection {
    fn journals(&self) -> anyhow::Result<Vec<PathBuf>> {
        let all = inspect::journals(&self.data.path)
            .with_context(|| format!("cannot read the journals of {}", self.data.path.display()))?;
        let Some(name) = &self.name else { return Ok(all) };
        let found: Vec<PathBuf> = all.into_iter().filter(|path| path.ends_with(name)).collect();
        if found.is_empty() {
            bail!("{} has no journal {name}: see qoe journal ls", self.data.path.display());
        }
        Ok(found)
    }
}

/// Does what the subcommand says.
pub fn run(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Command::Ls(selection) => list(selection),
        Command::Cat(selection) => print_frames(selection),
        Command::Retry(selection) => retry(selection),
    }
}

#[allow(clippy::print_stdout, reason = "this is the program's output")]
fn list(selection: &Selection) -> anyhow::Result<()> {
    for directory in selection.journals()? {
        let summary = inspect::summary(&directory)?;
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!(
            "{name}  identity {}  {} segments  {} messages",
            summary.identity, summary.segments, summary.messages
        );
        if let (Some((first, from)), Some((last, to))) = (summary.oldest, summary.newest) {
            println!("  frames {first} to {last}, arrived from {from} to {to} (microseconds since 1970)");
        }
        for piece in summary.set_aside {
            println!("  set aside: {} rows for {}: {}", piece.rows, piece.table, piece.error);
        }
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "this is the program's output")]
fn print_frames(selection: &Selection) -> anyhow::Result<()> {
    for directory in selection.journals()? {
        inspect::frames(&directory, |header, payload| {
            println!(
                "frame {} {:?} session {} arrived {} bytes {} messages {}",
                header.number, header.kind, header.session, header.arrival_us, header.length, header.messages
            );
            if header.kind == Kind::SessionOpened {
                println!("  {}", String::from_utf8_lossy(payload));
            }
            for message in Messages::of(header.kind, payload) {
                let ipfix::Header { protocol, length, export_time, sequence, domain, .. } = message.header;
                println!(
                    "  {protocol:?} domain {domain} sequence {sequence} exported {export_time} bytes {length}"
                );
                print_templates(&message);
            }
        })?;
    }
    Ok(())
}

/// The templates in a message: id, then each field as `element:width`, `*` for any width.
#[allow(clippy::print_stdout, reason = "this is the program's output")]
fn print_templates(message: &Message<'_>) {
    let mut templates = TemplateCache::new(Limits::default());
    let header = &message.header;
    for set in Sets::new(header, message.bytes).map_while(Result::ok) {
        templates.apply(header.protocol, header.domain, set.kind(header.protocol), set.body, 0);
    }
    for (_, template, _) in templates.iter() {
        let mut line = format!("    template {}", template.id);
        for field in &template.fields {
            let width = if field.is_variable() { "*".to_owned() } else { field.length.to_string() };
            line.push_str(&format!(" {}:{width}", field.element));
        }
        println!("{line}");
    }
}

#[allow(clippy::print_stdout, reason = "this is the program's output")]
fn retry(selection: &Selection) -> anyhow::Result<()> {
    let connection = selection.data.connection()?;
    let access = Access {
        url: connection.url.clone(),
        user: connection.user.clone(),
        password: connection.password()?,
        ca: None,
    };
    let target = Target::new(&access, &connection.database)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut stored, mut refused) = (0, 0);
    for directory in selection.journals()? {
        for retried in runtime.block_on(inspect::retry(&directory, &target))? {
            match retried.outcome {
                Ok(()) => stored += retried.note.rows,
                Err(failure) => {
                    refused += retried.note.rows;
                    println!(
                        "{} rows for {} refused again: {failure}",
                        retried.note.rows, retried.note.table
                    );
                }
            }
        }
    }
    println!("{stored} rows stored, {refused} still set aside");
    if refused > 0 {
        bail!("some rows were refused again; what the server says is printed above");
    }
    Ok(())
}
