//! What the process is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::collector::validated::Images;

/// Settings of the operator process.
#[derive(Debug, Clone)]
pub struct Options {
    /// The only namespace that is watched; `None`: all of them.
    pub namespace: Option<String>,
    /// Where receivers' images come from.
    pub images: Images,
    /// Version that `upgradePolicy: Automatic` moves receivers to, and the newest that an object may ask for.
    pub receiver_version: String,
    /// Address of `/livez`, `/readyz` and `/metrics`.
    pub listen: SocketAddr,
    /// Namespace of the Lease.
    pub lease_namespace: String,
    /// Who we are among the operators: the pod's name.
    pub identity: String,
    /// Objects that are worked on at the same time, of each kind.
    pub concurrency: u16,
    /// How to reach the API server; `None`: as a pod, or as kubectl does.
    pub kubeconfig: Option<PathBuf>,
}
