//! `qoe dictionaries ls`: which version of each dictionary is in force, and what is wrong with its objects.

use clap::Args;

use super::status;
use crate::data_dir::DataDir;

/// Options of `qoe dictionaries ls`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    data: DataDir,
}

/// Prints a line for each dictionary, and below it what is to be done.
#[allow(clippy::print_stdout, reason = "this is the program's output")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    let objects = status::read(&options.data.path)?;
    let connection = options.data.connection()?;
    let client = schema::connect(&connection.url, &connection.user, &connection.password()?, None)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let versions = runtime.block_on(schema::current_versions(&client, &connection.database))?;
    println!("{:<20} {:>7} {:>10} {:>8}  objects", "dictionary", "version", "rows", "bad rows");
    for (name, version) in versions.unwrap_or_default() {
        println!(
            "{:<20} {:>7} {:>10} {:>8}  {}",
            format!("{name}_dic"),
            version.version,
            version.rows,
            version.bad_rows,
            version.sources.join(", ")
        );
    }
    for object in objects {
        if !object.problem.is_empty() {
            println!("QoeDictionary/{}: {}", object.object, object.problem);
        }
        for bad in &object.first_bad {
            println!("QoeDictionary/{}: line {bad}", object.object);
        }
    }
    Ok(())
}
