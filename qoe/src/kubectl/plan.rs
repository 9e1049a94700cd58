//! `kubectl qoe plan`: the changes of tables that are not carried out yet, and the word that lets destructive ones be.
//! What is approved is always a hash that was shown, never "whatever waits".

use std::fmt::Write;

use anyhow::{Context, ensure};
use clap::Args;
use crds::status::{QoeCollectorStatus, SchemaState};
use serde_json::json;

use super::access::Access;
use super::{collector, print};

/// Options of `kubectl qoe plan`.
#[derive(Args)]
pub struct Options {
    /// Approve the steps that wait: their hash goes into spec.approvals. With a hash, only if it is this one
    #[arg(long, value_name = "HASH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    approve: Option<String>,
}

/// Prints the plan; approves it if asked to.
pub async fn run(access: &Access, options: &Options) -> anyhow::Result<()> {
    let found = collector::find(access).await?;
    let status = found.status()?;
    let name = found.full_name();
    let approvals = found.approvals();
    print(&text(&name, &status, &approvals));
    if !found.is_seen(&status) {
        print(
            "The operator has not looked at the last change of the object yet: this may not be the plan any more.\n",
        );
    }
    let Some(wanted) = &options.approve else { return Ok(()) };
    ensure!(
        found.is_seen(&status),
        "nothing was approved: the operator has not looked at the last change of {name} yet, try again in a minute"
    );
    let hash = approvable(&status, wanted)?;
    if approvals.iter().any(|approval| approval == hash) {
        return Ok(());
    }
    let mut approvals = approvals;
    approvals.push(hash.to_owned());
    found.patch_spec(access, json!({"approvals": approvals})).await?;
    print(&format!(
        "approved: {hash} is in spec.approvals of {name}.\nIf it is applied from Git, add it there as well, or the next sync takes this back. Remove it when it is done.\n"
    ));
    Ok(())
}

/// The hash that may be approved.
fn approvable<'a>(status: &'a QoeCollectorStatus, wanted: &str) -> anyhow::Result<&'a str> {
    let hash = status.schema.as_ref().and_then(|schema| schema.plan_hash.as_deref());
    let hash = hash.context("nothing was approved: no step waits for an approval")?;
    ensure!(
        wanted.is_empty() || wanted == hash,
        "nothing was approved: the hash of what waits is {hash} now, not {wanted}"
    );
    Ok(hash)
}

fn text(name: &str, status: &QoeCollectorStatus, approvals: &[String]) -> String {
    let Some(schema) = &status.schema else {
        return format!("{name}: the tables have not been looked at yet, kubectl qoe status may say why\n");
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    if schema.pending.is_empty() && schema.pending_count == 0 {
        let _ = writeln!(text, "{name}: nothing waits, the tables are as they should be");
    } else {
        let _ = writeln!(text, "{name}: {} not carried out yet", steps(schema.pending_count));
        pending(&mut text, schema);
    }
    if let Some(error) = &schema.last_error {
        let _ = writeln!(text, "\nlast error: {error}");
    }
    match &schema.plan_hash {
        Some(hash) if approvals.contains(hash) => {
            let _ = writeln!(text, "\n{hash} is approved: the operator carries it out");
        }
        Some(hash) => {
            let _ = writeln!(
                text,
                "\nThe steps that are destructive wait for your word. Their hash: {hash}\nTo have them carried out: kubectl qoe plan --approve={hash}\nor write the hash into spec.approvals of the YAML. To keep the rows, take the change back."
            );
        }
        None => {}
    }
    text
}

fn pending(text: &mut String, schema: &SchemaState) {
    for step in &schema.pending {
        let _ = writeln!(text, "\n{}: {} ({})", step.object, step.action, step.risk);
        for line in step.statement.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    let listed = u32::try_from(schema.pending.len()).unwrap_or(u32::MAX);
    let more = schema.pending_count.saturating_sub(listed);
    if more > 0 {
        let _ = writeln!(text, "\nand {} more", steps(more));
    }
}

fn steps(count: u32) -> String {
    format!("{count} {}", if count == 1 { "step" } else { "steps" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> QoeCollectorStatus {
        serde_json::from_value(serde_json::json!({"schema": {
            "planHash": "sha256:1c78",
            "pendingCount": 2,
            "pending": [{
                "action": "rows are deleted after 1h, until now after 1d",
                "object": "fullflow",
                "risk": "destructive",
                "statement": "ALTER TABLE qoestor.fullflow\nMODIFY TTL x",
            }],
        }}))
        .unwrap()
    }

    #[test]
    fn a_plan_has_each_statement_and_how_to_approve_it() {
        let expected = "isp/main: 2 steps not carried out yet\n\
            \n\
            fullflow: rows are deleted after 1h, until now after 1d (destructive)\n    \
            ALTER TABLE qoestor.fullflow\n    \
            MODIFY TTL x\n\
            \n\
            and 1 step more\n\
            \n\
            The steps that are destructive wait for your word. Their hash: sha256:1c78\n\
            To have them carried out: kubectl qoe plan --approve=sha256:1c78\n\
            or write the hash into spec.approvals of the YAML. To keep the rows, take the change back.\n";
        assert_eq!(text("isp/main", &waiting(), &[]), expected);
        let approved = text("isp/main", &waiting(), &["sha256:1c78".to_owned()]);
        assert!(approved.ends_with("sha256:1c78 is approved: the operator carries it out\n"), "{approved}");
    }

    #[test]
    fn nothing_to_do_is_said() {
        let mut status = QoeCollectorStatus::default();
        assert!(text("isp/main", &status, &[]).contains("not been looked at"));
        status.schema = Some(SchemaState::default());
        assert_eq!(
            text("isp/main", &status, &[]),
            "isp/main: nothing waits, the tables are as they should be\n"
        );
        assert!(approvable(&status, "").is_err());
    }

    #[test]
    fn only_the_hash_that_waits_is_approved() {
        let status = waiting();
        assert_eq!(approvable(&status, "").unwrap(), "sha256:1c78");
        assert_eq!(approvable(&status, "sha256:1c78").unwrap(), "sha256:1c78");
        let other = approvable(&status, "sha256:ffff").unwrap_err().to_string();
        assert!(other.contains("is sha256:1c78 now, not sha256:ffff"), "{other}");
    }
}
