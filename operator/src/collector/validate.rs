//! Whether a collector can be built, and if not, why in words. Pure.

use crds::clickhouse::ClickHouseKind;
use crds::kubernetes::Collector;
use crds::{QoeCollector, managed, validate};
use kube::ResourceExt;

use super::dereference::{Credentials, Missing};
use super::shards::Shards;
use super::validated::{ClickHouseEndpoint, Validated};

/// Why a collector cannot be built until its object, or one that it names, changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Reason of the condition.
    pub reason: &'static str,
    /// Field paths and what is wrong with them.
    pub message: String,
}

/// Longest list of problems in one message.
const MAX_PROBLEMS: usize = 20;

/// Everything checked. `closed` are the shards that nothing new is to be bound to.
///
/// # Errors
/// What a person has to change.
pub fn validate(
    object: &Collector,
    version: &str,
    credentials: Option<&Credentials>,
    missing: &[Missing],
    shards: &Shards,
    closed: &[u32],
) -> Result<Validated, Refused> {
    let spec = &object.spec;
    let name = object.name_any();
    let mut problems: Vec<String> =
        validate::collector(&QoeCollector::from(object)).iter().map(ToString::to_string).collect();
    if !problems.is_empty() {
        let more = problems.len().saturating_sub(MAX_PROBLEMS);
        problems.truncate(MAX_PROBLEMS);
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        return Err(Refused { reason: "Invalid", message: problems.join("; ") });
    }
    let (url, credentials_secret, ca_secret) = match spec.clickhouse.kind() {
        Some(ClickHouseKind::External(external)) => {
            let ca = external.tls.as_ref().and_then(|tls| tls.ca_secret_ref.as_ref());
            (
                external.endpoints.first(),
                external.credentials_secret_ref.name.clone(),
                ca.map(|ca| ca.name.clone()),
            )
        }
        Some(ClickHouseKind::Managed(_)) => (shards.urls.first(), managed::writer_secret(&name), None),
        Some(ClickHouseKind::Embedded(_)) => {
            return Err(refused(
                "NotOnKubernetes",
                "spec.clickhouse.embedded: runs beside `qoe up` on one machine only: use spec.clickhouse.managed",
            ));
        }
        None => {
            return Err(refused(
                "Invalid",
                "spec.clickhouse: expected exactly one of managed, external, embedded",
            ));
        }
    };
    if shards.is_shared() && !knows_shards(version) {
        return Err(refused(
            "Invalid",
            "spec.version: receivers before 0.5.0 store on one server: choose a newer version, or one shard",
        ));
    }
    if !missing.is_empty() {
        let lines: Vec<String> =
            missing.iter().map(|missing| format!("{}: {}", missing.path, missing.message)).collect();
        return Err(Refused { reason: "ReferenceNotFound", message: lines.join("; ") });
    }
    let (Some(url), Some(credentials)) = (url, credentials) else {
        return Err(refused("Invalid", "spec.clickhouse.external.endpoints: expected at least one address"));
    };
    let user = match spec.clickhouse.kind() {
        Some(ClickHouseKind::Managed(_)) => managed::WRITER.to_owned(),
        _ => credentials.user.clone(),
    };
    Ok(Validated {
        name,
        namespace: object.namespace().unwrap_or_default(),
        uid: object.uid().unwrap_or_default(),
        spec: spec.clone(),
        version: version.to_owned(),
        clickhouse: ClickHouseEndpoint {
            url: url.clone(),
            further_shards: shards.urls_in_use().skip(1).cloned().collect(),
            closed_shards: closed.to_vec(),
            user,
            database: spec.clickhouse.database.clone(),
            credentials_secret,
            ca_secret,
        },
    })
}

/// Receivers since 0.5.0 store on several servers.
fn knows_shards(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (0, 5)
}

fn refused(reason: &'static str, message: &str) -> Refused {
    Refused { reason, message: message.to_owned() }
}
