//! Who runs where: the collector alone on one core, everybody else on the others.

use std::fs;
use std::process::Command;

use anyhow::Context;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Cores by what runs on them.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    count: usize,
}

impl Cores {
    /// With one core everything shares it.
    pub fn of_this_machine() -> Cores {
        Cores { count: std::thread::available_parallelism().map_or(1, usize::from) }
    }

    /// Leaves the collector's core: this process, and whatever it starts elsewhere than there.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn leave_to_collector(self) -> anyhow::Result<()> {
        let mut set = CpuSet::new();
        for core in 1..self.count {
            set.set(core)?;
        }
        if self.count > 1 {
            sched_setaffinity(Pid::from_raw(0), &set)?;
        }
        Ok(())
    }

    /// A program on the collector's core.
    pub fn collector(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.on("0".to_owned(), program)
    }

    /// A program on the other cores.
    pub fn others(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.on(format!("1-{}", self.count.saturating_sub(1)), program)
    }

    /// The program is told to end when we do, however that is.
    fn on(self, cores: String, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]);
        if self.count > 1 {
            command.args(["taskset", "-c", &cores]);
        }
        command.arg(program);
        command
    }

    /// Moves all threads of a process to the collector's core.
    ///
    /// # Errors
    /// It has ended.
    pub fn move_to_collector(self, process: u32) -> anyhow::Result<()> {
        if self.count < 2 {
            return Ok(());
        }
        let mut set = CpuSet::new();
        set.set(0)?;
        // Threads inherit: after the second look none that began meanwhile is left elsewhere.
        for _ in 0..2 {
            for thread in fs::read_dir(format!("/proc/{process}/task")).context("the process has ended")? {
                let thread: i32 = thread?.file_name().to_string_lossy().parse()?;
                // One that has ended meanwhile needs no core.
                let _ = sched_setaffinity(Pid::from_raw(thread), &set);
            }
        }
        Ok(())
    }
}
