//! What a machine needs to run a cluster, and where its parts are. Says what is missing and what to run.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where Debian puts the network plugins.
pub(super) const CNI_PLUGINS: &str = "/usr/lib/cni";

/// The image that stands in for a ClickHouse server: the embedded engine in a pod.
pub(super) const STAND_IN: &str = "localhost/clickhouse-test:26.7.3";
/// Names the image of managed servers, if it is not the stand-in: `make e2e CLICKHOUSE_IMAGE=...`.
const IMAGE_VARIABLE: &str = "CLICKHOUSE_IMAGE";

const PROGRAMS: [&str; 13] = [
    "setpriv",
    "unshare",
    "ip",
    "mount",
    "iptables",
    "conntrack",
    "etcd",
    "containerd",
    "ctr",
    "runc",
    "openssl",
    "nsenter",
    "findmnt",
];

/// Fails, with what to do, where no cluster can run. Never skips: a test that does not run must not pass.
pub(super) fn check() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("it needs Linux".to_string());
    }
    let ours = std::fs::metadata("/proc/self").map_err(|error| format!("no /proc: {error}"))?;
    if ours.uid() != 0 {
        return Err("it needs root, for namespaces and containers".to_string());
    }
    for program in PROGRAMS {
        find(program).ok_or_else(|| format!("{program} is not installed: run scripts/install-test-tools"))?;
    }
    if !Path::new(CNI_PLUGINS).join("ptp").exists() {
        return Err(format!("no network plugins in {CNI_PLUGINS}: run scripts/install-test-tools"));
    }
    binaries()?;
    Ok(())
}

/// The directory with Kubernetes' programs.
pub(super) fn binaries() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/build-kubernetes");
    let output = std::process::Command::new(&script)
        .arg("--where")
        .output()
        .map_err(|error| format!("cannot run {}: {error}", script.display()))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_string());
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// The image for the servers that an operator runs: what the environment variable `CLICKHOUSE_IMAGE`
/// names, else the stand-in. The node has it.
pub fn clickhouse_image() -> String {
    real_image().unwrap_or_else(|| STAND_IN.to_string())
}

fn real_image() -> Option<String> {
    std::env::var(IMAGE_VARIABLE).ok().filter(|image| !image.is_empty())
}

/// The archives of all images that the node shall have.
pub(super) fn archives() -> Result<Vec<PathBuf>, String> {
    let images = images()?;
    let mut names = vec!["pause.tar", "qoe.tar", "clickhouse-test.tar"];
    if real_image().is_some() {
        names.push("clickhouse.tar");
    }
    Ok(names.into_iter().map(|name| images.join(name)).collect())
}

/// The directory with the images' archives: `QOE_IMAGES`, else `images` in the directory that cargo builds in.
fn images() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("QOE_IMAGES") {
        return Ok(path.into());
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    program
        .ancestors()
        .map(|directory| directory.join("images"))
        .find(|images| images.join("pause.tar").exists())
        .ok_or_else(|| format!("no images above {}: run scripts/build-images", program.display()))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.exists())
}
