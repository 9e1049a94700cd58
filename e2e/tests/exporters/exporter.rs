//! The exporters: programs that others wrote, run on a capture file or on an interface.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{Process, wait_for};
use tempfile::TempDir;

use crate::interface::Interface;

const LONG: Duration = Duration::from_secs(120);

/// What `softflowd` says of itself at its end.
#[derive(Debug)]
pub struct Said {
    pub records: u64,
    pub datagrams: u64,
    pub octets: u64,
    pub packets: u64,
}

/// Fails with what to do if the programs are not there.
pub fn need_tools() {
    for tool in ["softflowd", "pmacctd", "nfcapd", "nfdump"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
        assert!(found.status.success(), "{tool} is not installed: run scripts/install-test-tools");
    }
}

/// Lets softflowd read a capture and export it to `127.0.0.1:port`.
pub fn softflowd(capture: &Path, port: u16, arguments: &[&str]) -> Said {
    let dir = TempDir::new().unwrap();
    let said = run(dir.path(), softflowd_command(dir.path(), port).arg("-r").arg(capture).args(arguments));
    Said::read(&said)
}

/// A softflowd with its files in `dir`, in the foreground.
pub fn softflowd_command(dir: &Path, port: u16) -> Command {
    let mut command = Command::new("softflowd");
    // -D would track IPv6 as well, but says a line for each packet.
    command.args(["-d", "-6", "-n", &format!("127.0.0.1:{port}")]);
    command.arg("-p").arg(dir.join("pid")).arg("-c").arg(dir.join("control"));
    command
}

/// A softflowd that watches an interface.
pub struct Watching {
    dir: TempDir,
    process: Process,
}

impl Watching {
    /// Starts it and waits until it sees packets.
    pub fn start(interface: &Interface, port: u16) -> Watching {
        let dir = TempDir::new().unwrap();
        let log = File::create(dir.path().join("said")).unwrap();
        let mut command = softflowd_command(dir.path(), port);
        command.args(["-v", "9", "-B", "16000000", "-i", interface.name(), "tcp or udp or icmp"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = Process::start(&mut command);
        let mut watching = Watching { dir, process };
        wait_for("softflowd", LONG, || {
            assert!(watching.process.is_running(), "softflowd ended: {}", watching.said());
            watching.packets()
        });
        watching
    }

    /// Waits until it has seen so many packets, calling `nudge` meanwhile, and lets it export what it has.
    pub fn finish(self, packets: u64, nudge: impl Fn()) -> Said {
        wait_for("softflowd to see all packets", LONG, || {
            nudge();
            (self.packets()? >= packets).then_some(())
        });
        self.control("expire-all");
        // Killed when it is dropped: if it ended in order, it would export what has come since.
        Said::read(&self.control("statistics"))
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("said")).unwrap()
    }

    /// How many packets it has seen.
    fn packets(&self) -> Option<u64> {
        let text = self.control("statistics");
        text.lines().find_map(|line| line.strip_prefix("Packets processed: "))?.trim().parse().ok()
    }

    fn control(&self, order: &str) -> String {
        let mut command = Command::new("softflowctl");
        let output = command.arg("-c").arg(self.dir.path().join("control")).arg(order).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Lets pmacct's probe read a capture and export it to `127.0.0.1:port`.
pub fn pmacct(capture: &Path, port: u16, version: u8) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("pmacctd.conf");
    // The queue between its processes would lose packets at its default size, because a file is read
    // faster than an interface.
    let settings = format!(
        "pcap_savefile: {}\npcap_savefile_delay: 1\nplugins: nfprobe\n\
         aggregate: src_host, dst_host, src_port, dst_port, proto, tos\n\
         plugin_pipe_size: 64000000\nplugin_buffer_size: 64000\n\
         nfprobe_receiver: 127.0.0.1:{port}\nnfprobe_version: {version}\n",
        capture.display()
    );
    std::fs::write(&file, settings).unwrap();
    let said = run(dir.path(), Command::new("pmacctd").arg("-f").arg(&file));
    assert!(!said.contains("missing data"), "{said}");
}

/// Runs a program to its end; returns what it has said.
fn run(dir: &Path, command: &mut Command) -> String {
    let file = dir.join("said");
    let log = File::create(&file).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let status = Process::start(command).wait(LONG);
    let said = std::fs::read_to_string(file).unwrap();
    assert!(status.success(), "{command:?}: {said}");
    said
}

impl Said {
    /// From softflowd's statistics:
    ///
    /// ```text
    /// Flows exported: 2000 (2000 records) in 88 packets (0 failures)
    /// Per-protocol statistics:     Octets      Packets   Avg Life    Max Life
    ///             tcp (6):        3955616         5380       1.08s       2.97s
    /// ```
    pub fn read(text: &str) -> Said {
        let mut said = Said { records: 0, datagrams: 0, octets: 0, packets: 0 };
        let exported = text.lines().find(|line| line.starts_with("Flows exported:")).expect(text);
        let numbers: Vec<u64> = exported
            .split(|character: char| !character.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        assert_eq!(numbers[3], 0, "softflowd could not send everything: {text}");
        (said.records, said.datagrams) = (numbers[1], numbers[2]);
        let protocols = text.lines().skip_while(|line| !line.starts_with("Per-protocol")).skip(1);
        for line in protocols {
            let Some((_, figures)) = line.split_once("):") else { break };
            let mut figures = figures.split_whitespace().map(|figure| figure.parse::<u64>());
            said.octets += figures.next().unwrap().unwrap();
            said.packets += figures.next().unwrap().unwrap();
        }
        said
    }
}
