//! `kubectl qoe pause`: sets `spec.paused`.

use clap::Args;
use serde_json::json;

use super::access::Access;
use super::{collector, print};

/// Options of `kubectl qoe pause`.
#[derive(Args)]
pub struct Options {
    /// Go on: what has been edited or deleted meanwhile is made true
    #[arg(long)]
    resume: bool,
}

/// Pauses or resumes, and says what that means.
pub async fn run(access: &Access, options: &Options) -> anyhow::Result<()> {
    let found = collector::find(access).await?;
    let paused = !options.resume;
    let name = found.full_name();
    if found.is_paused() == paused {
        let state = if paused { "paused already" } else { "not paused" };
        print(&format!("{name} is {state}\n"));
        return Ok(());
    }
    found.patch_spec(access, json!({"paused": paused})).await?;
    print(&said(&name, paused));
    Ok(())
}

fn said(name: &str, paused: bool) -> String {
    let what = if paused {
        "is paused: nothing of it is changed or repaired, records are received and stored. kubectl qoe pause --resume ends that"
    } else {
        "goes on: the operator makes true what its object says"
    };
    format!(
        "{name} {what}.\nIf it is applied from Git, set spec.paused to {paused} there as well, or the next sync takes this back.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_git_has_to_say() {
        assert!(said("isp/main", true).contains("spec.paused to true there"));
        assert!(said("isp/main", false).contains("spec.paused to false there"));
    }
}
