//! The library with a configuration that somebody else wrote, which also says where it listens. For the
//! tests' image of a server only: nothing here makes users, passwords or a configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::child::{Child, ChildError};
use crate::connection::Connection;
use crate::engine::{Engine, check_cpu};
use crate::error::ServerError;
use crate::prepare::{Prepared, declare_system_database, make_dir};
use crate::run::{LibraryRun, Never, begin, end, run_library};
use crate::settings::{DATABASE, Settings, USER};

/// A server whose configuration is there already. It must hold a user `default` whom the library can log
/// in as: without a password, from loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// `libchdb.so`.
    pub library: PathBuf,
    /// The configuration; files in the directories `config.d` and, for the users' file, `users.d` beside
    /// it are merged into it.
    pub config: PathBuf,
    /// ClickHouse's own path.
    pub data: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    /// The port of HTTP that the configuration names.
    pub http_port: u16,
    /// The port of the native protocol that the configuration names.
    pub tcp_port: u16,
}

impl Given {
    /// Runs the server in this process, as [`run_here`](crate::run_here) does.
    pub fn run_here(&self) -> ExitCode {
        ExitCode::from(end(self.serve()))
    }

    /// Starts `program arguments...`, which must call [`Given::run_here`]. The child cannot be asked with
    /// [`Child::wait_ready`]: nobody told us a password.
    ///
    /// # Errors
    /// [`ChildError::Spawn`].
    pub fn spawn(&self, program: &Path, arguments: &[OsString]) -> Result<Child, ChildError> {
        let settings =
            Settings { http_port: self.http_port, tcp_port: self.tcp_port, ..Settings::new(&self.data) };
        let connection = Connection {
            url: format!("http://127.0.0.1:{}", self.http_port),
            http_port: self.http_port,
            tcp_port: self.tcp_port,
            user: USER.to_owned(),
            password_file: PathBuf::new(),
            database: DATABASE.to_owned(),
        };
        let prepared = Prepared {
            settings,
            settings_file: PathBuf::new(),
            engine: Engine::Library(self.library.clone()),
            connection,
            user_files: self.user_files(),
            backups: self.data.join("backups"),
            log: self.log.clone(),
        };
        Child::spawn(program, arguments, &prepared)
    }

    fn user_files(&self) -> PathBuf {
        self.data.join("user_files")
    }

    fn serve(&self) -> Result<Never, ServerError> {
        begin()?;
        check_cpu(&Engine::Library(self.library.clone()))?;
        let (user_files, tmp) = (self.user_files(), self.data.join("tmp"));
        make_dir(&user_files)?;
        make_dir(&tmp)?;
        declare_system_database(&self.data)?;
        let run = LibraryRun {
            library: &self.library,
            config: &self.config,
            data: &self.data,
            tmp: &tmp,
            user_files: &user_files,
            log: &self.log,
            listen: Vec::new(),
        };
        run_library(&run, |_| None)
    }
}
