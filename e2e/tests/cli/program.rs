//! The program as a user runs it: what it prints and how it ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{Process, free_port, qoe_binary, wait_for};
use nix::sys::signal::Signal;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(300);

/// What a command has printed.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A command in a directory of its own.
pub struct Program {
    dir: TempDir,
}

impl Program {
    pub fn new() -> Program {
        Program { dir: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_string()
    }

    /// The data directory that all commands are given.
    pub fn data(&self) -> String {
        self.path("data").to_str().unwrap().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(qoe_binary());
        command.args(arguments).args(["--data", &self.data()]).stdin(Stdio::null());
        command.current_dir(self.dir.path());
        command
    }

    /// Runs `qoe ARGUMENTS --data DIR` to its end.
    pub fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(arguments, |_| {})
    }

    /// The same, the command changed before.
    pub fn run_with(&self, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Answer {
        let mut command = self.command(arguments);
        change(&mut command);
        let (out, err) = (self.path("out"), self.path("err"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let status = Process::start(&mut command).wait(SOON);
        Answer { code: status.code().unwrap(), out: read(&out), err: read(&err) }
    }

    /// Starts `qoe up` on this configuration and waits until everything is ready.
    pub fn up(&self, yaml: &str) -> Up {
        let file = self.file("collector.yaml", yaml);
        let (out, err) = (self.path("up.out"), self.path("up.err"));
        let mut command = self.command(&["up", "-f", &file]);
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut process = Process::start(&mut command);
        wait_for("qoe up", SOON, || {
            assert!(process.is_running(), "qoe up ended: {} {}", read(&out), read(&err));
            read(&out).contains("ready: everything").then_some(())
        });
        Up { process, out, err }
    }
}

/// A running `qoe up`.
pub struct Up {
    process: Process,
    out: PathBuf,
    err: PathBuf,
}

impl Up {
    pub fn out(&self) -> String {
        read(&self.out)
    }

    pub fn err(&self) -> String {
        read(&self.err)
    }

    /// Ctrl-C.
    pub fn stop(mut self) {
        self.process.signal(Signal::SIGINT);
        let status = self.process.wait(SOON);
        assert!(status.success(), "{status}: {}", self.err());
        assert!(self.out().ends_with("stopped\n"), "{}", self.out());
    }
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

/// One of the examples, each port that it names replaced by a free one; with these ports, in order.
pub fn example(name: &str, ports: &[u16]) -> (String, Vec<u16>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let mut text = read(&file);
    let mut replaced = Vec::new();
    for port in ports {
        let free = free_port();
        let (old, new) = (format!("port: {port}"), format!("port: {free}"));
        assert!(text.contains(&old), "{name} names no {old}");
        text = text.replace(&old, &new);
        replaced.push(free);
    }
    (text, replaced)
}

/// A collector with one stream.
pub fn one_stream(port: u16) -> String {
    format!(
        "apiVersion: qoeplane.io/v1alpha1\nkind: QoeCollector\nmetadata: {{name: main}}\nspec:\n  dpis:\n    \
         - id: 0\n      streams:\n        - {{type: Fullflow, port: {port}, transport: TCP}}\n  \
         clickhouse: {{embedded: {{}}}}\n"
    )
}
