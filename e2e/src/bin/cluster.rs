//! `cluster up`: a cluster for a person, until Ctrl-C.
#![allow(clippy::print_stdout, reason = "this is the program's output")]

use std::process::ExitCode;
use std::time::Duration;

use e2e::cluster::{Cluster, NODE_ADDRESS, Reach, inside};

fn main() -> ExitCode {
    if !std::env::args().skip(1).eq(["up".to_string()]) {
        eprintln!("usage: cluster up");
        return ExitCode::from(2);
    }
    inside(Reach::Machine, up)
}

fn up() -> ExitCode {
    let cluster = match Cluster::start(Reach::Machine) {
        Ok(cluster) => cluster,
        Err(reason) => {
            eprintln!("the cluster could not be started: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let (kubeconfig, binaries) = (cluster.kubeconfig(), cluster.binaries().to_owned());
    println!("A Kubernetes cluster runs on {NODE_ADDRESS} until Ctrl-C. In another terminal:\n");
    println!("  export KUBECONFIG={} PATH={}:$PATH", kubeconfig.display(), binaries.display());
    println!("  kubectl get nodes");
    println!("  kubectl apply --server-side -f crds/manifests/");
    println!("  qoe operator                       # or in a pod, image {}\n", e2e::cluster::IMAGE);
    println!("Pods (198.18.0.0/24) and Services (198.19.0.0/24) are reached from this machine.");
    println!("Logs: {}", cluster.directory().join("logs").display());
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
