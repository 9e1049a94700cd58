//! What the embedded server is told, and where it keeps things. Reads and writes nothing but the
//! settings file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::ServerError;

/// The database Qoeplane's tables live in. This crate does not create it.
pub const DATABASE: &str = "qoestor";

/// The user with the generated password, who may do everything.
pub const USER: &str = "qoe";

/// How one embedded server is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Everything is kept in the directory `clickhouse` below it.
    pub data_dir: PathBuf,
    /// Directory of the storage volume `cold`; by default one beside the hot data.
    #[serde(default)]
    pub cold_dir: Option<PathBuf>,
    /// HTTP port on 127.0.0.1; 0 chooses a free one (the previous one, if it is still free).
    #[serde(default)]
    pub http_port: u16,
    /// Port of ClickHouse's native protocol on 127.0.0.1; 0 chooses like `http_port`.
    #[serde(default)]
    pub tcp_port: u16,
    /// Most memory the server may use, in bytes; by default half of what the machine has.
    #[serde(default)]
    pub max_memory: Option<u64>,
    /// A `clickhouse` binary or a `libchdb.so`; by default see [`locate`](crate::locate).
    #[serde(default)]
    pub engine: Option<PathBuf>,
}

impl Settings {
    /// Settings with every default, for the given data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            cold_dir: None,
            http_port: 0,
            tcp_port: 0,
            max_memory: None,
            engine: None,
        }
    }

    /// Reads a settings file as [`prepare`](crate::prepare) writes it (JSON).
    ///
    /// # Errors
    /// [`ServerError::SettingsFile`] if it cannot be read or does not hold settings.
    pub fn read(path: &Path) -> Result<Self, ServerError> {
        let wrong = |reason: String| ServerError::SettingsFile { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
    }
}

/// The files and directories of one server.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// `DATA/clickhouse`, the root of all others.
    pub root: PathBuf,
    /// ClickHouse's own path: the hot volume and all metadata.
    pub data: PathBuf,
    /// The cold volume.
    pub cold: PathBuf,
    /// Scratch space of large queries.
    pub tmp: PathBuf,
    /// Where `file()` and dictionaries from files may read.
    pub user_files: PathBuf,
    /// The only place that `BACKUP ... TO File(...)` may write to.
    pub backups: PathBuf,
    /// Directory of the server's log.
    pub log_dir: PathBuf,
    /// The server's log.
    pub log: PathBuf,
    /// Server configuration.
    pub config: PathBuf,
    /// Users, profiles, quotas.
    pub users: PathBuf,
    /// The password of [`USER`].
    pub password: PathBuf,
    /// A [`Connection`](crate::Connection) as JSON.
    pub connection: PathBuf,
    /// The resolved [`Settings`] as JSON.
    pub settings: PathBuf,
    /// Held (flock) by the running server.
    pub lock: PathBuf,
}

impl Layout {
    /// Says where things are; touches nothing. The paths are absolute if `settings` has absolute ones.
    pub fn of(settings: &Settings) -> Self {
        let root = settings.data_dir.join("clickhouse");
        let log_dir = root.join("log");
        Self {
            data: root.join("data"),
            cold: settings.cold_dir.clone().unwrap_or_else(|| root.join("cold")),
            tmp: root.join("tmp"),
            user_files: root.join("user_files"),
            backups: root.join("backups"),
            log: log_dir.join("server.log"),
            log_dir,
            config: root.join("config.xml"),
            users: root.join("users.xml"),
            password: root.join("password"),
            connection: root.join("connection.json"),
            settings: root.join("settings.json"),
            lock: root.join("lock"),
            root,
        }
    }
}
