//! Nodes without a machine: enough to see where the scheduler puts a pod, or why it cannot.

use std::collections::BTreeMap;

use serde_json::json;

use super::Cluster;

/// The taint that keeps other scenarios' pods away; a scenario's own pods must tolerate it.
const TAINT: &str = "qoeplane.io/no-machine";

/// A node to be made up.
#[derive(Clone, Debug)]
pub struct FakeNode {
    name: String,
    labels: BTreeMap<String, String>,
    cpu: String,
    memory: String,
    tainted: bool,
}

impl FakeNode {
    /// A node with 8 processors and 32 GiB, with the taint `qoeplane.io/no-machine:NoSchedule`.
    pub fn new(name: &str) -> FakeNode {
        let labels = [
            ("kubernetes.io/hostname", name),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
        ];
        FakeNode {
            name: name.to_string(),
            labels: labels.map(|(key, value)| (key.to_string(), value.to_string())).into(),
            cpu: "8".to_string(),
            memory: "32Gi".to_string(),
            tainted: true,
        }
    }

    /// Adds a label.
    pub fn label(mut self, key: &str, value: &str) -> FakeNode {
        self.labels.insert(key.to_string(), value.to_string());
        self
    }

    /// What it has, as Kubernetes writes quantities.
    pub fn capacity(mut self, cpu: &str, memory: &str) -> FakeNode {
        (self.cpu, self.memory) = (cpu.to_string(), memory.to_string());
        self
    }

    /// What a pod must have in `tolerations` to be put on such a node.
    pub fn toleration() -> serde_json::Value {
        json!({"key": TAINT, "operator": "Exists", "effect": "NoSchedule"})
    }

    /// Without the taint: only where no other scenario runs.
    pub fn untainted(mut self) -> FakeNode {
        self.tainted = false;
        self
    }
}

impl Cluster {
    /// Adds a node that has no machine; the scheduler binds pods to it, and they never start.
    pub fn add_fake_node(&self, node: &FakeNode) -> Result<(), String> {
        let mut taints = Vec::new();
        if node.tainted {
            taints.push(json!({"key": TAINT, "effect": "NoSchedule"}));
        }
        self.apply(
            &json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": node.name, "labels": node.labels},
                "spec": {"taints": taints},
            })
            .to_string(),
        )?;
        let capacity = json!({"cpu": node.cpu, "memory": node.memory, "pods": "110"});
        let now =
            self.kubectl(&["get", "node", &node.name, "-o", "jsonpath={.metadata.creationTimestamp}"])?;
        let status = json!({"status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "MadeUp", "message": "by a test",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            }],
        }});
        let patch = status.to_string();
        self.kubectl(&["patch", "node", &node.name, "--subresource=status", "--type=merge", "-p", &patch])?;
        // The taint of a new node is taken away by the node controller soon.
        super::wait_until("the new node to be usable", std::time::Duration::from_secs(180), || {
            let seen = self.kubectl(&["get", "node", &node.name, "-o", "jsonpath={.spec.taints[*].key}"])?;
            if seen.contains("not-ready") { Err(seen) } else { Ok(()) }
        });
        Ok(())
    }

    /// Removes it and the pods that were bound to it.
    pub fn remove_fake_node(&self, name: &str) -> Result<(), String> {
        self.kubectl(&["delete", "node", name, "--ignore-not-found"])?;
        let on_it = format!("spec.nodeName={name}");
        self.kubectl(&[
            "delete",
            "pods",
            "--all-namespaces",
            "--field-selector",
            &on_it,
            "--force",
            "--grace-period=0",
        ])
        .map(drop)
    }
}
