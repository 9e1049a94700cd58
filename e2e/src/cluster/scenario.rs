//! One scenario's part of the cluster: a namespace, and what is asked of objects in it.

use std::time::Duration;

use serde_json::Value;

use super::{Cluster, Operator, report, wait_until};

/// A namespace of its own. It is deleted when the scenario ends.
pub struct Scenario {
    /// The cluster.
    pub cluster: &'static Cluster,
    /// The namespace's name.
    pub namespace: String,
}

impl Scenario {
    /// Makes the namespace; Restricted Pod Security is enforced in it, as careful users do.
    pub fn new(cluster: &'static Cluster, namespace: &str) -> Scenario {
        let text = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": namespace,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        });
        cluster.apply(&text.to_string()).unwrap();
        let scenario = Scenario { cluster, namespace: namespace.to_string() };
        wait_until("the default service account", Duration::from_secs(180), || {
            scenario.kubectl(&["get", "serviceaccount", "default"])
        });
        scenario
    }

    /// `kubectl` in this namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(arguments);
        self.cluster.kubectl(&all)
    }

    /// Applies YAML or JSON documents, which must be accepted.
    pub fn apply(&self, text: &str) {
        self.try_apply(text).unwrap_or_else(|error| panic!("not accepted: {error}\n{text}"));
    }

    /// Applies YAML or JSON documents; why they are refused.
    pub fn try_apply(&self, text: &str) -> Result<String, String> {
        self.cluster.apply_in(&self.namespace, text)
    }

    /// An object as JSON: `get("statefulset", "main-dpi-0")`.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value, String> {
        self.cluster.object(&self.namespace, kind, name)
    }

    /// All objects of a kind, those with the labels `selector` (empty: all).
    pub fn list(&self, kind: &str, selector: &str) -> Result<Vec<Value>, String> {
        self.cluster.objects(&self.namespace, kind, selector)
    }

    /// Waits until a pod is ready.
    pub fn wait_ready(&self, pod: &str, deadline: Duration) {
        wait_until(&format!("pod {pod} to be ready"), deadline, || {
            let pod = self.get("pod", pod)?;
            let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
            if ready { Ok(()) } else { Err(pod["status"].to_string()) }
        });
    }

    /// The cluster address of a Service, which is reached from this program too.
    pub fn service_address(&self, service: &str) -> String {
        wait_until(&format!("the address of {service}"), Duration::from_secs(180), || {
            match self.get("service", service)?["spec"]["clusterIP"].as_str() {
                Some(address) if address != "None" && !address.is_empty() => Ok(address.to_string()),
                other => Err(format!("{other:?}")),
            }
        })
    }

    /// A pod's log.
    pub fn pod_log(&self, pod: &str) -> Result<String, String> {
        self.kubectl(&["logs", pod])
    }

    /// Kills a pod's container (SIGKILL).
    pub fn kill_container(&self, pod: &str) {
        self.cluster.kill_container(&self.namespace, pod).unwrap();
    }

    /// Starts an operator for this namespace only; `options` come after `--namespace NAMESPACE`.
    pub fn start_operator(&self, options: &[&str]) -> Operator {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(options);
        Operator::start(self.cluster, &all)
    }

    /// What a person would look at after a failure.
    pub fn report(&self) -> String {
        report::of(self)
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        // Not waited for: pods may take their time. The name is never used again.
        let _ = self.cluster.kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}
