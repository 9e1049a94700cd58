//! What a provider knows of his network, as large as T5 has it: a million subscribers with prefixes and logins, a
//! hundred thousand networks. The simulator's subscribers are among them.

use std::fmt::Write;
use std::fs;
use std::path::Path;

const SUBSCRIBERS: u32 = 1_000_000;
const NETWORKS: u32 = 100_000;
/// Where the simulator's subscribers begin: 10.64.0.0.
const FIRST: u32 = 0x0a40_0000;
/// Networks of 16 addresses, so that they hold all subscribers.
const NETWORK_BITS: u32 = 28;

/// Writes the texts; the objects that name them.
///
/// # Errors
/// A file cannot be written.
pub fn write(dir: &Path) -> anyhow::Result<String> {
    let mut subscribers = String::new();
    let mut networks = String::from("2001:db8::/32\tall of IPv6\n");
    for number in 0..SUBSCRIBERS {
        let address = std::net::Ipv4Addr::from(FIRST + number);
        // The last of ten has a prefix of IPv6: the simulator's subscriber of the same number.
        let _ = match number % 10 {
            9 => writeln!(
                subscribers,
                "2001:db8:{:x}:{:x}::/64\tlogin-{number}\t{}\tport{}\t\t\t\t\t",
                number >> 16,
                number & 0xffff,
                number % 5_000,
                number % 48
            ),
            _ => writeln!(
                subscribers,
                "{address}\tlogin-{number}\t{}\tport{}\t\t\t\t\t",
                number % 5_000,
                number % 48
            ),
        };
    }
    for number in 1..NETWORKS {
        let address = std::net::Ipv4Addr::from(FIRST + ((number - 1) << (32 - NETWORK_BITS)));
        let _ = writeln!(networks, "{address}/{NETWORK_BITS}\tnetwork {number}");
    }
    let files = [("subscribers", "Subscribers", subscribers), ("subnets-local", "SubnetsLocal", networks)];
    let mut documents = String::new();
    for (name, kind, text) in files {
        let file = format!("{name}.txt");
        fs::write(dir.join(&file), text)?;
        let _ = write!(
            documents,
            "---\napiVersion: qoeplane.io/v1alpha1\nkind: QoeDictionary\nmetadata: {{name: {name}}}\n\
             spec: {{type: {kind}, source: {{file: ./{file}}}}}\n"
        );
    }
    Ok(documents)
}
