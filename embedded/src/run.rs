//! The server process: becomes the engine and stays until a signal. No thread but the one that waits
//! for the signals may ever take them.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, getppid, pipe2};

use crate::engine::Engine;
use crate::error::{ServerError, system};
use crate::library::{self, exit_now};
use crate::log;
use crate::prepare::{absolute, check_port, lock, prepare_locked};
use crate::settings::{Layout, Settings};
use crate::watcher::{Inputs, Watcher, stop_signals};

/// Environment variable by which [`Child`](crate::Child) tells the server who its parent is.
pub(crate) const PARENT_VARIABLE: &str = "QOE_SERVER_PARENT";

/// The engine's first statements.
const START: &[u8] = b"SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP;";

/// Runs the server in this process until SIGTERM, SIGINT or SIGHUP; a second signal ends it at once.
/// Call it from `main`, before any thread is started. An error is one text on standard error; all else
/// goes to the server's log. If a [`Child`](crate::Child) started this process, it dies with its parent.
///
/// With the library this function does not return once the engine ran: the process exits with the same
/// code.
pub fn run_here(settings: &Settings) -> ExitCode {
    ExitCode::from(run(settings))
}

/// [`run_here`], with the bare exit code.
pub(crate) fn run(settings: &Settings) -> u8 {
    end(serve(settings))
}

/// The exit code of a server that could not become the engine, and why on standard error.
pub(crate) fn end(result: Result<Never, ServerError>) -> u8 {
    match result {
        Ok(never) => match never {},
        Err(error) => {
            // The terminal (or the parent's pipe) is still ours here. If it is gone, nobody reads.
            let _ = writeln!(std::io::stderr(), "{error}");
            error.exit_code()
        }
    }
}

/// A type without values: the function never returns one.
pub(crate) enum Never {}

fn serve(settings: &Settings) -> Result<Never, ServerError> {
    begin()?;
    let settings = absolute(settings)?;
    let layout = Layout::of(&settings);
    let lock = lock(&layout)?;
    let prepared = prepare_locked(&settings, &layout)?;
    check_port(prepared.settings.http_port)?;
    check_port(prepared.settings.tcp_port)?;
    match &prepared.engine {
        Engine::Binary(path) => become_binary(path, &layout, &lock),
        Engine::Library(path) => {
            let (http_port, tcp_port) = (prepared.settings.http_port, prepared.settings.tcp_port);
            let library = LibraryRun {
                library: path,
                config: &layout.config,
                data: &layout.data,
                tmp: &layout.tmp,
                user_files: &layout.user_files,
                log: &layout.log,
                listen: vec![
                    "--listen_host=127.0.0.1".to_owned(),
                    format!("--http_port={http_port}"),
                    format!("--tcp_port={tcp_port}"),
                ],
            };
            run_library(&library, |log_start| lost_port(&layout.log, &prepared.settings, log_start))
        }
    }
}

/// What a server's process does first: binds its life to its parent's, or makes sure that the signals
/// will come to it.
pub(crate) fn begin() -> Result<(), ServerError> {
    if !die_with_parent()? {
        // A parent blocks the signals for all threads; here nobody did, and another thread could take one.
        let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads > 1 {
            return Err(ServerError::Threads { threads });
        }
    }
    Ok(())
}

/// Asks the kernel for SIGKILL when the parent ends. Nothing orderly is needed then: acknowledged
/// inserts are on disk, and the next start must not find a server that is still stopping. False if no
/// [`Child`](crate::Child) started this process.
fn die_with_parent() -> Result<bool, ServerError> {
    let Some(parent) = std::env::var_os(PARENT_VARIABLE) else {
        return Ok(false);
    };
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(system("ask for the parent's death"))?;
    // It may have ended before we asked.
    if parent.to_str() != Some(getppid().to_string().as_str()) {
        return Err(ServerError::Orphan);
    }
    Ok(true)
}

fn become_binary(path: &Path, layout: &Layout, lock: &File) -> Result<Never, ServerError> {
    // The lock must outlive this program image.
    fcntl(lock, FcntlArg::F_SETFD(FdFlag::empty())).map_err(system("keep the lock"))?;
    let unwritable = |source| ServerError::NotWritable { path: layout.log.clone(), source };
    let log = log::open(&layout.log).map_err(unwritable)?;
    // It waits for the signals itself.
    stop_signals().thread_unblock().map_err(system("unblock signals"))?;
    let mut command = Command::new(path);
    if path.file_name().is_some_and(|name| name != "clickhouse-server") {
        command.arg("server");
    }
    command.arg("--config-file").arg(&layout.config).current_dir(&layout.root);
    command.stdin(std::process::Stdio::null()).stdout(log.try_clone().map_err(unwritable)?).stderr(log);
    Err(ServerError::Execute { path: path.to_owned(), source: command.exec() })
}

