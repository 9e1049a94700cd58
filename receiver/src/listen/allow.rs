//! Who may send. Can be changed while the listener runs; the listener looks once a round and keeps a copy,
//! so that no datagram waits for a lock.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crds::Network;

use crate::journal::lock;

/// Networks that may send; none means everybody.
#[derive(Default)]
pub struct Allowed {
    networks: Mutex<Arc<Vec<Network>>>,
}

/// The networks as of one moment.
#[derive(Clone)]
pub struct AllowedNow(Arc<Vec<Network>>);

impl Allowed {
    /// These may send; if there is none, everybody.
    pub fn new(networks: Vec<Network>) -> Arc<Allowed> {
        Arc::new(Allowed { networks: Mutex::new(Arc::new(networks)) })
    }

    /// From now on these may send.
    pub fn replace(&self, networks: Vec<Network>) {
        let mut current = lock(&self.networks);
        if **current != networks {
            *current = Arc::new(networks);
        }
    }

    /// As of now.
    pub fn now(&self) -> AllowedNow {
        AllowedNow(lock(&self.networks).clone())
    }
}

impl AllowedNow {
    /// Whether this address may send.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.0.is_empty() || self.0.iter().any(|network| network.contains(address))
    }

    /// Whether nothing has changed since `other`.
    pub fn is(&self, other: &AllowedNow) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
