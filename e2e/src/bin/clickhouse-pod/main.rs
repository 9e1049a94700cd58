//! The program of the image that stands in for a ClickHouse server in pods. Data in
//! `/var/lib/clickhouse`. It is told what to be by what is mounted: files as for a real server
//! (`with_files`), or a password (`with_password`).

mod with_files;
mod with_password;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

const DATA: &str = "/var/lib/clickhouse";
const ENGINE: &str = "/opt/libchdb.so";
const STOP_WITHIN: Duration = Duration::from_secs(25);

fn main() -> ExitCode {
    // Must be the first thing that the engine's process does: no thread may exist before.
    match std::env::args().collect::<Vec<_>>().as_slice() {
        [_, option, settings] if option == "--engine" => return with_password::engine(Path::new(settings)),
        [_, option] if option == with_files::OPTION => return with_files::engine(),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.context("cannot start").and_then(|runtime| {
        runtime.block_on(async {
            if with_files::wanted() { with_files::serve().await } else { with_password::serve().await }
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