/// How the library is to run.
pub(crate) struct LibraryRun<'a> {
    /// `libchdb.so`.
    pub library: &'a Path,
    /// The server configuration.
    pub config: &'a Path,
    /// ClickHouse's own path.
    pub data: &'a Path,
    /// For what need not survive.
    pub tmp: &'a Path,
    /// Where dictionaries from files may read.
    pub user_files: &'a Path,
    /// What it writes to standard output and error.
    pub log: &'a Path,
    /// Options that say where to listen; without any the configuration says it.
    pub listen: Vec<String>,
}

/// Becomes the library. `taken` finds in the log, from a length on, a port that was not free.
pub(crate) fn run_library(
    run: &LibraryRun,
    taken: impl FnOnce(u64) -> Option<u16>,
) -> Result<Never, ServerError> {
    // Blocked before the library starts its threads, which inherit this.
    stop_signals().thread_block().map_err(system("block signals"))?;
    // The engine reads statements from two pipes: the first starts the listeners, the second stays open
    // until a signal; its end is the engine's orderly stop.
    let (start, start_writer) = pipe2(OFlag::O_CLOEXEC).map_err(system("make a pipe"))?;
    let (control, control_writer) = pipe2(OFlag::O_CLOEXEC).map_err(system("make a pipe"))?;
    let mut start_writer = File::from(start_writer);
    start_writer.write_all(START).map_err(system("write to a pipe"))?;
    drop(start_writer);
    let entry = library::load(run.library)?;
    let arguments = library_arguments(run, start.as_raw_fd(), control.as_raw_fd())?;

    let log_start = log::length(run.log);
    let mut stderr = File::from(
        std::io::stderr().as_fd().try_clone_to_owned().map_err(system("keep the standard error"))?,
    );
    let terminal = redirect(run.log)?;
    // Where the library lets dictionaries read files: below its directory, not below user_files_path.
    std::env::set_current_dir(run.user_files).map_err(system("enter the directory user_files"))?;
    let inputs = Inputs { statements: File::from(control_writer), terminal };
    let stopping = Watcher::start(run.log.to_owned(), inputs)?;

    entry.run(arguments);

    if stopping.load(Ordering::SeqCst) {
        exit_now(0);
    }
    let error = explain(run, log_start, taken(log_start));
    let _ = writeln!(stderr, "{error}");
    exit_now(error.exit_code())
}

fn library_arguments(run: &LibraryRun, start: RawFd, control: RawFd) -> Result<Vec<CString>, ServerError> {
    let path = |option: &str, path: &Path| [option.as_bytes(), path.as_os_str().as_bytes()].concat();
    let mut arguments =
        vec![b"clickhouse".to_vec(), path("--config-file=", run.config), path("--path=", run.data)];
    arguments.extend(run.listen.iter().map(|option| option.clone().into_bytes()));
    arguments.extend([
        // See `redirect`.
        b"--interactive".to_vec(),
        b"--disable_suggestion".to_vec(),
        path("--history_file=", &run.tmp.join("history")),
        format!("--queries-file=/proc/self/fd/{start}").into_bytes(),
        format!("--queries-file=/proc/self/fd/{control}").into_bytes(),
    ]);
    arguments
        .into_iter()
        .map(|argument| {
            CString::new(argument).map_err(|_| ServerError::OddPath { path: run.data.to_owned() })
        })
        .collect()
}

/// Points the standard streams to where the engine shall read and write: output to the log, input from a
/// terminal, whose other end is returned.
///
/// Without a terminal the engine takes itself for a script and ends the whole process (SIGABRT) at the
/// first connection that breaks off or logs in wrongly. With one, and `--interactive`, such a connection
/// is closed and nothing else happens.
fn redirect(log: &Path) -> Result<OwnedFd, ServerError> {
    let log = log::open(log).map_err(|source| ServerError::NotWritable { path: log.to_owned(), source })?;
    let pair = openpty(None, None).map_err(system("make a terminal"))?;
    // Nothing that the engine starts may hold the terminal open.
    fcntl(&pair.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(system("make a terminal"))?;
    dup2_stdin(&pair.slave).map_err(system("redirect the standard input"))?;
    dup2_stdout(&log).map_err(system("redirect the standard output"))?;
    dup2_stderr(&log).map_err(system("redirect the standard error"))?;
    Ok(pair.master)
}

/// What stopped the engine, as far as its log tells.
fn explain(run: &LibraryRun, log_start: u64, taken: Option<u16>) -> ServerError {
    let tail = log::tail(run.log, log_start);
    if tail.contains("Cannot lock file") {
        return ServerError::Locked { path: run.data.to_owned() };
    }
    if let Some(port) = taken {
        return ServerError::PortTaken { port };
    }
    ServerError::EngineStopped { log: run.log.to_owned(), tail }
}

/// The port that somebody else took between our look at it and the engine's attempt to listen.
pub(crate) fn lost_port(log: &Path, settings: &Settings, log_start: u64) -> Option<u16> {
    [settings.http_port, settings.tcp_port].into_iter().find(|port| {
        let address = format!("Address already in use: 127.0.0.1:{port}");
        log::says(log, log_start, &address)
    })
}
