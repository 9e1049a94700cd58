//! `qoe dictionaries`: what is in dictionaries. `check` reads files as they would be loaded and needs nothing that
//! runs, so that it can guard a Git repository.

use std::fmt::Write;
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

#[allow(clippy::print_stdout, reason = "this is the program's output")]
fn check(options: &CheckOptions) -> anyhow::Result<()> {
    let mut bad = 0;
    for file in &options.files {
        let dictionary_type = match options.dictionary_type {
            Some(given) => given,
            None => type_of(file)?,
        };
        let text = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let parsed = parse(declaration(dictionary_type), &text);
        print!("{}", findings(file, &parsed));
        bad += parsed.bad.count;
    }
    if bad > 0 {
        bail!("{bad} bad {}: correct what is listed above", if bad == 1 { "row" } else { "rows" });
    }
    Ok(())
}

/// What there is to say about a file, the way compilers say it.
fn findings(file: &Path, parsed: &Parsed<'_>) -> String {
    let file = file.display();
    let mut text = String::new();
    // Writing to a String cannot fail.
    for row in &parsed.bad.first {
        let _ = writeln!(text, "{file}:{}: {}", row.line, row.reason);
    }
    let more = parsed.bad.count.saturating_sub(parsed.bad.first.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "{file}: and {more} more");
    }
    for row in &parsed.warnings {
        let _ = writeln!(text, "{file}:{}: warning: {}", row.line, row.reason);
    }
    let _ = writeln!(text, "{file}: {} rows, {} bad", parsed.rows(), parsed.bad.count);
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    fn findings_of(dictionary_type: DictionaryType, text: &str) -> String {
        findings(Path::new("dir/a.txt"), &parse(declaration(dictionary_type), text.as_bytes()))
    }

    #[test]
    fn findings_are_told_by_file_and_line() {
        assert_eq!(
            findings_of(DictionaryType::SubnetsLocal, "10.0.0.0/8\ta\n\nx\n0.0.0.0/0\tb\n10.1.1.1/8\tc\n"),
            "dir/a.txt:3: 0 tabs, expected 1 (2 columns)\n\
             dir/a.txt:5: the same prefix as in line 1\n\
             dir/a.txt:4: warning: prefix: 0.0.0.0/0 has 4294967296 addresses: see whether all are meant\n\
             dir/a.txt: 2 rows, 2 bad\n"
        );
        assert_eq!(findings_of(DictionaryType::Asnum, "1\tone\n"), "dir/a.txt: 1 rows, 0 bad\n");
        let many = findings_of(DictionaryType::Asnum, &"x\n".repeat(103));
        assert_eq!(many.lines().count(), 102);
        assert!(many.ends_with("dir/a.txt: and 3 more\ndir/a.txt: 0 rows, 103 bad\n"), "{many}");
    }

    #[test]
    fn a_wrong_line_is_a_failure_and_the_name_tells_the_type() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let check = |files: &[&PathBuf], dictionary_type| {
            check(&CheckOptions {
                files: files.iter().map(|file| (*file).clone()).collect(),
                dictionary_type,
            })
        };
        let good = file("asnum_dic.txt", "1\tone\n");
        let bad = file("asnum_local_dic.txt", "x\tone\n");
        let other = file("other.txt", "1\tone\n");
        check(&[&good], None).unwrap();
        check(&[&good, &bad], None).unwrap_err();
        check(&[&bad, &good], None).unwrap_err();
        let error = check(&[&other], None).unwrap_err().to_string();
        assert!(error.contains("--type") && error.contains("SubnetsLocal"), "{error}");
        check(&[&other], Some(DictionaryType::Protocols)).unwrap();
        check(&[&other], Some(DictionaryType::SubnetsLocal)).unwrap_err();
        check(&[&dir.path().join("missing.txt")], Some(DictionaryType::Asnum)).unwrap_err();
    }
}
