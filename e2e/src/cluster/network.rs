//! Addresses, mounts and files of the machine that the cluster's programs expect, made inside the
//! namespaces only.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::namespace::{NODE_LINK, run};
use crate::process::wait_for;

/// The node's address; on loopback, because 127.0.0.1 cannot be advertised.
pub const NODE_ADDRESS: &str = "198.18.255.1";
/// The pods' addresses.
pub(super) const POD_RANGE: &str = "198.18.0.0/24";
/// The Services' addresses.
pub(super) const SERVICE_RANGE: &str = "198.19.0.0/24";

/// Names of Services and pods end in it.
pub(super) const CLUSTER_DOMAIN: &str = "cluster.local";

/// How names are looked up by programs on the node, the same as in pods but for the pod's own namespace.
const NAMES: [(&str, &str); 2] = [
    (
        "/etc/resolv.conf",
        "nameserver 198.18.255.1\nsearch cluster.local svc.cluster.local\noptions ndots:5\n",
    ),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];

/// Kernel settings that kubelet insists on and that are the machine's own: kubelet sees files that say so.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Places with fixed names that programs write to.
const FIXED_PLACES: [&str; 4] =
    ["/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers"];

/// Makes the namespaces habitable.
pub(super) fn prepare(directory: &Path) -> Result<(), String> {
    run("ip", "link set lo up")?;
    run("ip", &format!("address add {NODE_ADDRESS}/32 dev lo"))?;
    // A packet needs a route before kube-proxy's rules give it another destination.
    run("ip", &format!("route add {SERVICE_RANGE} dev lo src {NODE_ADDRESS}"))?;
    set("net/ipv4/ip_forward", "1")?;
    let etcd = directory.join("etcd");
    let places = FIXED_PLACES.iter().map(Path::new).chain([etcd.as_path()]);
    for place in places {
        fs::create_dir_all(place).map_err(|error| format!("cannot make {}: {error}", place.display()))?;
        run("mount", &format!("-t tmpfs -o mode=0755 tmpfs {}", place.display()))?;
    }
    for (name, value) in KERNEL_SETTINGS {
        cover(directory, &Path::new("/proc/sys").join(name), &format!("{value}\n"))?;
    }
    for (path, text) in NAMES {
        cover(directory, Path::new(path), text)?;
    }
    Ok(())
}

/// Shows another content in the place of one of the machine's files, if it is there.
fn cover(directory: &Path, real: &Path, text: &str) -> Result<(), String> {
    let Ok(real) = real.canonicalize() else { return Ok(()) };
    let covers = directory.join("covers");
    let cover = covers.join(real.display().to_string().trim_start_matches('/').replace('/', "."));
    let written = fs::create_dir_all(&covers).and_then(|()| fs::write(&cover, text));
    written.map_err(|error| format!("cannot write {}: {error}", cover.display()))?;
    run("mount", &format!("--bind {} {}", cover.display(), real.display())).map(drop)
}

/// Takes the inner end of the interface to the machine into use.
pub(super) fn join_machine() -> Result<(), String> {
    wait_for("the interface to the machine", Duration::from_secs(120), || {
        run("ip", &format!("link show {NODE_LINK}")).ok()
    });
    run("ip", &format!("address add 198.18.254.2/30 dev {NODE_LINK}"))?;
    run("ip", &format!("link set {NODE_LINK} up"))?;
    Ok(())
}

fn set(name: &str, value: &str) -> Result<(), String> {
    let path = Path::new("/proc/sys").join(name);
    fs::write(&path, value).map_err(|error| format!("cannot set {}: {error}", path.display()))
}
