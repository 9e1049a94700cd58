//! `qoe operator`: the Kubernetes operator, as a process. Logs say which object and which reconcile.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use operator::collector::validated::Images;

use crate::logging;

/// Options of `qoe operator`.
#[derive(Args)]
pub struct Options {
    /// The only namespace to watch [default: all]
    #[arg(long, value_name = "NAMESPACE", env = "QOE_NAMESPACE")]
    namespace: Option<String>,
    /// Repository of the receivers' image; the tag is their version
    #[arg(long, value_name = "REPOSITORY", env = "QOE_RECEIVER_IMAGE", default_value = "qoeplane/qoe")]
    receiver_image: String,
    /// Image of ClickHouse servers, for collectors that name none
    #[arg(long, value_name = "IMAGE", env = "QOE_CLICKHOUSE_IMAGE", default_value = operator::CLICKHOUSE_IMAGE)]
    clickhouse_image: String,
    /// Newest version of receivers, the one that upgradePolicy Automatic moves to
    #[arg(long, value_name = "VERSION", env = "QOE_RECEIVER_VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    receiver_version: String,
    /// When nodes fetch the image: Always, IfNotPresent or Never
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    image_pull_policy: String,
    /// A Secret for the image's registry, in each collector's namespace; may be repeated
    #[arg(long = "image-pull-secret", value_name = "SECRET")]
    image_pull_secrets: Vec<String>,
    /// Address of /livez, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9401")]
    listen: SocketAddr,
    /// Namespace of the Lease that one active operator holds
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", default_value = "default")]
    lease_namespace: String,
    /// Name of this operator among others
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: Option<String>,
    /// Objects worked on at the same time, of each kind
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// How to reach the API server [default: as a pod, or as kubectl does]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// Runs until SIGTERM.
pub fn run(options: Options) -> anyhow::Result<()> {
    logging::start("info");
    let Options {
        namespace,
        receiver_image,
        clickhouse_image,
        receiver_version,
        image_pull_policy,
        image_pull_secrets,
        listen,
        lease_namespace,
        identity,
        concurrency,
        kubeconfig,
    } = options;
    let identity = identity.unwrap_or_else(|| format!("process-{}", std::process::id()));
    let images = Images {
        receiver_repository: receiver_image,
        clickhouse: clickhouse_image,
        pull_policy: image_pull_policy,
        pull_secrets: image_pull_secrets,
    };
    let options = operator::Options {
        namespace,
        images,
        receiver_version,
        listen,
        lease_namespace,
        identity,
        concurrency,
        kubeconfig,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(operator::run(options));
    // Questions to receivers may still wait for their answers, which nobody needs any more.
    runtime.shutdown_background();
    Ok(ended?)
}
