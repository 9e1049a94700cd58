//! Objects as JSON, by the API itself: a scenario asks several times a second, and starting `kubectl` each
//! time would take the machine's processors away from what is tested.

use std::time::Duration;

use kube::api::{GetParams, ListParams, Request};
use serde_json::Value;

use super::Cluster;

const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// Where the kinds are found that scenarios ask for; `kubectl` knows all others.
const KINDS: [(&str, &str, &str); 16] = [
    ("api/v1", "configmap", "configmaps"),
    ("api/v1", "event", "events"),
    ("api/v1", "persistentvolumeclaim", "persistentvolumeclaims"),
    ("api/v1", "pod", "pods"),
    ("api/v1", "secret", "secrets"),
    ("api/v1", "service", "services"),
    ("api/v1", "serviceaccount", "serviceaccounts"),
    ("apis/apps/v1", "deployment", "deployments"),
    ("apis/apps/v1", "statefulset", "statefulsets"),
    ("apis/coordination.k8s.io/v1", "lease", "leases"),
    ("apis/discovery.k8s.io/v1", "endpointslice", "endpointslices"),
    ("apis/networking.k8s.io/v1", "networkpolicy", "networkpolicies"),
    ("apis/policy/v1", "poddisruptionbudget", "poddisruptionbudgets"),
    ("apis/rbac.authorization.k8s.io/v1", "rolebinding", "rolebindings"),
    ("apis/qoeplane.io/v1alpha1", "qoecollector", "qoecollectors"),
    ("apis/qoeplane.io/v1alpha1", "qoedictionary", "qoedictionaries"),
];

impl Cluster {
    /// One object.
    pub(super) fn object(&self, namespace: &str, kind: &str, name: &str) -> Result<Value, String> {
        let Some(request) = request(namespace, kind) else {
            let text = self.kubectl(&["--namespace", namespace, "get", kind, name, "-o", "json"])?;
            return serde_json::from_str(&text).map_err(|error| error.to_string());
        };
        let request = request.get(name, &GetParams::default()).map_err(|error| error.to_string())?;
        self.ask(request)
    }

    /// All objects of a kind with the labels.
    pub(super) fn objects(&self, namespace: &str, kind: &str, labels: &str) -> Result<Vec<Value>, String> {
        let Some(request) = request(namespace, kind) else {
            let text = self.kubectl(&["--namespace", namespace, "get", kind, "-l", labels, "-o", "json"])?;
            let list: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            return Ok(list["items"].as_array().cloned().unwrap_or_default());
        };
        let parameters = ListParams::default().labels(labels);
        let request = request.list(&parameters).map_err(|error| error.to_string())?;
        Ok(self.ask(request)?["items"].as_array().cloned().unwrap_or_default())
    }

    fn ask(&self, request: http::Request<Vec<u8>>) -> Result<Value, String> {
        let client = self.client();
        let answer = self.block_on(async {
            tokio::time::timeout(ANSWERED_WITHIN, client.request::<Value>(request)).await
        });
        match answer {
            Ok(Ok(object)) => Ok(object),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the API server did not answer within {} s", ANSWERED_WITHIN.as_secs())),
        }
    }
}

fn request(namespace: &str, kind: &str) -> Option<Request> {
    let kind = kind.to_lowercase();
    let (group, _, plural) = KINDS.iter().find(|(_, one, many)| kind == *one || kind == *many)?;
    Some(Request::new(format!("/{group}/namespaces/{namespace}/{plural}")))
}
