//! Finds the collector that is meant. It is read without its types, so that an operator that is older or newer than
//! this program is no obstacle.

use anyhow::{Context, bail};
use crds::ClickHouse;
use crds::kubernetes::Collector;
use crds::status::QoeCollectorStatus;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Error, ResourceExt};
use serde_json::{Value, json};

use super::access::Access;

/// Who writes, in `metadata.managedFields`.
const FIELD_MANAGER: &str = "kubectl-qoe";

/// One collector as it was read.
pub struct Found {
    object: DynamicObject,
    api: Api<DynamicObject>,
}

/// Reads the collectors of the namespace and chooses.
pub async fn find(access: &Access) -> anyhow::Result<Found> {
    let kind = ApiResource::erase::<Collector>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(access.client.clone(), &access.namespace, &kind);
    let list = match api.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(Error::Api(status)) if status.code == 404 => bail!(
            "this cluster has no QoeCollector: install Qoeplane (helm install, or kubectl apply --server-side -k manifests/cluster), or name another cluster with --context"
        ),
        Err(error) => return Err(access.explain("list", "qoecollectors.qoeplane.io", error)),
    };
    let names: Vec<String> = list.iter().map(ResourceExt::name_any).collect();
    let chosen = choose(&names, access.collector.as_deref(), &access.namespace)?;
    let object = list.into_iter().nth(chosen).context("the collector is gone")?;
    Ok(Found { object, api })
}

/// Which of these collectors is meant.
fn choose(names: &[String], wanted: Option<&str>, namespace: &str) -> anyhow::Result<usize> {
    let listed = names.join(", ");
    match (wanted, names) {
        (_, []) => bail!(
            "namespace {namespace} has no collector: name its namespace with -n (kubectl get qoecollectors -A)"
        ),
        (None, [_]) => Ok(0),
        (None, _) => {
            bail!("namespace {namespace} has several collectors, choose one with --collector: {listed}")
        }
        (Some(wanted), _) => names
            .iter()
            .position(|name| name == wanted)
            .with_context(|| format!("namespace {namespace} has no collector {wanted}, it has {listed}")),
    }
}

impl Found {
    /// Its name.
    pub fn name(&self) -> String {
        self.object.name_any()
    }

    /// Namespace and name, for people.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.object.namespace().unwrap_or_default(), self.name())
    }

    /// Its status as the operator wrote it; `null` if none has.
    pub fn status_value(&self) -> &Value {
        self.object.data.get("status").unwrap_or(&Value::Null)
    }

    /// Its status; the empty one if no operator has looked at it.
    pub fn status(&self) -> anyhow::Result<QoeCollectorStatus> {
        match self.status_value() {
            Value::Null => Ok(QoeCollectorStatus::default()),
            value => serde_json::from_value(value.clone()).with_context(|| {
                format!(
                    "the status of {} cannot be read: is the operator of another version?",
                    self.full_name()
                )
            }),
        }
    }

    /// Where its records are stored.
    pub fn clickhouse(&self) -> anyhow::Result<ClickHouse> {
        let value = self.object.data.pointer("/spec/clickhouse").cloned().unwrap_or_default();
        serde_json::from_value(value).with_context(|| {
            format!(
                "spec.clickhouse of {} cannot be read: is the operator newer than this program?",
                self.full_name()
            )
        })
    }

    /// Whether `spec.paused` is true.
    pub fn is_paused(&self) -> bool {
        self.object.data.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or_default()
    }

    /// `spec.approvals`.
    pub fn approvals(&self) -> Vec<String> {
        let listed = self.object.data.pointer("/spec/approvals").and_then(Value::as_array);
        let texts = listed.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }

    /// Whether the status speaks of the object as it is now.
    pub fn is_seen(&self, status: &QoeCollectorStatus) -> bool {
        status.observed_generation.is_some() && status.observed_generation == self.object.metadata.generation
    }

    /// Changes fields of `spec`, unless the object is no longer the one that was read.
    pub async fn patch_spec(&self, access: &Access, spec: Value) -> anyhow::Result<()> {
        let patch = json!({"metadata": {"resourceVersion": self.object.resource_version()}, "spec": spec});
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let resource = format!("qoecollectors.qoeplane.io/{}", self.name());
        match self.api.patch(&self.name(), &parameters, &Patch::Merge(&patch)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(access.explain("patch", &resource, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str], wanted: Option<&str>) -> Result<usize, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        choose(&names, wanted, "isp").map_err(|error| error.to_string())
    }

    #[test]
    fn the_only_collector_needs_no_name() {
        assert_eq!(chosen(&["main"], None), Ok(0));
        assert_eq!(chosen(&["lab", "main"], Some("main")), Ok(1));
    }

    #[test]
    fn what_is_not_clear_is_not_guessed() {
        let several = chosen(&["lab", "main"], None).unwrap_err();
        assert!(several.contains("--collector: lab, main"), "{several}");
        let other = chosen(&["lab", "main"], Some("test")).unwrap_err();
        assert!(other.contains("no collector test, it has lab, main"), "{other}");
        assert!(chosen(&[], Some("main")).unwrap_err().contains("-n"));
    }
}
