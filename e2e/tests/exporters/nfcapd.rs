//! The collector to compare with: `nfcapd` receives, `nfdump` says what it has stored.

use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{Process, free_port, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::capture::{Carried, Flow, Flows, ICMP};

const SOON: Duration = Duration::from_secs(180);
/// How often the reference is made again if the kernel had to drop some of it.
const ATTEMPTS: usize = 5;

/// A running `nfcapd`.
pub struct Nfcapd {
    dir: TempDir,
    port: u16,
    process: Process,
}

impl Nfcapd {
    /// What `nfcapd` stores of what `export` sends to the port that it is told.
    pub fn collect(export: impl Fn(u16)) -> Flows {
        for _ in 0..ATTEMPTS {
            let nfcapd = Nfcapd::start();
            export(nfcapd.port);
            let drops = nfcapd.wait_until_read();
            let flows = nfcapd.finish();
            if drops == 0 {
                return flows;
            }
        }
        panic!("the kernel drops datagrams of nfcapd again and again: is net.core.rmem_max very small?");
    }

    fn start() -> Nfcapd {
        let dir = TempDir::new().unwrap();
        let port = free_port();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        std::fs::create_dir(dir.path().join("flows")).unwrap();
        let mut command = Command::new("nfcapd");
        command.args(["-b", "127.0.0.1", "-t", "3600", "-B", "4000000", "-p", &port.to_string(), "-w"]);
        command.arg(dir.path().join("flows"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = Process::start(&mut command);
        wait_for("nfcapd", SOON, || {
            let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            assert!(process.is_running(), "nfcapd ended: {}", log());
            log().contains("Startup nfcapd").then_some(())
        });
        Nfcapd { dir, port, process }
    }

    /// Waits until its socket is empty; returns how many datagrams the kernel has dropped.
    fn wait_until_read(&self) -> u64 {
        // It finishes the datagram that it has taken before it heeds the signal that follows.
        wait_for("nfcapd to read its socket", SOON, || {
            let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
            let address = format!("0100007F:{:04X}", self.port);
            let line = sockets.lines().find(|line| line.contains(&address)).unwrap();
            let columns: Vec<&str> = line.split_whitespace().collect();
            let waiting = columns[4].split(':').nth(1).unwrap();
            let waiting = u64::from_str_radix(waiting, 16).unwrap();
            (waiting == 0).then(|| columns.last().unwrap().parse().unwrap())
        })
    }

    fn finish(mut self) -> Flows {
        self.process.signal(Signal::SIGTERM);
        assert!(self.process.wait(SOON).success());
        let mut command = Command::new("nfdump");
        command.arg("-R").arg(self.dir.path().join("flows")).args(["-N", "-o", "json"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let records: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let mut flows = Flows::new();
        for record in records {
            let (flow, carried) = read(&record);
            let sum = flows.entry(flow).or_default();
            sum.records += 1;
            sum.packets += carried.packets;
            sum.octets += carried.octets;
        }
        flows
    }
}

fn read(record: &Value) -> (Flow, Carried) {
    let address = |end: &str| -> IpAddr {
        let value = record.get(format!("{end}4_addr")).or_else(|| record.get(format!("{end}6_addr")));
        value.and_then(Value::as_str).unwrap_or_else(|| panic!("{record}")).parse().unwrap()
    };
    let number = |name: &str| record[name].as_u64().unwrap_or_else(|| panic!("no {name}: {record}"));
    let protocol = number("proto") as u8;
    let port = |name: &str| if protocol == ICMP { 0 } else { number(name) as u16 };
    let flow = Flow {
        source: address("src"),
        destination: address("dst"),
        source_port: port("src_port"),
        destination_port: port("dst_port"),
        protocol,
    };
    // Times are compared with the capture itself.
    let carried =
        Carried { records: 1, packets: number("in_packets"), octets: number("in_bytes"), first_ms: 0 };
    (flow, carried)
}
