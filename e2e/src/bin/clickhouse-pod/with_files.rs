//! The server as a user's cluster has it: configured by the files in `config.d` and `users.d`, on the
//! addresses and ports that they name. The library merges them as the real server does, but takes over
//! changes by a restart only, so it is stopped and started when they have changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use embedded::{Child, Connection, Given};
use tokio::signal::unix::{SignalKind, signal};

use crate::{DATA, ENGINE, STOP_WITHIN};

/// By this argument the program becomes the engine.
pub const OPTION: &str = "--engine-with-files";

const CONFIG: &str = "/etc/clickhouse-server/config.d";
const USERS: &str = "/etc/clickhouse-server/users.d";
/// The files that a real server's package brings, and links to those that are mounted.
const WORK: &str = "/tmp/clickhouse-server";
const LOG: &str = "/var/log/clickhouse-server/clickhouse-server.log";
const PORTS: (u16, u16) = (8123, 9000);
const LOOK: Duration = Duration::from_secs(1);
/// Looks at which changed files must be the same before they are taken over: two volumes change one after
/// the other.
const SETTLED: u32 = 3;

/// What the files of the package say and tests rely on.
const PACKAGE_CONFIG: &str = "<clickhouse>
    <log-level>warning</log-level>
    <path>/var/lib/clickhouse/</path>
    <tmp_path>/var/lib/clickhouse/tmp/</tmp_path>
    <user_files_path>/var/lib/clickhouse/user_files/</user_files_path>
    <http_port>8123</http_port>
    <tcp_port>9000</tcp_port>
    <users_config>/tmp/clickhouse-server/users.xml</users_config>
    <default_profile>default</default_profile>
    <query_log>
        <database>system</database>
        <table>query_log</table>
        <partition_by>toYYYYMM(event_date)</partition_by>
        <flush_interval_milliseconds>7500</flush_interval_milliseconds>
    </query_log>
</clickhouse>
";
const PACKAGE_USERS: &str = "<clickhouse>
    <profiles><default/><readonly><readonly>1</readonly></readonly></profiles>
    <quotas><default/></quotas>
    <users><default><password></password><networks><ip>::/0</ip></networks></default></users>
</clickhouse>
";

/// A server looks up again where its peers are; the library does it only when it is told to forget.
const FORGET_ADDRESSES: &str = "SYSTEM DROP DNS CACHE";
const FORGET_EVERY: Duration = Duration::from_secs(5);
/// Who tells it.
const NEIGHBOUR: &str = "stand_in";

/// The library logs in to itself as `default`, once; nobody else can. Read last, whatever the mounted
/// files make of these users.
const ENGINE_USERS: (&str, &str) = (
    "zzzz-engine.xml",
    r#"<clickhouse>
    <profiles><engine replace="replace"><max_sessions_for_user>1</max_sessions_for_user></engine></profiles>
    <users>
        <default replace="replace">
            <password></password>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>engine</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SYSTEM LISTEN ON *.*</query>
                <query>GRANT SYSTEM FLUSH LOGS ON *.*</query>
            </grants>
        </default>
        <stand_in replace="replace">
            <password></password>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants><query>GRANT SYSTEM DROP DNS CACHE ON *.*</query></grants>
        </stand_in>
    </users>
</clickhouse>
"#,
);

/// Whether such files are mounted.
pub fn wanted() -> bool {
    Path::new(CONFIG).is_dir()
}

fn given() -> Given {
    Given {
        library: ENGINE.into(),
        config: Path::new(WORK).join("config.xml"),
        data: DATA.into(),
        log: LOG.into(),
        http_port: PORTS.0,
        tcp_port: PORTS.1,
    }
}

/// Becomes the engine.
pub fn engine() -> ExitCode {
    given().run_here()
}

/// Serves until SIGTERM.
pub async fn serve() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut running = mounted()?;
    let mut child = start(&running)?;
    std::thread::spawn(forget_addresses);
    let mut shown = fs::metadata(LOG).map_or(0, |metadata| metadata.len());
    let mut seen = running.clone();
    let mut same = 0;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = look.tick() => {}
        }
        // What cannot be shown now is shown later, or in the error when the engine ends.
        let _ = show_log(&mut shown);
        if let Some(ended) = child.ended()? {
            bail!("ClickHouse has ended: {ended}");
        }
        // Kubelet may be just putting other files in their place.
        let Ok(now) = mounted() else { continue };
        same = if now == seen { same + 1 } else { 0 };
        seen = now;
        if seen == running || same < SETTLED {
            continue;
        }
        eprintln!("the configuration has changed: ClickHouse is started again");
        child.stop(STOP_WITHIN)?;
        running.clone_from(&seen);
        child = start(&running)?;
    }
    child.stop(STOP_WITHIN)?;
    Ok(())
}

/// Copies what the engine has written since the last time to the pod's log.
fn show_log(shown: &mut u64) -> std::io::Result<()> {
    let mut log = File::open(LOG)?;
    // It may have been cut short.
    *shown = log.metadata()?.len().min(*shown);
    log.seek(SeekFrom::Start(*shown))?;
    *shown += std::io::copy(&mut log, &mut std::io::stderr())?;
    Ok(())
}

fn forget_addresses() {
    let connection = Connection {
        url: format!("http://127.0.0.1:{}", PORTS.0),
        http_port: PORTS.0,
        tcp_port: PORTS.1,
        user: NEIGHBOUR.to_owned(),
        password_file: PathBuf::new(),
        database: "default".to_owned(),
    };
    loop {
        std::thread::sleep(FORGET_EVERY);
        // While the engine is started again nobody answers.
        let _ = connection.query_as(NEIGHBOUR, "", FORGET_ADDRESSES);
    }
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The mounted files. Volumes hold directories and links of their own, whose names begin with a dot.
fn mounted() -> anyhow::Result<Files> {
    let mut files = Files::new();
    for directory in [CONFIG, USERS] {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("cannot read {directory}"))?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let path = entry.path();
            let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(path, content);
        }
    }
    Ok(files)
}

fn start(files: &Files) -> anyhow::Result<Child> {
    lay_out(files).with_context(|| format!("cannot write to {WORK}"))?;
    let child = given().spawn(&std::env::current_exe()?, &[OPTION.into()])?;
    eprintln!("ClickHouse is started with {} files", files.len());
    Ok(child)
}

/// Puts the package's files and the mounted ones where the library looks for them.
fn lay_out(files: &Files) -> std::io::Result<()> {
    let work = Path::new(WORK);
    match fs::remove_dir_all(work) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let users = work.join("users.d");
    fs::create_dir_all(&users)?;
    fs::write(work.join("config.xml"), PACKAGE_CONFIG)?;
    fs::write(work.join("users.xml"), PACKAGE_USERS)?;
    symlink(CONFIG, work.join("config.d"))?;
    for path in files.keys().filter(|path| path.starts_with(USERS)) {
        let Some(name) = path.file_name() else { continue };
        symlink(path, users.join(name))?;
    }
    let (name, text) = ENGINE_USERS;
    fs::write(users.join(name), text)
}
