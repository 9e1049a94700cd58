//! `kubectl qoe ledger`: the three balances of each stream, asked of each receiver itself. Exact, where the status of
//! the object is rounded and a minute old.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use crds::receiver::Status;
use http::Request;
use http_body_util::Full;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use operator::collector::build::{COLLECTOR_LABEL, DPI_LABEL, HTTP_PORT_NAME};
use operator::collector::receivers::http_port;

use super::access::Access;
use super::{collector, forward, http as over_stream, print};
use crate::ledger::{Output, text};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// Options of `kubectl qoe ledger`.
#[derive(Args)]
pub struct Options {
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints the balances. Fails, after those of the others, if a receiver does not answer.
pub async fn run(access: &Access, options: &Options) -> anyhow::Result<()> {
    let found = collector::find(access).await?;
    let pods = receivers(access, &found.name()).await?;
    if pods.is_empty() {
        bail!("{} has no receivers: kubectl qoe status says why", found.full_name());
    }
    let mut answered = Vec::new();
    let mut silent = Vec::new();
    for (dpi, pod) in &pods {
        match ask(access, pod).await {
            Ok(status) => answered.push(status),
            Err(error) => silent.push(format!("dpi {dpi}: {error:#}")),
        }
    }
    match options.output {
        Output::Json => print(&format!("{}\n", serde_json::to_string_pretty(&answered)?)),
        Output::Text => answered.iter().for_each(|status| print(&text(status))),
    }
    if !silent.is_empty() {
        bail!("{} of {} receivers did not answer: {}", silent.len(), pods.len(), silent.join("; "));
    }
    Ok(())
}

/// The pods of the receivers by DPI.
async fn receivers(access: &Access, collector: &str) -> anyhow::Result<BTreeMap<u16, Pod>> {
    let api: Api<Pod> = Api::namespaced(access.client.clone(), &access.namespace);
    let selector = format!("{COLLECTOR_LABEL}={collector},{DPI_LABEL}");
    let pods = api.list(&ListParams::default().labels(&selector)).await;
    let pods = pods.map_err(|error| access.explain("list", "pods", error))?;
    let dpi = |pod: &Pod| pod.labels().get(DPI_LABEL).and_then(|dpi| dpi.parse().ok());
    Ok(pods.items.into_iter().filter_map(|pod| Some((dpi(&pod)?, pod))).collect())
}

async fn ask(access: &Access, pod: &Pod) -> anyhow::Result<Status> {
    forward::check_running(pod)?;
    let name = pod.name_any();
    let port = http_port(pod).with_context(|| format!("the pod {name} has no port {HTTP_PORT_NAME}"))?;
    let request = Request::get("/status").body(Full::new(Bytes::new()))?;
    let answer = over_stream::ask_pod(access, &name, port, request).await?;
    let is_answer = answer.status().is_success();
    let text = over_stream::text(answer.into_body(), MAX_ANSWER).await?;
    if !is_answer {
        bail!("the receiver {name} answers: {}", text.trim_end());
    }
    serde_json::from_str(&text)
        .with_context(|| format!("the status of the receiver {name} cannot be read: is it another version?"))
}
