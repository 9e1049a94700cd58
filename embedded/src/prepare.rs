//! Makes the directory of a server ready: directories, password, configuration, connection file.
//! Starts nothing. Doing it again changes nothing but the configuration files.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config;
use crate::connection::Connection;
use crate::engine::{Engine, check_cpu, locate};
use crate::error::{ServerError, system};
use crate::settings::{DATABASE, Layout, Settings, USER};

/// A server that is ready to be started.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The settings with absolute paths and chosen ports.
    pub settings: Settings,
    /// Where [`Prepared::settings`] are written, for [`Settings::read`] in the child process.
    pub settings_file: PathBuf,
    /// What will run.
    pub engine: Engine,
    /// How to reach it; also in `DATA/clickhouse/connection.json`.
    pub connection: Connection,
    /// Directory that dictionaries from files are read from.
    pub user_files: PathBuf,
    /// Directory of `BACKUP ... TO File(...)`.
    pub backups: PathBuf,
    /// The server's log.
    pub log: PathBuf,
}

/// Finds the engine, makes the directories and writes the files that the server needs.
///
/// # Errors
/// [`ServerError`]: no engine, no AVX2, not writable, or a server is running there.
pub fn prepare(settings: &Settings) -> Result<Prepared, ServerError> {
    let settings = absolute(settings)?;
    let layout = Layout::of(&settings);
    let _lock = lock(&layout)?;
    prepare_locked(&settings, &layout)
}

/// The settings with absolute paths: the server runs in a directory of its own.
pub(crate) fn absolute(settings: &Settings) -> Result<Settings, ServerError> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|source| ServerError::NotWritable { path: path.to_owned(), source })
    };
    let mut settings = settings.clone();
    settings.data_dir = absolute(&settings.data_dir)?;
    settings.cold_dir = settings.cold_dir.as_deref().map(absolute).transpose()?;
    Ok(settings)
}

/// Far longer than a process is a copy of its parent.
const FORKED: Duration = Duration::from_millis(500);

/// Takes the server's lock, which lasts as long as the file is open.
pub(crate) fn lock(layout: &Layout) -> Result<File, ServerError> {
    make_dir(&layout.root)?;
    let file = private_file()
        .truncate(false)
        .open(&layout.lock)
        .map_err(|source| ServerError::NotWritable { path: layout.lock.clone(), source })?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // A process that another thread is just starting holds a copy of every open file, and of a lock that was
            // given back meanwhile, until it has become another program.
            Err(TryLockError::WouldBlock) if begun.elapsed() < FORKED => thread::sleep(FORKED / 50),
            Err(TryLockError::WouldBlock) => return Err(ServerError::Locked { path: layout.root.clone() }),
            Err(TryLockError::Error(source)) => {
                return Err(ServerError::System { what: "lock the data directory", source });
            }
        }
    }
}

/// [`prepare`], for who holds the lock already.
pub(crate) fn prepare_locked(settings: &Settings, layout: &Layout) -> Result<Prepared, ServerError> {
    let engine = locate(settings.engine.as_deref())?;
    check_cpu(&engine)?;
    for dir in [&layout.data, &layout.cold, &layout.tmp, &layout.user_files, &layout.backups, &layout.log_dir]
    {
        make_dir(dir)?;
    }
    let settings = with_ports(settings, layout)?;
    let password = password(&layout.password)?;
    declare_system_database(&layout.data)?;

    let same_disk = device(&layout.data)? == device(&layout.cold)?;
    let server = config::server_xml(&settings, layout, &engine, same_disk)?;
    write_private(&layout.config, server.as_bytes())?;
    write_private(&layout.users, config::users_xml(&sha256_hex(&password), &engine).as_bytes())?;

    let connection = Connection {
        url: format!("http://127.0.0.1:{}", settings.http_port),
        http_port: settings.http_port,
        tcp_port: settings.tcp_port,
        user: USER.to_owned(),
        password_file: layout.password.clone(),
        database: DATABASE.to_owned(),
    };
    write_json(&layout.connection, &connection)?;
    write_json(&layout.settings, &settings)?;
    Ok(Prepared {
        settings,
        settings_file: layout.settings.clone(),
        engine,
        connection,
        user_files: layout.user_files.clone(),
        backups: layout.backups.clone(),
        log: layout.log.clone(),
    })
}

