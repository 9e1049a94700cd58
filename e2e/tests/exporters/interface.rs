//! A network interface with traffic on it: two ends of a cable (veth), the far one in a network
//! namespace of its own, from where `tcpreplay` plays a capture.

use std::path::Path;
use std::process::Command;

/// Both disappear when this is dropped.
pub struct Interface {
    name: String,
    namespace: String,
}

impl Interface {
    /// Makes the cable. None where this is not allowed.
    pub fn new() -> Option<Interface> {
        let number = std::process::id();
        let (name, namespace) = (format!("qoe{number}"), format!("qoe-test-{number}"));
        let interface = Interface { name, namespace };
        let Interface { name, namespace } = &interface;
        if !ip(&["netns", "add", namespace]) {
            return None;
        }
        assert!(ip(&["link", "add", name, "type", "veth", "peer", "name", "far", "netns", namespace]));
        // No address, so that the kernel sends nothing of its own.
        assert!(ip(&["link", "set", name, "addrgenmode", "none", "up"]));
        assert!(ip(&["-n", namespace, "link", "set", "far", "addrgenmode", "none", "up"]));
        Some(interface)
    }

    /// The near end.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Plays a capture into the far end.
    pub fn play(&self, capture: &Path) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "tcpreplay", "-q", "--pps", "5000", "-i", "far"]);
        let output = command.arg(capture).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.namespace]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}
