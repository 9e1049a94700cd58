//! How the dictionaries of a data directory stand: written by `qoe up`, read by `qoe dictionaries ls`.

use std::fs;
use std::path::Path;

use anyhow::Context;
use dictionaries::{Report, State};
use serde::{Deserialize, Serialize};

const FILE: &str = "dictionaries.json";

/// One object.
#[derive(Debug, Serialize, Deserialize)]
pub struct ObjectStatus {
    /// Its name.
    pub object: String,
    /// Whether its contents are in force.
    pub in_force: bool,
    /// The version of its dictionary that is in force.
    pub version: Option<u32>,
    /// Rows that can be used.
    pub rows: u64,
    /// Lines that cannot.
    pub bad_rows: u64,
    /// The first of these, `line: reason`.
    pub first_bad: Vec<String>,
    /// What is the matter; empty if nothing is.
    pub problem: String,
}

/// Writes all of it, unless it stands there already.
pub fn write(data: &Path, reports: &[Report]) -> anyhow::Result<()> {
    let objects: Vec<ObjectStatus> = reports.iter().map(object).collect();
    let path = data.join(FILE);
    let text = serde_json::to_vec_pretty(&objects)?;
    if fs::read(&path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(fresh, path)?;
    Ok(())
}

/// Reads what [`write`] wrote.
pub fn read(data: &Path) -> anyhow::Result<Vec<ObjectStatus>> {
    let path = data.join(FILE);
    let text = fs::read(&path).with_context(|| {
        format!("no dictionaries were loaded in {}: start it with qoe up", data.display())
    })?;
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
}

fn object(report: &Report) -> ObjectStatus {
    ObjectStatus {
        object: report.object.clone(),
        in_force: report.state == State::InForce,
        version: report.version,
        rows: report.rows,
        bad_rows: report.bad.count,
        first_bad: report.bad.first.iter().map(|bad| format!("{}: {}", bad.line, bad.reason)).collect(),
        problem: match &report.state {
            State::InForce => String::new(),
            other => other.to_string(),
        },
    }
}
