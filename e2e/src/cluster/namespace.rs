//! Runs the whole program in Linux namespaces of its own (processes, mounts, network), so that nothing
//! of a cluster can outlive it or touch the machine: when the first process in there ends, however it
//! ends, the kernel kills all others and takes away mounts, interfaces and packet filters. What is left
//! to remove is one directory and one control group.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::waitpid;

use crate::process::wait_for;

/// Tells the program inside which directory is its own.
const DIRECTORY_VARIABLE: &str = "QOE_CLUSTER_DIRECTORY";
/// Names of these directories, below the directory for temporary files; the owner's process id follows.
const PREFIX: &str = "qoe-cluster-";
/// The pair of interfaces that joins the cluster to the machine.
const HOST_LINK: &str = "qoe-host";
/// Its other end, inside.
pub(super) const NODE_LINK: &str = "qoe-node";

/// Whether the machine shall reach the cluster's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Only this program and what it starts.
    Inside,
    /// Every program of the machine, as long as the cluster runs.
    Machine,
}

/// The directory of this program's cluster; `None` outside.
pub fn directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY_VARIABLE).map(PathBuf::from)
}

/// The name of the control group that holds all pods, and of the directory.
pub(super) fn name() -> String {
    let directory = directory().expect("no cluster's namespaces: call cluster::inside first");
    directory.file_name().unwrap().to_str().unwrap().to_string()
}

/// Runs `program` in namespaces of its own: starts this executable again with the same arguments and
/// waits for its end. SIGINT, SIGTERM and SIGHUP end everything at once. Call it first in `main`, before
/// any thread is started. What was left over by runs that were killed is removed.
pub fn inside(reach: Reach, program: impl FnOnce() -> ExitCode) -> ExitCode {
    if directory().is_some() {
        SigSet::all().thread_unblock().unwrap();
        return program();
    }
    match supervise(reach) {
        Ok(status) => {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        Err(reason) => {
            eprintln!("no Kubernetes cluster can be started: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn supervise(reach: Reach) -> Result<ExitStatus, String> {
    super::requirements::check()?;
    remove_leftovers();
    let directory = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
    fs::create_dir(&directory).map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
    let _removed = Removed(directory.clone());
    fs::write(directory.join("owner"), start_time("self").unwrap_or_default())
        .map_err(|error| format!("cannot write to {}: {error}", directory.display()))?;

    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
        signals.add(signal);
    }
    signals.thread_block().map_err(|error| error.to_string())?;
    // What is inside becomes our child when `unshare` is killed, so that its end can be waited for.
    prctl::set_child_subreaper(true).map_err(|error| error.to_string())?;

    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--mount", "--net", "--ipc", "--fork"]);
    command.args(["--kill-child=KILL", "--mount-proc", "--"]).arg(program).args(std::env::args_os().skip(1));
    command.env(DIRECTORY_VARIABLE, &directory);
    let mut child = command.spawn().map_err(|error| format!("cannot start setpriv: {error}"))?;
    if reach == Reach::Machine {
        join_machine(child.id())?;
    }
    loop {
        let signal = signals.wait().map_err(|error| error.to_string())?;
        if signal != Signal::SIGCHLD {
            child.kill().map_err(|error| error.to_string())?;
        }
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            while waitpid(None, None).is_ok() {}
            return Ok(status);
        }
    }
}

/// Gives the machine an interface into the namespace and a route to the cluster's addresses. Both go
/// away with the namespace.
fn join_machine(unshare: u32) -> Result<(), String> {
    let children = format!("/proc/{unshare}/task/{unshare}/children");
    let ours = fs::read_link("/proc/self/ns/net").map_err(|error| error.to_string())?;
    let inside = wait_for("the namespaces", Duration::from_secs(120), || {
        let pid = fs::read_to_string(&children).ok()?.trim().to_string();
        let theirs = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
        (theirs != ours).then_some(pid)
    });
    for words in [
        format!("link add {HOST_LINK} type veth peer name {NODE_LINK} netns {inside}"),
        format!("address add 198.18.254.1/30 dev {HOST_LINK}"),
        format!("link set {HOST_LINK} up"),
        format!("route add 198.18.0.0/15 via 198.18.254.2 dev {HOST_LINK}"),
    ] {
        run("ip", &words)?;
    }
    Ok(())
}

/// Runs a program whose arguments hold no spaces.
pub(super) fn run(program: &str, words: &str) -> Result<String, String> {
    let output = Command::new(program)
        .args(words.split(' '))
        .output()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program} {words}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Removes the directory and the control groups when it is dropped.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.strip_prefix(PREFIX)) else {
            continue;
        };
        let owner = fs::read_to_string(path.join("owner")).ok();
        if owner.is_none() || owner != start_time(pid) {
            remove(&path);
        }
    }
}

fn remove(directory: &Path) {
    let name = directory.file_name().unwrap_or_default();
    let Ok(controllers) = fs::read_dir("/sys/fs/cgroup") else { return };
    remove_groups(&Path::new("/sys/fs/cgroup").join(name));
    for controller in controllers.flatten() {
        remove_groups(&controller.path().join(name));
    }
    if std::env::var_os("QOE_KEEP_CLUSTER").is_some() {
        eprintln!("{} is left, with the logs", directory.display());
        return;
    }
    // Processes that are just ending may still hold the last mounts.
    for _ in 0..50 {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(()) | Err(_) => return,
        }
    }
    eprintln!("{} could not be removed", directory.display());
}

/// Control groups are directories whose files cannot be deleted: the innermost goes first.
fn remove_groups(group: &Path) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// When a process was started, in clock ticks since the machine's start: with its id it names one process
/// for ever.
fn start_time(pid: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19).map(str::to_string)
}
