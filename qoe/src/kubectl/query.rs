//! `kubectl qoe query`: SQL to a ClickHouse that the operator runs, as the user that may only read unless another Secret
//! is named. The answer as it comes, errors in ClickHouse's own words.

use std::io::{self, Write};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use crds::clickhouse::{ClickHouse, ClickHouseKind};
use crds::managed;
use http::Request;
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Error};

use super::access::Access;
use super::{collector, forward, http as over_stream};
use crate::query::{PATH, Question, Statement, written};

/// The longest error that is shown, in bytes.
const MAX_ERROR: usize = 1 << 20;

/// Options of `kubectl qoe query`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    statement: Statement,
    /// Secret with the keys username and password [default: that of the user who may only read]
    #[arg(long, value_name = "NAME")]
    user_secret: Option<String>,
    /// The server that is asked; each answers for all of them
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    shard: u32,
}

/// Sends the statement and copies the answer to standard output.
pub async fn run(access: &Access, options: &Options) -> anyhow::Result<()> {
    let found = collector::find(access).await?;
    let clickhouse = found.clickhouse()?;
    check_managed(&clickhouse, &found.full_name())?;
    let name = found.name();
    let sql = options.statement.sql()?;
    let pod = managed::pod_name(&name, options.shard);
    forward::running_pod(access, &pod).await?;
    let secret = options.user_secret.clone().unwrap_or_else(|| managed::reader_secret(&name));
    let (user, password) = login(access, &secret).await?;
    let question = Question {
        database: options.statement.database.as_ref().unwrap_or(&clickhouse.database),
        format: &options.statement.format,
        user: &user,
        password: &password,
    };
    let mut request = Request::post(PATH);
    for (name, value) in question.headers() {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(sql)));
    let request = request.context("the login, the database or the format cannot be sent")?;
    let answer = over_stream::ask_pod(access, &pod, managed::HTTP_PORT, request).await?;
    let is_answer = answer.status().is_success();
    let mut body = answer.into_body();
    if !is_answer {
        bail!("{}", over_stream::text(body, MAX_ERROR).await?.trim_end());
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the answer was cut off")?;
        let Some(data) = frame.data_ref() else { continue };
        let result = io::stdout().lock().write_all(data);
        if result.is_err() {
            return written(result);
        }
    }
    written(io::stdout().lock().flush())
}

/// Fails if the operator does not run this ClickHouse.
fn check_managed(clickhouse: &ClickHouse, collector: &str) -> anyhow::Result<()> {
    match clickhouse.kind() {
        Some(ClickHouseKind::Managed(_)) => Ok(()),
        Some(ClickHouseKind::External(external)) => bail!(
            "the ClickHouse of {collector} is not run by the operator: ask it directly, at {}, as the user of Secret {}",
            external.endpoints.join(", "),
            external.credentials_secret_ref.name
        ),
        Some(ClickHouseKind::Embedded(_)) | None => {
            bail!(
                "{collector} has no ClickHouse on Kubernetes: kubectl qoe status says what is wrong with it"
            )
        }
    }
}

async fn login(access: &Access, name: &str) -> anyhow::Result<(String, String)> {
    let secrets: Api<Secret> = Api::namespaced(access.client.clone(), &access.namespace);
    let secret = match secrets.get(name).await {
        Ok(secret) => secret,
        Err(Error::Api(status)) if status.code == 404 => bail!(
            "there is no Secret {name} in namespace {}: the operator makes that of {} with the server, another is named with --user-secret",
            access.namespace,
            managed::READER
        ),
        Err(error) => return Err(access.explain("get", &format!("secrets/{name}"), error)),
    };
    let data = secret.data.unwrap_or_default();
    let text = |key: &str| {
        let bytes = data.get(key).with_context(|| format!("Secret {name} has no key {key}"))?;
        let text = String::from_utf8(bytes.0.clone());
        Ok::<_, anyhow::Error>(
            text.with_context(|| format!("key {key} of Secret {name} is not text"))?.trim().to_owned(),
        )
    };
    Ok((text("username")?, text("password")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(clickhouse: serde_json::Value) -> String {
        let clickhouse: ClickHouse = serde_json::from_value(clickhouse).unwrap();
        check_managed(&clickhouse, "isp/main").unwrap_err().to_string()
    }

    #[test]
    fn only_our_own_server_is_asked() {
        let managed = serde_json::from_str(r#"{"managed": {}}"#).unwrap();
        assert!(check_managed(&managed, "isp/main").is_ok());
        let external = serde_json::json!({"external": {
            "endpoints": ["https://ch.example.org:8443"], "credentialsSecretRef": {"name": "clickhouse"},
        }});
        let external = refusal(external);
        assert!(
            external.contains("at https://ch.example.org:8443, as the user of Secret clickhouse"),
            "{external}"
        );
        assert!(refusal(serde_json::json!({"embedded": {}})).contains("kubectl qoe status"));
    }
}
