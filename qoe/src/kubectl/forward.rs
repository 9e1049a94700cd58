//! A port of a pod as a stream in this process, by way of the API server: what `kubectl port-forward` does, without
//! a port on this machine that others could use.

use anyhow::{bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Error, ResourceExt};
use tokio::io::DuplexStream;

use super::access::Access;

/// A forwarded port.
pub struct Forwarded {
    /// The connection.
    pub stream: DuplexStream,
    /// Becomes ready with the node's words if there is none behind it.
    pub refusal: Box<dyn Future<Output = Option<String>> + Unpin>,
}

/// The pod with this name; fails if it does not run.
pub async fn running_pod(access: &Access, name: &str) -> anyhow::Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(access.client.clone(), &access.namespace);
    match pods.get(name).await {
        Ok(pod) => {
            check_running(&pod)?;
            Ok(pod)
        }
        Err(Error::Api(status)) if status.code == 404 => bail!(
            "there is no pod {name} in namespace {}: kubectl qoe status says what is wanted and why it is not there",
            access.namespace
        ),
        Err(error) => Err(access.explain("get", &format!("pods/{name}"), error)),
    }
}

/// Fails if the pod does not run.
pub fn check_running(pod: &Pod) -> anyhow::Result<()> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Unknown");
    ensure!(
        phase == "Running",
        "the pod {name} does not run, its phase is {phase}: kubectl describe pod {name} -n {} says why",
        pod.namespace().unwrap_or_default(),
        name = pod.name_any()
    );
    Ok(())
}

/// Connects to a port of a running pod.
pub async fn connect(access: &Access, pod: &str, port: u16) -> anyhow::Result<Forwarded> {
    let pods: Api<Pod> = Api::namespaced(access.client.clone(), &access.namespace);
    let forwarded = pods.portforward(pod, &[port]).await;
    let mut forwarder =
        forwarded.map_err(|error| access.explain("get and create", "pods/portforward", error))?;
    let (Some(stream), Some(refusal)) = (forwarder.take_stream(port), forwarder.take_error(port)) else {
        bail!("port {port} of pod {pod} was not forwarded");
    };
    Ok(Forwarded { stream, refusal: Box::new(Box::pin(refusal)) })
}
