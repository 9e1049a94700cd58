//! Asks each receiver for its status. A receiver that does not answer is an observation, not an error.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::receiver::Status;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::build::{DPI_LABEL, HTTP_PORT_NAME};

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 4 << 20;
/// Receivers that are asked at the same time.
const AT_ONCE: usize = 16;

/// What is known of the receiver of one DPI.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Its pod.
    pub pod: Option<Pod>,
    /// Its answer, or why there is none.
    pub status: Option<Result<Status, String>>,
}

/// Finds the pod of each DPI and asks it.
pub async fn ask(pods: &[Pod]) -> BTreeMap<u16, Seen> {
    let mut questions = Vec::new();
    for pod in pods {
        if let Some(dpi) = pod.labels().get(DPI_LABEL).and_then(|dpi| dpi.parse::<u16>().ok()) {
            questions.push((dpi, pod.clone()));
        }
    }
    let mut answers = futures::stream::iter(questions)
        .map(|(dpi, pod)| async move {
            let status = match address(&pod) {
                Some(address) => Some(status(address).await),
                None => None,
            };
            (dpi, Seen { pod: Some(pod), status })
        })
        .buffer_unordered(AT_ONCE);
    let mut seen = BTreeMap::new();
    while let Some((dpi, answer)) = answers.next().await {
        // While a pod is replaced there may be two: the one that answers tells more.
        let better = |old: &Seen| matches!(answer.status, Some(Ok(_))) || !matches!(old.status, Some(Ok(_)));
        if seen.get(&dpi).is_none_or(better) {
            seen.insert(dpi, answer);
        }
    }
    seen
}

/// Where a running pod answers: `host:port`.
fn address(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Running") {
        return None;
    }
    let ip = status.pod_ip.as_deref().filter(|ip| !ip.is_empty())?;
    let port = http_port(pod)?;
    Some(if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") })
}

/// Port of a receiver's `/status`: in the node's network each has one of its own.
pub fn http_port(pod: &Pod) -> Option<u16> {
    let containers = &pod.spec.as_ref()?.containers;
    let mut ports = containers.iter().filter_map(|container| container.ports.as_ref()).flatten();
    let port = ports.find(|port| port.name.as_deref() == Some(HTTP_PORT_NAME))?;
    u16::try_from(port.container_port).ok()
}

async fn status(address: String) -> Result<Status, String> {
    let answer = tokio::task::spawn_blocking(move || get(&address));
    match answer.await {
        Ok(answer) => answer,
        Err(error) => Err(error.to_string()),
    }
}

fn get(address: &str) -> Result<Status, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .proxy(None)
        .max_redirects(0)
        .build()
        .into();
    let answer = agent.get(format!("http://{address}/status")).call();
    let mut answer = answer.map_err(|error| format!("http://{address}/status: {error}"))?;
    let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
    let text = text.map_err(|error| format!("http://{address}/status: {error}"))?;
    serde_json::from_str(&text)
        .map_err(|error| format!("http://{address}/status is not a receiver's: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_by_its_name() {
        let pod = |name: &str| -> Pod {
            serde_json::from_value(serde_json::json!({"metadata": {}, "spec": {"containers": [{
                "name": "receiver",
                "ports": [{"name": "p1500-tcp", "containerPort": 1500}, {"name": name, "containerPort": 9403}],
            }]}}))
            .unwrap()
        };
        assert_eq!(http_port(&pod("http")), Some(9403));
        assert_eq!(http_port(&pod("other")), None);
    }
}
