//! `qoe receiver`: one receiver process. `qoe up` starts it as a child; in a pod it is the whole
//! container.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getppid;

use crate::{file_limit, logging};

/// Options of `qoe receiver`.
#[derive(Args)]
pub struct Options {
    /// The receiver's configuration, JSON
    #[arg(long)]
    config: PathBuf,
    /// Process id of the parent: stop when it ends
    #[arg(long, hide = true)]
    parent: Option<i32>,
}

/// Receives until SIGTERM.
pub fn run(options: &Options) -> anyhow::Result<()> {
    logging::start("info");
    file_limit::raise();
    // `qoe up` blocks signals for its own threads, and a child inherits that: SIGTERM, also that of
    // the parent's death, would never arrive.
    SigSet::all().thread_unblock().context("cannot unblock signals")?;
    if let Some(parent) = options.parent {
        // A planned stop, like SIGTERM from anybody else.
        prctl::set_pdeathsig(Signal::SIGTERM).context("cannot ask for the parent's death")?;
        anyhow::ensure!(getppid().as_raw() == parent, "the parent has ended");
    }
    receiver::run(&options.config)?;
    Ok(())
}
