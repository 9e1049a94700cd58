//! One active operator, by a Lease. Whoever loses it, or cannot show that it still holds it, must end
//! its process: two operators that both think they are active would fight.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::health::Health;

/// Name of the Lease.
pub const LEASE: &str = "qoeplane-operator";
/// How long a silent holder keeps it, in seconds.
const DURATION_S: u64 = 30;
/// How long before its end it is renewed, in seconds.
const GRACE_S: u64 = 20;
/// How often the holder looks whether it still is.
const LOOK: Duration = Duration::from_secs(5);

/// Our part in the election.
pub struct Candidate {
    state: watch::Receiver<bool>,
    task: JoinHandle<kube_lease_manager::Result<kube_lease_manager::LeaseManager>>,
    leases: Api<Lease>,
    identity: String,
}

/// Why we are not the active operator any more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Somebody else is.
    #[error("the Lease {LEASE} is held by {0}")]
    Taken(String),
    /// Nobody could be asked for as long as the Lease lasts.
    #[error("the Lease {LEASE} could not be renewed for {DURATION_S} s: {0}")]
    Silent(String),
    /// The task that renews it has ended.
    #[error("the task that renews the Lease {LEASE} has ended")]
    Ended,
}

impl Candidate {
    /// Takes part; does not wait.
    ///
    /// # Errors
    /// The Lease can neither be read nor made.
    pub async fn new(
        client: Client,
        namespace: &str,
        identity: &str,
    ) -> Result<Candidate, LeaseManagerError> {
        let leases = Api::namespaced(client.clone(), namespace);
        let manager = LeaseManagerBuilder::new(client, LEASE)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(DURATION_S)
            .with_grace(GRACE_S)
            .build()
            .await?;
        let (state, task) = manager.watch().await;
        Ok(Candidate { state, task, leases, identity: identity.to_owned() })
    }

    /// Waits until we are the active operator.
    ///
    /// # Errors
    /// The task has ended.
    pub async fn elected(&mut self, health: &Health) -> Result<(), Lost> {
        while !*self.state.borrow_and_update() {
            tokio::select! {
                changed = self.state.changed() => changed.map_err(|_| Lost::Ended)?,
                () = tokio::time::sleep(LOOK) => {
                    if let Ok(Ok(_)) = tokio::time::timeout(LOOK, self.leases.get(LEASE)).await {
                        health.heard();
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits until we are not any more. What the task believes is not enough: with an API server that
    /// does not answer it would believe for ever.
    pub async fn lost(&mut self, health: &Health) -> Lost {
        let mut seen = Instant::now();
        let mut reason = String::from("no answer");
        loop {
            tokio::select! {
                changed = self.state.changed() => {
                    if changed.is_err() || !*self.state.borrow() {
                        return self.holder().await;
                    }
                }
                _ = &mut self.task => return Lost::Ended,
                () = tokio::time::sleep(LOOK) => {}
            }
            match tokio::time::timeout(LOOK, self.leases.get(LEASE)).await {
                Ok(Ok(lease)) => {
                    health.heard();
                    let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
                    if holder == self.identity {
                        seen = Instant::now();
                    } else if !holder.is_empty() {
                        return Lost::Taken(holder);
                    } else {
                        reason = "it has no holder".to_owned();
                    }
                }
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => reason = format!("no answer within {} s", LOOK.as_secs()),
            }
            if seen.elapsed() > Duration::from_secs(DURATION_S) {
                return Lost::Silent(reason);
            }
        }
    }

    async fn holder(&self) -> Lost {
        match tokio::time::timeout(LOOK, self.leases.get(LEASE)).await {
            Ok(Ok(lease)) => Lost::Taken(
                lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_else(|| "nobody".to_owned()),
            ),
            _ => Lost::Taken("another operator".to_owned()),
        }
    }

    /// Gives the Lease back, so that the next operator need not wait.
    pub async fn release(self) {
        let Candidate { state, task, leases: _, identity: _ } = self;
        drop(state);
        // With a frozen API server it simply expires.
        let _ = tokio::time::timeout(Duration::from_secs(3), task).await;
    }
}
