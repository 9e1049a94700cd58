//! Volumes for claims, made by hand as there is no provisioner: a thread gives each claim that a pod waits
//! for a volume of exactly the size that it asks for, makes it larger when the claim grows, and removes it
//! with its data when the claim is gone. It touches nothing but its own directory and classes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::namespace::run;

/// The default StorageClass: directories on the node's disk, which nothing limits.
pub const STORAGE_CLASS: &str = "local";
/// The StorageClass whose volumes are file systems in memory, of the claim's size to the byte: they fill up.
/// What is in them counts as memory of the container that wrote it.
pub const SMALL_STORAGE_CLASS: &str = "small";
/// As the default one, but its volumes keep the size that they were made with.
pub const FIXED_STORAGE_CLASS: &str = "fixed";
const CLASSES: [&str; 3] = [STORAGE_CLASS, SMALL_STORAGE_CLASS, FIXED_STORAGE_CLASS];
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Volumes {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Volumes {
    /// Serves claims until it is dropped.
    pub fn keep(client: Client, runtime: tokio::runtime::Handle, directory: PathBuf) -> Volumes {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // The API server may be frozen or restarting: the next round will do.
                let _ = runtime.block_on(serve(&client, &directory));
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

/// The classes, as one object.
pub(super) fn storage_classes() -> serde_json::Value {
    let class = |name: &str| {
        let is_default = name == STORAGE_CLASS;
        json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": name,
                "annotations": {"storageclass.kubernetes.io/is-default-class": is_default.to_string()},
            },
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": name != FIXED_STORAGE_CLASS,
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": CLASSES.map(class),
    })
}

/// One round. What fails is tried again in the next one.
async fn serve(client: &Client, directory: &Path) -> kube::Result<()> {
    let all = ListParams::default();
    let api: Api<PersistentVolume> = Api::all(client.clone());
    let mut volumes = BTreeMap::new();
    for volume in api.list(&all).await? {
        let name = volume.name_any();
        let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Released" | "Failed")) {
            api.delete(&name, &DeleteParams::default()).await?;
            remove(&directory.join(&name));
        } else {
            volumes.insert(name, volume);
        }
    }
    let claims: Vec<_> = Api::<PersistentVolumeClaim>::all(client.clone())
        .list(&all)
        .await?
        .items
        .into_iter()
        .filter_map(Claim::of)
        .collect();
    if claims.iter().any(|claim| claim.volume.is_none()) {
        let awaited = awaited(client).await?;
        for claim in claims.iter().filter(|claim| claim.volume.is_none()) {
            let name = format!("volume-{}", claim.uid);
            if awaited.contains(&(claim.namespace.clone(), claim.name.clone()))
                && !volumes.contains_key(&name)
            {
                let path = directory.join(&name);
                if let Err(error) = make(&path, claim) {
                    eprintln!("no volume for the claim {}: {error}", claim.name);
                    continue;
                }
                api.create(&PostParams::default(), &volume(&name, &path, claim)).await?;
            }
        }
    }
    for claim in &claims {
        let volume = claim.volume.as_ref().and_then(|name| volumes.get(name));
        if let Some(volume) = volume {
            grow(client, directory, claim, volume).await?;
        }
    }
    Ok(())
}

/// A claim of one of our classes.
struct Claim {
    namespace: String,
    name: String,
    uid: String,
    class: String,
    asked: Quantity,
    has: Option<Quantity>,
    volume: Option<String>,
}

impl Claim {
    fn of(claim: PersistentVolumeClaim) -> Option<Claim> {
        let (namespace, name, uid) = (claim.namespace()?, claim.name_any(), claim.uid()?);
        let spec = claim.spec?;
        let class = spec.storage_class_name?;
        if !CLASSES.contains(&class.as_str()) {
            return None;
        }
        let asked = spec.resources?.requests?.remove("storage")?;
        let has = claim.status.and_then(|status| status.capacity?.remove("storage"));
        Some(Claim { namespace, name, uid, class, asked, has, volume: spec.volume_name })
    }
}

/// Claims that a pod waits for, by namespace and name: earlier no volume is given.
async fn awaited(client: &Client) -> kube::Result<BTreeSet<(String, String)>> {
    let waiting = ListParams::default().fields("status.phase=Pending");
    let mut awaited = BTreeSet::new();
    for pod in Api::<Pod>::all(client.clone()).list(&waiting).await? {
        let namespace = pod.namespace().unwrap_or_default();
        let volumes = pod.spec.and_then(|spec| spec.volumes).unwrap_or_default();
        for claim in volumes.into_iter().filter_map(|volume| volume.persistent_volume_claim) {
            awaited.insert((namespace.clone(), claim.claim_name));
        }
    }
    Ok(awaited)
}

fn bytes(quantity: &Quantity) -> u64 {
    let parsed: Result<crds::Quantity, _> = quantity.0.parse();
    parsed.ok().and_then(|quantity| quantity.bytes()).unwrap_or_default()
}

fn make(path: &Path, claim: &Claim) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| error.to_string())?;
    let path = path.display().to_string();
    // An earlier round may have come this far.
    if claim.class == SMALL_STORAGE_CLASS && run("findmnt", &path).is_err() {
        run("mount", &format!("-t tmpfs -o mode=0755,size={} tmpfs {path}", bytes(&claim.asked)))?;
    }
    Ok(())
}

fn remove(path: &Path) {
    // Fails for a directory that is none.
    let _ = run("umount", &path.display().to_string());
    let _ = fs::remove_dir_all(path);
}

/// Plays the part of the storage's own controller for a claim that asks for more than it has.
async fn grow(
    client: &Client,
    directory: &Path,
    claim: &Claim,
    volume: &PersistentVolume,
) -> kube::Result<()> {
    let wanted = bytes(&claim.asked);
    let capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage"));
    if capacity.is_some_and(|capacity| bytes(capacity) < wanted) {
        let name = volume.name_any();
        if claim.class == SMALL_STORAGE_CLASS {
            let path = directory.join(&name);
            let grown = run("mount", &format!("-o remount,size={wanted} {}", path.display()));
            if let Err(error) = grown {
                eprintln!("{name} does not grow: {error}");
                return Ok(());
            }
        }
        let patch = Patch::Merge(json!({"spec": {"capacity": {"storage": claim.asked}}}));
        Api::<PersistentVolume>::all(client.clone()).patch(&name, &PatchParams::default(), &patch).await?;
    }
    if claim.has.as_ref().is_some_and(|has| bytes(has) < wanted) {
        let patch = Patch::Merge(json!({"status": {"capacity": {"storage": claim.asked}}}));
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &claim.namespace);
        claims.patch_status(&claim.name, &PatchParams::default(), &patch).await?;
    }
    Ok(())
}

/// A `local` volume, not a `hostPath`: kubelet gives its directory to the pod's `fsGroup`. Any node may
/// use it, also those that a test made up. It is for this claim and no other.
fn volume(name: &str, path: &Path, claim: &Claim) -> PersistentVolume {
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": claim.asked},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": claim.class,
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace, "name": claim.name, "uid": claim.uid,
            },
            "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]},
            ]}},
        },
    });
    serde_json::from_value(volume).unwrap()
}