/// Chooses the ports that are left to us; the ones of the last run are preferred, so that a client
/// finds a restarted server again.
fn with_ports(settings: &Settings, layout: &Layout) -> Result<Settings, ServerError> {
    let last: Option<Connection> =
        fs::read(&layout.connection).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let mut settings = settings.clone();
    // Both stay bound until both are chosen, so that they differ.
    let mut held = Vec::new();
    let ports = [
        (&mut settings.http_port, last.as_ref().map(|last| last.http_port)),
        (&mut settings.tcp_port, last.as_ref().map(|last| last.tcp_port)),
    ];
    for (port, last) in ports {
        if *port != 0 {
            continue;
        }
        let listener = match last.map(bind) {
            Some(Ok(listener)) => listener,
            Some(Err(_)) | None => bind_free().map_err(system("choose a port"))?,
        };
        *port = listener.local_addr().map_err(system("choose a port"))?.port();
        held.push(listener);
    }
    Ok(settings)
}

/// Whether the port is free: an error says that it is not.
pub(crate) fn check_port(port: u16) -> Result<(), ServerError> {
    match bind(port) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(ServerError::PortTaken { port }),
        Err(source) => Err(ServerError::System { what: "listen on 127.0.0.1", source }),
    }
}

fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// A free port below those that the kernel gives to outgoing connections: one of them could take the port
/// before the server listens.
fn bind_free() -> std::io::Result<TcpListener> {
    const FIRST: u128 = 20_000;
    const LAST: u128 = 32_767;
    for _ in 0..100 {
        let number = FIRST + Uuid::new_v4().as_u128() % (LAST - FIRST + 1);
        let Ok(port) = u16::try_from(number) else { break };
        if let Ok(listener) = bind(port) {
            return Ok(listener);
        }
    }
    bind(0)
}

/// The password: the one that is there, else a new one of 244 random bits.
fn password(path: &Path) -> Result<String, ServerError> {
    let unwritable = |source| ServerError::NotWritable { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => {
            // It may have been copied about with other rights.
            fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(unwritable)?;
            return Ok(text.trim().to_owned());
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unwritable(error)),
    }
    let password = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    write_private(path, password.as_bytes())?;
    Ok(password)
}

fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Without this file the embedded engine gives the database `system` no place on disk, and system.query_log
/// does not survive a restart.
pub(crate) fn declare_system_database(data: &Path) -> Result<(), ServerError> {
    let directory = data.join("metadata");
    make_dir(&directory)?;
    let path = directory.join("system.sql");
    if path.exists() {
        return Ok(());
    }
    write_private(&path, format!("ATTACH DATABASE _ UUID '{}'\nENGINE = Atomic\n", Uuid::new_v4()).as_bytes())
}

fn device(path: &Path) -> Result<u64, ServerError> {
    Ok(fs::metadata(path).map_err(system("look at the data directory"))?.dev())
}

pub(crate) fn make_dir(path: &Path) -> Result<(), ServerError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| ServerError::NotWritable { path: path.to_owned(), source })
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
}

fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), ServerError> {
    // Serialising fails only for a path that is not UTF-8.
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|_| ServerError::OddPath { path: path.to_owned() })?;
    text.push(b'\n');
    write_private(path, &text)
}

/// Writes a file of mode 600 that is there completely or not at all.
fn write_private(path: &Path, content: &[u8]) -> Result<(), ServerError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let write = || {
        // A file left over from a crash could have other rights.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = private_file().open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|source| ServerError::NotWritable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha256_in_hex() {
        assert_eq!(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_taken_port_is_named() {
        let listener = bind(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = check_port(port).unwrap_err();
        assert!(matches!(error, ServerError::PortTaken { port: named } if named == port));
        assert!(error.to_string().contains(&port.to_string()));
    }
}
