//! The cluster's programs, in the order in which they are started, with their arguments.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use super::daemon::Daemon;
use super::namespace::{name, run};
use super::network::{NODE_ADDRESS, POD_RANGE, SERVICE_RANGE};
use crate::process::wait_for;

const STARTED_WITHIN: Duration = Duration::from_secs(300);

/// All of them, running.
pub(super) struct Daemons {
    pub etcd: Daemon,
    pub api_server: Daemon,
    pub controller_manager: Daemon,
    pub scheduler: Daemon,
    pub containerd: Daemon,
    pub kubelet: Daemon,
    pub proxy: Daemon,
    pub dns: Daemon,
}

impl Daemons {
    /// Starts all of them, and a thread that loads the images meanwhile.
    pub fn start(
        directory: &Path,
        binaries: &Path,
        images: Vec<PathBuf>,
    ) -> Result<(Daemons, JoinHandle<Result<(), String>>), String> {
        make_control_groups()?;
        let start =
            |name, program: &Path, arguments: Vec<String>| Daemon::start(directory, name, program, arguments);
        let kubeconfig = |user: &str| directory.join("kubeconfig").join(user).display().to_string();
        let at = |path: &str| directory.join(path).display().to_string();

        let etcd = start("etcd", Path::new("etcd"), etcd(&at("etcd")));
        let mut containerd =
            start("containerd", Path::new("containerd"), words(&["--config", &at("containerd.toml")]));
        let mut api_server =
            start("kube-apiserver", &binaries.join("kube-apiserver"), api_server(&at("apiserver"), &at("")));
        wait_for("containerd", STARTED_WITHIN, || {
            containerd.must_run();
            ctr(directory, "version").ok()
        });
        let images_directory = directory.to_owned();
        let loading =
            std::thread::spawn(move || images.iter().try_for_each(|image| import(&images_directory, image)));
        wait_until_ready(directory, binaries, &mut api_server);

        let controller_manager = start(
            "kube-controller-manager",
            &binaries.join("kube-controller-manager"),
            words(&[
                "--kubeconfig",
                &kubeconfig("admin"),
                "--use-service-account-credentials",
                "--service-account-private-key-file",
                &at("keys/service-accounts.key"),
                "--root-ca-file",
                &at("apiserver/apiserver.crt"),
                "--secure-port=0",
                "--leader-elect=false",
                // Nodes that a test made up have no kubelet that says it is well.
                "--node-monitor-grace-period=24h",
            ]),
        );
        let scheduler = start(
            "kube-scheduler",
            &binaries.join("kube-scheduler"),
            words(&["--kubeconfig", &kubeconfig("scheduler"), "--leader-elect=false", "--secure-port=0"]),
        );
        let kubelet = start(
            "kubelet",
            &binaries.join("kubelet"),
            words(&[
                "--kubeconfig",
                &kubeconfig("node"),
                "--config",
                &at("kubelet.yaml"),
                "--root-dir",
                &at("kubelet"),
                "--cert-dir",
                &at("kubelet-keys"),
                "--hostname-override=node1",
                &format!("--node-ip={NODE_ADDRESS}"),
            ]),
        );
        let proxy = start(
            "kube-proxy",
            &binaries.join("kube-proxy"),
            words(&[
                "--kubeconfig",
                &kubeconfig("proxy"),
                "--hostname-override=node1",
                "--proxy-mode=iptables",
                &format!("--cluster-cidr={POD_RANGE}"),
                "--conntrack-max-per-core=0",
            ]),
        );
        let dns = start("cluster-dns", &binaries.join("cluster-dns"), words(&["-conf", &at("Corefile")]));
        let daemons =
            Daemons { etcd, api_server, controller_manager, scheduler, containerd, kubelet, proxy, dns };
        Ok((daemons, loading))
    }

    /// Panics with its log if one has ended.
    pub fn must_run(&mut self) {
        let Daemons { etcd, api_server, controller_manager, scheduler, containerd, kubelet, proxy, dns } =
            self;
        for daemon in [etcd, api_server, controller_manager, scheduler, containerd, kubelet, proxy, dns] {
            daemon.must_run();
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

fn etcd(data: &str) -> Vec<String> {
    words(&[
        "--data-dir",
        &format!("{data}/data"),
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--logger=zap",
    ])
}

fn api_server(certificates: &str, directory: &str) -> Vec<String> {
    let keys = format!("{directory}keys");
    words(&[
        "--etcd-servers=http://127.0.0.1:2379",
        "--secure-port=6443",
        &format!("--advertise-address={NODE_ADDRESS}"),
        &format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        &format!("--cert-dir={certificates}"),
        &format!("--token-auth-file={directory}tokens.csv"),
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        &format!("--service-account-key-file={keys}/service-accounts.key"),
        &format!("--service-account-signing-key-file={keys}/service-accounts.key"),
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
        &format!("--kubelet-client-certificate={keys}/client.crt"),
        &format!("--kubelet-client-key={keys}/client.key"),
    ])
}

/// Waits until the API server says it is ready.
pub(super) fn wait_until_ready(directory: &Path, binaries: &Path, api_server: &mut Daemon) {
    let kubectl = binaries.join("kubectl").display().to_string();
    let ask = format!("--kubeconfig {} get --raw /readyz", directory.join("kubeconfig/admin").display());
    wait_for("the API server", STARTED_WITHIN, || {
        api_server.must_run();
        run(&kubectl, &ask).ok()
    });
}

/// Loads an image's archive.
pub(super) fn import(directory: &Path, archive: &Path) -> Result<(), String> {
    ctr(directory, &format!("-n k8s.io images import {}", archive.display())).map(drop)
}

/// Runs containerd's client.
pub(super) fn ctr(directory: &Path, command: &str) -> Result<String, String> {
    run("ctr", &format!("--address {} {command}", directory.join("containerd.sock").display()))
}

/// The group of all pods, below each controller (version 1) or at the top (version 2).
fn make_control_groups() -> Result<(), String> {
    let top = Path::new("/sys/fs/cgroup");
    let group = name();
    if top.join("cgroup.controllers").exists() {
        let path = top.join(&group);
        std::fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        return Ok(());
    }
    let controllers = std::fs::read_dir(top).map_err(|error| format!("no control groups: {error}"))?;
    for controller in controllers.flatten() {
        if !controller.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = controller.path().join(&group);
        std::fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        if controller.file_name() == "cpuset" {
            // Without processors and memory nothing can be put into it.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let all = std::fs::read(controller.path().join(file)).unwrap_or_default();
                let _ = std::fs::write(path.join(file), all);
            }
        }
    }
    Ok(())
}
