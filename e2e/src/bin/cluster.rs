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
    let _runs = match start() {
        Ok(cluster) => cluster,
        Err(reason) => {
            eprintln!("the cluster could not be started: {reason}");
            return ExitCode::FAILURE;
        }
    };
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Starts it and says how to use it.
fn start() -> Result<Cluster, String> {
    let cluster = Cluster::start(Reach::Machine)?;
    cluster.name_images_as_users_do()?;
    let (kubeconfig, [ours, theirs]) = (cluster.kubeconfig(), cluster.programs_of_a_person()?);
    println!("A Kubernetes cluster runs on {NODE_ADDRESS} until Ctrl-C. In another terminal:\n");
    println!(
        "  export KUBECONFIG={} PATH={}:{}:$PATH\n",
        kubeconfig.display(),
        ours.display(),
        theirs.display()
    );
    println!(
        "It has the images that manifests/ ask for: go on with \"The operator\" in docs/install.md, or apply"
    );
    println!("manifests/crds and run `qoe operator` yourself.");
    println!("Pods (198.18.0.0/24) and Services (198.19.0.0/24) are reached from this machine.");
    println!("Logs: {}", cluster.directory().join("logs").display());
    Ok(cluster)
}
