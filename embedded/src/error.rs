//! Everything that can keep the server from running, in words the user can act on.

use std::path::PathBuf;

/// Exit code of [`run_here`](crate::run_here): something must be put right before another attempt.
pub const EXIT_SETUP: u8 = 78;

/// Exit code of [`run_here`](crate::run_here): a port is taken; another attempt may choose another one.
pub const EXIT_PORT_TAKEN: u8 = 75;

/// Exit code of [`run_here`](crate::run_here): the engine ended by itself; starting it again may help.
pub const EXIT_FAILED: u8 = 70;

/// No engine was found.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// Nothing was named, and the cache is empty.
    #[error(
        "no ClickHouse found: run `make clickhouse` (or `scripts/fetch-clickhouse`), which puts it at {}, \
         or set QOE_CLICKHOUSE to a clickhouse binary or a libchdb.so", .cached.display()
    )]
    NotFetched {
        /// Where the cache would have it.
        cached: PathBuf,
    },
    /// A named engine is not there.
    #[error("{} (from {from}) is not a file; name a clickhouse binary or a libchdb.so", .path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// Who named it.
        from: &'static str,
    },
    /// Nothing was named, and there is no place a cache could be.
    #[error("no ClickHouse found: none of QOE_CLICKHOUSE, QOE_CACHE, XDG_CACHE_HOME, HOME is set")]
    NoCache,
}

/// The server cannot be prepared or started, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No engine.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// The CPU is too old, or virtualised as an old one.
    #[error(
        "this CPU has no AVX2, which the embedded ClickHouse needs; on a virtual machine choose the CPU \
         type `host`, else set QOE_CLICKHOUSE to a clickhouse binary that runs here, or configure an \
         external ClickHouse"
    )]
    NoAvx2,
    /// The dynamic loader refused the library.
    #[error("cannot load {}: {reason}; fetch it again with scripts/fetch-clickhouse", .path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// The library is another one, or too old to run a server.
    #[error(
        "{} has no symbol query_stable_v2: it is not libchdb {version}; \
         fetch that with scripts/fetch-clickhouse", .path.display(), version = crate::LIBRARY_VERSION
    )]
    WrongLibrary {
        /// The library.
        path: PathBuf,
    },
    /// The binary cannot be executed.
    #[error("cannot execute {}: {source}", .path.display())]
    Execute {
        /// The binary.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A directory or file below the data directory cannot be made.
    #[error("cannot write {}: {source}; the data directory must be writable", .path.display())]
    NotWritable {
        /// What was to be written.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A path that cannot be said in ClickHouse's configuration.
    #[error("{} cannot be used: a path must be UTF-8 without control characters", .path.display())]
    OddPath {
        /// The path.
        path: PathBuf,
    },
    /// Another server uses the same directory.
    #[error("{} is locked: another ClickHouse runs there; stop it, or choose another data directory", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// Something else listens there.
    #[error("port {port} on 127.0.0.1 is taken; stop what listens there (ss -ltnp), or choose another port")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// The file is not what [`prepare`](crate::prepare) writes.
    #[error("cannot use the settings file {}: {reason}", .path.display())]
    SettingsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The engine ended although nobody asked it to.
    #[error("clickhouse stopped by itself; the end of {}:\n{tail}", .log.display())]
    EngineStopped {
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// Signals could reach the wrong thread.
    #[error("the server must be started before the process has other threads, but it has {threads}")]
    Threads {
        /// How many there are.
        threads: usize,
    },
    /// The process that asked for the server is gone.
    #[error("the process that started this server has ended")]
    Orphan,
    /// The kernel refused something that does not normally fail.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

impl ServerError {
    /// What [`run_here`](crate::run_here) exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::PortTaken { .. } => EXIT_PORT_TAKEN,
            Self::EngineStopped { .. } | Self::Orphan | Self::System { .. } => EXIT_FAILED,
            Self::Locate(_)
            | Self::NoAvx2
            | Self::Library { .. }
            | Self::WrongLibrary { .. }
            | Self::Execute { .. }
            | Self::NotWritable { .. }
            | Self::OddPath { .. }
            | Self::Locked { .. }
            | Self::SettingsFile { .. }
            | Self::Threads { .. } => EXIT_SETUP,
        }
    }
}

/// For `map_err`: a system call that does not normally fail.
pub(crate) fn system<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> ServerError {
    move |error| ServerError::System { what, source: error.into() }
}
