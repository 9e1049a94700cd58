//! The configuration files and keys of the cluster's programs, as text. Reads nothing of the machine.

use std::fs;
use std::path::Path;

use super::namespace::run;
use super::network::{CLUSTER_DOMAIN, NODE_ADDRESS, POD_RANGE};
use super::requirements::CNI_PLUGINS;

/// Where the API server answers.
pub(super) const SERVER: &str = "https://198.18.255.1:6443";
/// The token of a user, who is nobody outside this cluster.
fn token(user: &str) -> String {
    format!("token-of-{user}")
}

/// Users of the API server, and their groups.
const USERS: [(&str, &str, &str); 5] = [
    ("admin", "admin", "system:masters"),
    ("node", "system:node:node1", "system:nodes"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("proxy", "system:kube-proxy", ""),
];

/// Writes everything below `directory`.
pub(super) fn write(directory: &Path) -> Result<(), String> {
    for name in ["logs", "kubeconfig", "cni", "keys", "volumes"] {
        make(&directory.join(name))?;
    }
    let mut tokens = String::new();
    for (name, user, group) in USERS {
        tokens.push_str(&format!("{},{user},{name},\"{group}\"\n", token(name)));
        put(&directory.join("kubeconfig").join(name), &kubeconfig(directory, name))?;
    }
    put(&directory.join("tokens.csv"), &tokens)?;
    put(&directory.join("cni/10-pods.conflist"), &network(directory))?;
    put(&directory.join("containerd.toml"), &containerd(directory))?;
    put(&directory.join("kubelet.yaml"), &kubelet(directory))?;
    put(&directory.join("Corefile"), &dns(directory))?;
    let keys = directory.join("keys").display().to_string();
    run("openssl", &format!("genrsa -out {keys}/service-accounts.key 2048"))?;
    run(
        "openssl",
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=kube-apiserver -keyout {keys}/client.key -out {keys}/client.crt"
        ),
    )?;
    Ok(())
}

fn kubeconfig(directory: &Path, name: &str) -> String {
    let authority = directory.join("apiserver/apiserver.crt");
    format!(
        r#"apiVersion: v1
kind: Config
current-context: qoe
clusters:
  - name: qoe
    cluster: {{server: "{SERVER}", certificate-authority: "{}"}}
users:
  - name: {name}
    user: {{token: "{}"}}
contexts:
  - name: qoe
    context: {{cluster: qoe, user: {name}}}
"#,
        authority.display(),
        token(name)
    )
}

/// Each pod hangs on an interface of its own and the node routes between them: with a bridge, answers
/// between two pods would bypass the translation of Services' addresses.
fn network(directory: &Path) -> String {
    let data = directory.join("addresses");
    format!(
        r#"{{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {{
      "type": "ptp",
      "ipam": {{
        "type": "host-local",
        "dataDir": "{}",
        "ranges": [[{{"subnet": "{POD_RANGE}"}}]],
        "routes": [{{"dst": "0.0.0.0/0"}}]
      }}
    }},
    {{"type": "portmap", "capabilities": {{"portMappings": true}}}}
  ]
}}
"#,
        data.display()
    )
}

fn containerd(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        r#"version = 2
root = "{directory}/containerd"
state = "/run/containerd/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{directory}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{directory}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  # Lowering a score is not permitted everywhere, and not needed here.
  restrict_oom_score_adj = true
  sandbox_image = "localhost/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{directory}/cni"
"#
    )
}

/// Evictions and image collection are off: a full disk of the machine is not what is tested. Mounted
/// ConfigMaps and Secrets are looked at every few seconds, not every minute.
fn kubelet(directory: &Path) -> String {
    let group = super::namespace::name();
    let directory = directory.display();
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {NODE_ADDRESS}
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
containerRuntimeEndpoint: unix://{directory}/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /{group}
clusterDNS: [{NODE_ADDRESS}]
clusterDomain: {CLUSTER_DOMAIN}
failSwapOn: false
failCgroupV1: false
localStorageCapacityIsolation: false
evictionHard: {{memory.available: 1Mi, nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}}
imageGCHighThresholdPercent: 100
podLogsDir: {directory}/pods
volumePluginDir: {directory}/volume-plugins
resolvConf: ""
syncFrequency: 5s
nodeStatusUpdateFrequency: 5s
serializeImagePulls: false
shutdownGracePeriod: 0s
"#
    )
}

/// Names outside of the cluster do not exist. Nothing is kept: a test need not wait for an old answer's end.
fn dns(directory: &Path) -> String {
    let kubeconfig = directory.join("kubeconfig/admin");
    format!(
        r#".:53 {{
    bind {NODE_ADDRESS}
    errors
    kubernetes {CLUSTER_DOMAIN} {{
        kubeconfig {}
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"#,
        kubeconfig.display()
    )
}

fn make(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| format!("cannot make {}: {error}", path.display()))
}

fn put(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
