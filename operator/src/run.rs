//! The operator process from its start to its end: API server, health, Lease, controllers. Ends by
//! itself when the Lease is lost, within seconds when it is told to.

use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};

use crate::context::Context;
use crate::controllers;
use crate::health::{self, Health};
use crate::lease::{Candidate, Lost};
use crate::metrics::Metrics;
use crate::options::Options;

/// How long one answer may take that the Lease depends on.
const LEASE_TIMEOUT: Duration = Duration::from_secs(8);
/// How long to wait before the Lease is asked for again.
const LEASE_PAUSE: Duration = Duration::from_secs(3);

/// Why the operator has ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No way to the API server is configured.
    #[error("there is no way to a Kubernetes API server: run in a pod, or give --kubeconfig: {0}")]
    Config(String),
    /// The client cannot be made.
    #[error("the client of the API server cannot be made: {0}")]
    Client(#[source] Box<kube::Error>),
    /// We are not the active operator any more.
    #[error("not the active operator any more: {0}")]
    Lost(#[from] Lost),
    /// Health cannot be served.
    #[error("cannot serve health and metrics on {address}: {source}")]
    Health {
        /// The address.
        address: std::net::SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The controllers have ended, which they never should.
    #[error("the controllers have ended")]
    Controllers,
    /// Signals cannot be taken.
    #[error("signals cannot be taken: {0}")]
    Signals(#[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Everything after which the process should be started again.
pub async fn run(options: Options) -> Result<(), RunError> {
    let config = config(&options).await?;
    let mut lease_config = config.clone();
    lease_config.read_timeout = Some(LEASE_TIMEOUT);
    let client = Client::try_from(config).map_err(|error| RunError::Client(Box::new(error)))?;
    let lease_client = Client::try_from(lease_config).map_err(|error| RunError::Client(Box::new(error)))?;

    let metrics = Arc::new(Metrics::new());
    let health = Arc::new(Health::new(metrics.clone()));
    let address = options.listen;
    let stop = stop_signal()?;
    tokio::select! {
        ended = work(options, client, lease_client, health.clone(), stop) => ended,
        served = health::serve(address, health.clone()) => {
            let source = served.err().unwrap_or_else(|| std::io::Error::other("the server has ended"));
            Err(RunError::Health { address, source })
        }
    }
}

/// Becomes ready with the first SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    })
}

/// Waits for the Lease, then works until it is lost or `stop` is ready.
async fn work(
    options: Options,
    client: Client,
    lease_client: Client,
    health: Arc<Health>,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let mut stop = std::pin::pin!(stop);
    let candidate = candidate(lease_client, &options.lease_namespace, &options.identity);
    let mut candidate = tokio::select! {
        candidate = candidate => candidate,
        () = &mut stop => return Ok(()),
    };
    let ended = tokio::select! {
        ended = lead(&mut candidate, options, client, &health) => ended,
        () = &mut stop => Ok(()),
    };
    // Whatever was being done is harmless when it is cut off: an apply is repeated by the next operator,
    // a schema step is recorded before and after.
    candidate.release().await;
    ended
}

/// Takes part in the election as soon as the API server lets us: it may be starting itself.
async fn candidate(client: Client, namespace: &str, identity: &str) -> Candidate {
    loop {
        match Candidate::new(client.clone(), namespace, identity).await {
            Ok(candidate) => return candidate,
            Err(error) => tracing::warn!(
                namespace,
                %error,
                "the Lease can neither be read nor made; it is tried again: does the API server answer, and may we?"
            ),
        }
        tokio::time::sleep(LEASE_PAUSE).await;
    }
}

async fn lead(
    candidate: &mut Candidate,
    options: Options,
    client: Client,
    health: &Arc<Health>,
) -> Result<(), RunError> {
    // A standby needs no caches.
    health.set_synced(true);
    tracing::info!(identity = options.identity, "waiting for the Lease");
    candidate.elected(health).await?;
    health.set_synced(false);
    health.metrics.leader.set(1);
    tracing::info!(identity = options.identity, version = env!("CARGO_PKG_VERSION"), "active");
    let context = Arc::new(Context::new(client, options, health.metrics.clone()));
    tokio::select! {
        lost = candidate.lost(health) => Err(RunError::Lost(lost)),
        () = controllers::run(context, health.clone()) => Err(RunError::Controllers),
    }
}

async fn config(options: &Options) -> Result<Config, RunError> {
    let Some(path) = &options.kubeconfig else {
        return Config::infer().await.map_err(|error| RunError::Config(error.to_string()));
    };
    let file = Kubeconfig::read_from(path)
        .map_err(|error| RunError::Config(format!("{}: {error}", path.display())))?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|error| RunError::Config(format!("{}: {error}", path.display())))
}
