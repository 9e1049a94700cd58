//! A real Kubernetes for tests: API server, controller manager, scheduler, kubelet with containerd,
//! kube-proxy, CoreDNS, on one node, in namespaces of its own ([`inside`]). Pods have 198.18.0.0/24, Services
//! 198.19.0.0/24; both are reached from this program as from a node.
//!
//! Nothing here may touch the machine outside the namespaces, and nothing may outlive the program.

mod certificates;
mod clickhouse;
mod daemon;
mod daemons;
mod fake_node;
mod files;
mod managed;
mod namespace;
mod network;
mod objects;
mod operator;
mod person;
mod report;
mod requirements;
mod scenario;
mod server;
mod volumes;
mod wait;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use nix::sys::signal::Signal;

pub use clickhouse::{ClickHouse, ClickHouseOptions};
pub use fake_node::FakeNode;
pub use managed::Managed;
pub use namespace::{Reach, inside};
pub use network::NODE_ADDRESS;
pub use operator::Operator;
pub use requirements::clickhouse_image;
pub use scenario::Scenario;
pub use volumes::{FIXED_STORAGE_CLASS, SMALL_STORAGE_CLASS, STORAGE_CLASS};
pub use wait::{stays, wait_until};

use daemons::Daemons;
use volumes::Volumes;

/// The node's name.
pub const NODE: &str = "node1";
/// The image of this version of Qoeplane; pods need `imagePullPolicy: Never` or `IfNotPresent`.
pub const IMAGE: &str = concat!("localhost/qoe:", env!("CARGO_PKG_VERSION"));

const READY_WITHIN: Duration = Duration::from_secs(180);

/// A running cluster. It is stopped when it is dropped, and at the latest when the program ends.
pub struct Cluster {
    directory: PathBuf,
    binaries: PathBuf,
    runtime: tokio::runtime::Runtime,
    client: Client,
    daemons: Mutex<Daemons>,
    /// How long the start took.
    pub started_in: Duration,
    _volumes: Volumes,
}

impl Cluster {
    /// Starts a cluster and waits until its node is ready. The program must be [`inside`].
    pub fn start(reach: Reach) -> Result<Cluster, String> {
        let begun = Instant::now();
        let directory = namespace::directory().ok_or("call cluster::inside first")?;
        let binaries = requirements::binaries()?;
        let images = requirements::archives()?;
        network::prepare(&directory)?;
        if reach == Reach::Machine {
            network::join_machine()?;
        }
        files::write(&directory)?;
        let (daemons, loading) = Daemons::start(&directory, &binaries, images)?;

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let kubeconfig = Kubeconfig::read_from(directory.join("kubeconfig/admin"));
        let client = runtime.block_on(async {
            let kubeconfig = kubeconfig.map_err(|error| error.to_string())?;
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .map_err(|error| error.to_string())?;
            Client::try_from(config).map_err(|error| error.to_string())
        })?;
        let volumes = Volumes::keep(client.clone(), runtime.handle().clone(), directory.join("volumes"));
        let mut cluster = Cluster {
            directory,
            binaries,
            runtime,
            client,
            daemons: Mutex::new(daemons),
            started_in: Duration::ZERO,
            _volumes: volumes,
        };
        cluster.apply(&volumes::storage_classes().to_string())?;
        cluster.apply(&proxy_rights().to_string())?;
        wait_until("the node to be ready", READY_WITHIN, || {
            cluster.daemons().must_run();
            let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")]} {.spec.taints}"#;
            let seen = cluster.kubectl(&["get", "node", NODE, "-o", ready])?;
            if seen.contains(r#""status":"True""#) && !seen.contains("not-ready") {
                Ok(())
            } else {
                Err(seen)
            }
        });
        loading.join().map_err(|_| "loading the images panicked")??;
        cluster.started_in = begun.elapsed();
        Ok(cluster)
    }

    /// Stops it; the same as dropping it.
    pub fn stop(self) {}

    /// Where its files and logs are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig/admin")
    }

    /// Kubernetes' programs, kubectl among them.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// A client with the administrator's rights; use it in [`Cluster::block_on`].
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Runs something asynchronous to its end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Runs `kubectl`; its standard output, or its standard error.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(self.binaries.join("kubectl"))
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(arguments)
            .output()
            .map_err(|error| format!("cannot start kubectl: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_string())
    }

    /// `kubectl apply --server-side` of YAML or JSON documents; what kubectl said.
    pub fn apply(&self, text: &str) -> Result<String, String> {
        self.apply_in("default", text)
    }

    /// [`Cluster::apply`], for objects that name no namespace.
    pub fn apply_in(&self, namespace: &str, text: &str) -> Result<String, String> {
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).map_err(|error| error.to_string())?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|error| error.to_string())?;
        let path = file.path().to_str().unwrap();
        self.kubectl(&["apply", "--server-side", "--namespace", namespace, "-f", path])
    }

    /// Stops the API server and starts it again; returns when it is ready.
    pub fn restart_api_server(&self) {
        let mut daemons = self.daemons();
        daemons.api_server.restart();
        daemons::wait_until_ready(&self.directory, &self.binaries, &mut daemons.api_server);
    }

    /// Lets the API server accept connections and answer nothing until [`Cluster::thaw_api_server`].
    pub fn freeze_api_server(&self) {
        self.daemons().api_server.signal(Signal::SIGSTOP);
    }

    /// Ends [`Cluster::freeze_api_server`]; returns when the API server is ready.
    pub fn thaw_api_server(&self) {
        let mut daemons = self.daemons();
        daemons.api_server.signal(Signal::SIGCONT);
        daemons::wait_until_ready(&self.directory, &self.binaries, &mut daemons.api_server);
    }

    /// Loads the archive of an image into the node.
    pub fn import_image(&self, archive: &Path) -> Result<(), String> {
        daemons::import(&self.directory, archive)
    }

    /// Gives an image in the node another name as well, for a version that does not exist:
    /// `tag_image(IMAGE, "localhost/qoe:9.9.9")`.
    pub fn tag_image(&self, image: &str, name: &str) -> Result<(), String> {
        let (image, name) = (full_name(image), full_name(name));
        daemons::ctr(&self.directory, &format!("-n k8s.io images tag --force {image} {name}")).map(drop)
    }

    /// Kills a pod's container (SIGKILL), as a crash would; kubelet starts it again.
    pub fn kill_container(&self, namespace: &str, pod: &str) -> Result<(), String> {
        let id = "jsonpath={.status.containerStatuses[0].containerID}";
        let id = self.kubectl(&["--namespace", namespace, "get", "pod", pod, "-o", id])?;
        let id = id.trim_start_matches("containerd://");
        daemons::ctr(&self.directory, &format!("-n k8s.io tasks kill --signal SIGKILL {id}")).map(drop)
    }

    /// The last lines of the log of one of the cluster's programs (`kubelet`, `kube-apiserver`, ...).
    pub fn log_tail(&self, name: &str, lines: usize) -> String {
        daemon::tail(&self.directory.join("logs").join(format!("{name}.log")), lines)
    }

    fn daemons(&self) -> MutexGuard<'_, Daemons> {
        // A scenario that panicked has left them in order.
        self.daemons.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// An image's name as containerd keeps it, which the kubelet makes of short ones: with the registry.
fn full_name(image: &str) -> String {
    let first = image.split_once('/').map_or("", |(first, _)| first);
    if first == "localhost" || first.contains(['.', ':']) {
        image.to_string()
    } else {
        format!("docker.io/{image}")
    }
}

/// What a cluster's installer gives to kube-proxy.
fn proxy_rights() -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "kube-proxy"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-proxy"}],
    })
}
