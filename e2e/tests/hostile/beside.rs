//! Good exporters that send to the same ports all the while, and what must hold of them at the end.

use std::time::Duration;

use e2e::{Sent, Simulator, System, assert_balanced, wait_for};

pub const LONG: Duration = Duration::from_secs(300);
/// Resident memory that the receiver may reach under attack, in KiB.
const MEMORY_BOUND_KIB: u64 = 300 << 10;

/// A simulator for each transport.
pub struct Beside {
    tcp: Simulator,
    udp: Simulator,
    pid: u32,
}

impl Beside {
    /// Starts both and waits until each has a session.
    pub fn start(system: &System) -> Beside {
        Beside::start_with(system, "50000")
    }

    /// [`Beside::start`] with so many records a second by TCP.
    pub fn start_with(system: &System, tcp_rate: &str) -> Beside {
        let tcp = simulator(system, 0, "300000", tcp_rate, "71");
        let udp = simulator(system, 1, "120000", "20000", "72");
        for dpi in [0, 1] {
            wait_for("the good sessions", LONG, || {
                (system.stream(dpi).destination.decoded > 0).then_some(())
            });
        }
        Beside { tcp, udp, pid: system.receiver_pid() }
    }

    /// Waits for their end, and that new exporters are taken as if nothing had been.
    pub fn finish(self, system: &System) {
        self.finish_without_new(system);
        for (dpi, seed) in [(0, "73"), (1, "74")] {
            let before = good(system, dpi);
            let sent = simulator(system, dpi, "20000", "20000", seed).finish(LONG);
            assert_exact(system, dpi, &[before, sent]);
        }
    }

    /// Waits for their end: everything they sent is stored once; the receiver is still the same process
    /// and has kept its memory within the bound.
    pub fn finish_without_new(self, system: &System) {
        let Beside { tcp, udp, pid } = self;
        assert_exact(system, 0, &[tcp.finish(LONG)]);
        assert_exact(system, 1, &[udp.finish(LONG)]);
        assert_eq!(system.receiver_pid(), pid);
        let high = memory_kib(pid, "VmHWM");
        assert!(high < MEMORY_BOUND_KIB, "the receiver has needed {high} KiB");
    }
}

fn simulator(system: &System, dpi: u16, records: &str, rate: &str, seed: &str) -> Simulator {
    let to = system.address(dpi);
    let transport = if dpi == 0 { "tcp" } else { "udp" };
    let mut arguments = vec!["--to", &to, "--transport", transport];
    arguments.extend(["--records", records, "--rate", rate, "--seed", seed, "--domain", seed]);
    Simulator::start(&arguments)
}

/// Everything is stored once, and what is refused is accounted for.
fn assert_exact(system: &System, dpi: u16, sent: &[Sent]) {
    let sent = Sent::sum(sent);
    wait_for("everything that was sent", LONG, || (good(system, dpi).records >= sent.records).then_some(()));
    let status = system.wait_until_stored(dpi);
    let stored = good(system, dpi);
    let figures = |sent: Sent| (sent.records, sent.octets, sent.packets);
    assert_eq!(figures(stored), figures(sent), "DPI {dpi}: {status:?}");
    assert_eq!(status.wire.kernel_drops, 0);
    assert_balanced(&status);
}

/// What is stored of the good exporters of a DPI: their records have session ids.
fn good(system: &System, dpi: u16) -> Sent {
    let answer = system.query(&format!(
        "SELECT uniqExact(session_id, flow_start_millisecond), sum(octet_delta_count), \
         sum(packet_delta_count), count() FROM qoestor.fullflow WHERE dpi_id = {dpi} AND session_id != 0"
    ));
    let figures: Vec<u64> = answer.split('\t').map(|figure| figure.parse().unwrap()).collect();
    assert_eq!(figures[0], figures[3], "records that are stored twice");
    Sent { records: figures[0], octets: figures[1], packets: figures[2], ..Sent::default() }
}

/// How many rows a DPI has that are not of the good exporters.
pub fn other_rows(system: &System, dpi: u16) -> u64 {
    system.number(&format!("SELECT count() FROM qoestor.fullflow WHERE dpi_id = {dpi} AND session_id = 0"))
}

/// A figure of `/proc/PID/status`, `VmRSS` or `VmHWM`, in KiB.
pub fn memory_kib(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
