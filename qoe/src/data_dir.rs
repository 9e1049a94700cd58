//! The data directory of one machine: which file is where, and the lock on it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use embedded::Connection;
use nix::fcntl::{Flock, FlockArg};

/// `--data`, for each command that needs it.
#[derive(clap::Args, Clone, Debug)]
pub struct DataDir {
    /// Directory of journals, database and settings
    #[arg(long = "data", value_name = "DIR", default_value = "qoe-data")]
    pub path: PathBuf,
}

impl DataDir {
    /// Makes the directory and takes its lock: only one `qoe up` may work in it.
    pub fn lock(&self) -> anyhow::Result<Flock<File>> {
        let path = self.path.display();
        fs::create_dir_all(&self.path).with_context(|| format!("cannot make the directory {path}"))?;
        let file = File::create(self.path.join("lock")).with_context(|| format!("cannot write to {path}"))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
            anyhow!("another qoe up works in {path}: stop it, or name another directory with --data")
        })
    }

    /// How to reach its database.
    pub fn connection(&self) -> anyhow::Result<Connection> {
        let path = self.path.join("clickhouse").join("connection.json");
        let text = fs::read_to_string(&path).with_context(|| {
            format!("{} has no database (no {}): start it with qoe up", self.path.display(), path.display())
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Where its receiver answers.
    pub fn receiver_addresses(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let path = receiver_addresses_file(&self.path);
        let text = fs::read_to_string(&path).with_context(|| {
            format!("no receiver has run in {}: start it with qoe up", self.path.display())
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// The status document of its receiver.
    pub fn receiver_status(&self) -> anyhow::Result<crds::receiver::Status> {
        let addresses = self.receiver_addresses()?;
        let http = addresses.get("http").context("the receiver's address is not known")?;
        let url = format!("http://{http}/status");
        let mut answer = ureq::get(&url).call().with_context(|| {
            format!("the receiver of {} does not answer on {http}: is qoe up running?", self.path.display())
        })?;
        let text = answer.body_mut().read_to_string()?;
        serde_json::from_str(&text).context("the receiver's status cannot be read: is it another version?")
    }
}

/// The file in which a receiver says where it listens.
pub fn receiver_addresses_file(data_dir: &Path) -> PathBuf {
    data_dir.join("receiver.json")
}
