//! The way to the API server, as kubectl finds it, and its refusals in words that say what to do.

use std::fmt::Display;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use kube::client::UpgradeConnectionError;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error};

/// Which cluster, namespace and collector is meant.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Namespace of the collector [default: that of the context]
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Name of the collector [default: the only one of the namespace]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub collector: Option<String>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig [default: $KUBECONFIG, else ~/.kube/config, else that of the pod]
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// A way to the API server.
pub struct Access {
    /// The API server.
    pub client: Client,
    /// Namespace that is asked for.
    pub namespace: String,
    /// Name of the collector that is asked for.
    pub collector: Option<String>,
}

impl Target {
    /// Finds the kubeconfig; nothing is asked of the API server yet.
    pub async fn access(&self) -> anyhow::Result<Access> {
        let config = self.config().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("the kubeconfig cannot be used")?;
        Ok(Access { client, namespace, collector: self.collector.clone() })
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let context = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        if let Some(path) = &self.kubeconfig {
            let what = format!("the kubeconfig {} cannot be used", path.display());
            let file = Kubeconfig::read_from(path).map_err(|error| unusable(&what, &error))?;
            let config = Config::from_custom_kubeconfig(file, &context).await;
            return config.map_err(|error| unusable(&what, &error));
        }
        if self.context.is_some() {
            let config = Config::from_kubeconfig(&context).await;
            return config.map_err(|error| unusable("the kubeconfig cannot be used", &error));
        }
        let config = Config::infer().await;
        let what = "no way to a cluster: name a kubeconfig with --kubeconfig or in $KUBECONFIG";
        config.map_err(|error| unusable(what, &error))
    }
}

/// Only the first line of why: the others may quote the kubeconfig, and with it a token.
fn unusable(what: &str, error: &impl Display) -> anyhow::Error {
    let words = error.to_string();
    anyhow!("{what}: {}", words.lines().next().unwrap_or_default())
}

impl Access {
    /// What a refusal of the API server means. `verb` and `resource` are the right that the request needs,
    /// such as `get` and `secrets/main-clickhouse-reader`.
    pub fn explain(&self, verb: &str, resource: &str, error: Error) -> anyhow::Error {
        explain(verb, resource, &self.namespace, error)
    }
}

fn explain(verb: &str, resource: &str, namespace: &str, error: Error) -> anyhow::Error {
    let code = match &error {
        Error::Api(status) => Some(status.code),
        Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) => Some(code.as_u16()),
        _ => None,
    };
    match code {
        Some(401) => anyhow!("the API server does not know you: log in to the cluster again"),
        Some(403) => anyhow!(
            "you may not {verb} {resource} in namespace {namespace}: ask who runs the cluster for the right to {verb} {}",
            resource.split_once('/').map_or(resource, |(kind, name)| match name {
                "portforward" => resource,
                _ => kind,
            })
        ),
        Some(404) => anyhow!("{resource} does not exist in namespace {namespace}"),
        Some(409) => anyhow!("{resource} has been changed by somebody else meanwhile: look at it and try again"),
        Some(_) => {
            let words = match &error {
                Error::Api(status) => status.message.clone(),
                other => other.to_string(),
            };
            anyhow!("the API server does not {verb} {resource} in namespace {namespace}: {words}")
        }
        None => anyhow::Error::new(error).context(format!(
            "cannot {verb} {resource}: the API server does not answer as it should, is the cluster of this context up?"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> String {
        let status = serde_json::json!({"code": code, "message": "its words"});
        let error = Error::Api(serde_json::from_value(status).map(Box::new).unwrap());
        format!("{:#}", explain("get", "secrets/x", "isp", error))
    }

    #[test]
    fn a_kubeconfig_that_cannot_be_read_is_not_quoted() {
        let text = "users:\n  - name: admin\n    user: {token: secret-token\ncontexts: []\n";
        let error = Kubeconfig::from_yaml(text).unwrap_err();
        let said = format!("{:?}", unusable("the kubeconfig x cannot be used", &error));
        assert!(said.starts_with("the kubeconfig x cannot be used: failed to parse"), "{said}");
        assert!(!said.contains("secret-token"), "{said}");
    }

    #[test]
    fn refusals_say_what_to_do() {
        assert!(refused(401).contains("log in"));
        let forbidden = refused(403);
        assert_eq!(
            forbidden,
            "you may not get secrets/x in namespace isp: ask who runs the cluster for the right to get secrets"
        );
        assert_eq!(refused(404), "secrets/x does not exist in namespace isp");
        assert!(refused(409).contains("try again"));
        assert!(refused(422).ends_with("its words"));
        let code = UpgradeConnectionError::ProtocolSwitch(::http::StatusCode::FORBIDDEN);
        let forward = explain("get and create", "pods/portforward", "isp", Error::UpgradeConnection(code));
        assert!(forward.to_string().ends_with("the right to get and create pods/portforward"), "{forward}");
    }
}
