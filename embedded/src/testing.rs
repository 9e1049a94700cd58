//! Help for tests that need a server: a real one, in a temporary directory, on free ports.
//!
//! A test file that has no `qoe` binary at hand lets the test program itself become the server:
//!
//! ```ignore
//! #[test]
//! fn clickhouse_server() {
//!     embedded::testing::serve_if_asked();
//! }
//!
//! #[test]
//! fn answers() {
//!     let server = TestServer::start(&Launch::this_test("clickhouse_server")).unwrap();
//!     assert_eq!(server.query("SELECT 1").unwrap(), "1\n");
//! }
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use crate::child::{Child, ChildError, Stopped};
use crate::connection::{Connection, QueryError};
use crate::prepare::{Prepared, prepare};
use crate::run::run;
use crate::settings::Settings;

/// Environment variable with the settings file's path, set for every server process.
pub(crate) const SETTINGS_VARIABLE: &str = "QOE_SERVER_SETTINGS";

/// How long a server may take to answer, and how often a start is tried again when another test took
/// the chosen port in between.
const READY_TIMEOUT: Duration = Duration::from_secs(300);
const PORT_ATTEMPTS: u32 = 5;

/// Which program becomes the server.
#[derive(Debug, Clone)]
pub enum Launch {
    /// `PATH clickhouse-server --settings FILE`, the `qoe` binary.
    Qoe(PathBuf),
    /// The running test program; the name is that of a test that calls [`serve_if_asked`].
    ThisTest(&'static str),
}

impl Launch {
    /// The `qoe` binary.
    pub fn qoe(path: impl Into<PathBuf>) -> Self {
        Self::Qoe(path.into())
    }

    /// The running test program, by way of the test with this full name.
    pub fn this_test(name: &'static str) -> Self {
        Self::ThisTest(name)
    }

    /// Starts the prepared server; it is not ready yet.
    ///
    /// # Errors
    /// [`ChildError::Spawn`].
    pub fn spawn(&self, prepared: &Prepared) -> Result<Child, ChildError> {
        match self {
            Self::Qoe(path) => {
                let settings = prepared.settings_file.clone().into_os_string();
                Child::spawn(path, &["clickhouse-server".into(), "--settings".into(), settings], prepared)
            }
            Self::ThisTest(name) => {
                let program = std::env::current_exe().map_err(|source| ChildError::Spawn {
                    program: PathBuf::from("/proc/self/exe"),
                    source,
                })?;
                let arguments = [name, "--exact", "--nocapture", "--test-threads=1"].map(OsString::from);
                Child::spawn(&program, &arguments, prepared)
            }
        }
    }
}

/// Becomes the server if [`Launch::this_test`] started this process; else does nothing.
pub fn serve_if_asked() {
    let Some(file) = std::env::var_os(SETTINGS_VARIABLE) else { return };
    let code = match Settings::read(Path::new(&file)) {
        Ok(settings) => run(&settings),
        Err(error) => error.exit_code(),
    };
    std::process::exit(i32::from(code));
}

/// A directory that is removed at the end.
#[derive(Debug)]
pub struct TestDir(PathBuf);

impl TestDir {
    /// Makes a new one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("qoe-clickhouse-{}", Uuid::new_v4()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Why there is no server. Its `Debug` is the text as well, because that is what `unwrap` shows.
#[derive(thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A running server whose data disappears with it.
#[derive(Debug)]
pub struct TestServer {
    // Dropped in this order: the process ends before its directory goes.
    child: Child,
    launch: Launch,
    /// How it was prepared.
    pub prepared: Prepared,
    /// The version it reported.
    pub version: String,
    _dir: TestDir,
}

impl TestServer {
    /// Starts a server in a new temporary directory and waits until it answers.
    ///
    /// # Errors
    /// What kept it from starting, with the text a user would see.
    pub fn start(launch: &Launch) -> Result<Self, Failure> {
        Self::start_with(launch, |_| {})
    }

    /// Like [`TestServer::start`], with settings changed by `adjust`; the directory is to stay.
    ///
    /// # Errors
    /// As [`TestServer::start`].
    pub fn start_with(launch: &Launch, adjust: impl FnOnce(&mut Settings)) -> Result<Self, Failure> {
        let dir = TestDir::new().map_err(Failure::of)?;
        let mut settings = Settings::new(dir.path());
        adjust(&mut settings);
        let mut attempt = 1;
        loop {
            let prepared = prepare(&settings).map_err(Failure::of)?;
            let mut child = launch.spawn(&prepared).map_err(Failure::of)?;
            match child.wait_ready(READY_TIMEOUT) {
                Ok(version) => {
                    return Ok(Self { child, launch: launch.clone(), prepared, version, _dir: dir });
                }
                Err(error) if error.is_port_taken() && attempt < PORT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(Failure::of(error)),
            }
        }
    }

    /// How to reach it.
    pub fn connection(&self) -> &Connection {
        &self.prepared.connection
    }

    /// Runs one statement as the user `qoe`.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub fn query(&self, sql: &str) -> Result<String, QueryError> {
        self.connection().query(sql)
    }

    /// The server process's id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Kills the server as a crash would (SIGKILL); [`TestServer::restart`] starts it again.
    ///
    /// # Errors
    /// As [`Child::kill`].
    pub fn kill(&mut self) -> Result<(), ChildError> {
        self.child.kill()
    }

    /// Stops the server in order; [`TestServer::restart`] starts it again.
    ///
    /// # Errors
    /// As [`Child::stop`].
    pub fn stop(&mut self, timeout: Duration) -> Result<Stopped, ChildError> {
        self.child.stop(timeout)
    }

    /// Starts the killed or stopped server again, on the same data and ports.
    ///
    /// # Errors
    /// As [`Child::wait_ready`].
    pub fn restart(&mut self) -> Result<(), ChildError> {
        self.child.kill()?;
        self.child = self.launch.spawn(&self.prepared)?;
        self.version = self.child.wait_ready(READY_TIMEOUT)?;
        Ok(())
    }
}
