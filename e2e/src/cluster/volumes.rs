//! Volumes for claims, made by hand as there is no provisioner: a pool of directories on the node, kept
//! full in the background. A volume whose claim is gone is removed with its data.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

/// The default StorageClass.
pub const STORAGE_CLASS: &str = "local";
/// Volumes that wait for a claim.
const POOL: usize = 12;
/// What each claims to hold; nothing limits it.
const SIZE: &str = "10Gi";
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Volumes {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Volumes {
    /// Keeps the pool until it is dropped.
    pub fn keep(client: Client, runtime: tokio::runtime::Handle, directory: PathBuf) -> Volumes {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut next = 1;
            while !stopped.load(Ordering::Relaxed) {
                // The API server may be frozen or restarting: the next round will do.
                let _ = runtime.block_on(refill(&client, &directory, &mut next));
                std::thread::sleep(PAUSE);
            }
        });
        Volumes { stop, thread: Some(thread) }
    }
}

impl Drop for Volumes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The class, as an object.
pub(super) fn storage_class() -> serde_json::Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    })
}

async fn refill(client: &Client, directory: &std::path::Path, next: &mut u32) -> kube::Result<()> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let mut free = 0;
    for volume in volumes.list(&ListParams::default()).await? {
        let name = volume.metadata.name.unwrap_or_default();
        let phase = volume.status.and_then(|status| status.phase).unwrap_or_default();
        match phase.as_str() {
            "Released" | "Failed" => {
                volumes.delete(&name, &DeleteParams::default()).await?;
                let _ = fs::remove_dir_all(directory.join(&name));
            }
            "Bound" => {}
            _ => free += 1,
        }
    }
    for _ in free..POOL {
        let name = format!("volume-{next}");
        *next += 1;
        let path = directory.join(&name);
        let _ = fs::create_dir_all(&path);
        volumes.create(&PostParams::default(), &volume(&name, &path)).await?;
    }
    Ok(())
}

/// A `local` volume, not a `hostPath`: kubelet gives its directory to the pod's `fsGroup`. Any node may
/// use it, also those that a test made up.
fn volume(name: &str, path: &std::path::Path) -> PersistentVolume {
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": SIZE},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": STORAGE_CLASS,
            "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]},
            ]}},
        },
    });
    serde_json::from_value(volume).unwrap()
}
