//! `qoe dictionaries`: what is in dictionaries. `check` reads files as they would be loaded and needs nothing that
//! runs, so that it can guard a Git repository.

use std::fs;
use std::path::{Path, PathBuf};

use ::dictionaries::declare::{TYPES, declaration, type_name, type_named};
use ::dictionaries::parse::{Parsed, parse};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use crds::dictionary::DictionaryType;

/// Options of `qoe dictionaries`.
#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check files before they are used; fails if a line is wrong
    Check(CheckOptions),
}

#[derive(Args)]
struct CheckOptions {
    /// Files with the lines of a dictionary
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What the files hold, as in YAML; default: what they are called, `subnets_local_dic.txt` is SubnetsLocal
    #[arg(long = "type", value_parser = read_type)]
    dictionary_type: Option<DictionaryType>,
}

/// Does what is asked for.
pub fn run(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Command::Check(options) => check(options),
    }
}

fn check(options: &CheckOptions) -> anyhow::Result<()> {
    let mut bad = 0;
    for file in &options.files {
        let dictionary_type = match options.dictionary_type {
            Some(given) => given,
            None => type_of(file)?,
        };
        let text = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let parsed = parse(declaration(dictionary_type), &text);
        print_findings(file, &parsed);
        bad += parsed.bad.count;
    }
    if bad > 0 {
        bail!("{bad} bad {}: correct what is listed above", if bad == 1 { "row" } else { "rows" });
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "this is the program's output")]
fn print_findings(file: &Path, parsed: &Parsed<'_>) {
    let file = file.display();
    for row in &parsed.bad.first {
        println!("{file}:{}: {}", row.line, row.reason);
    }
    let more = parsed.bad.count.saturating_sub(parsed.bad.first.len() as u64);
    if more > 0 {
        println!("{file}: and {more} more");
    }
    for row in &parsed.warnings {
        println!("{file}:{}: warning: {}", row.line, row.reason);
    }
    println!("{file}: {} rows, {} bad", parsed.rows(), parsed.bad.count);
}

fn type_of(file: &Path) -> anyhow::Result<DictionaryType> {
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    type_named(name).with_context(|| {
        format!("the name of {} does not tell what it holds: add --type, one of {}", file.display(), names())
    })
}

fn read_type(text: &str) -> Result<DictionaryType, String> {
    type_named(text).ok_or_else(|| format!("there is no such type, it is one of {}", names()))
}

fn names() -> String {
    TYPES.map(type_name).join(", ")
}
