//! Whether a collector can be built, and if not, why in words. Pure.

use crds::clickhouse::ClickHouseKind;
use crds::kubernetes::Collector;
use crds::{QoeCollector, validate};
use kube::ResourceExt;

use super::dereference::{Credentials, Missing};
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

/// Everything checked.
///
/// # Errors
/// What a person has to change.
pub fn validate(
    object: &Collector,
    version: &str,
    credentials: Option<&Credentials>,
    missing: &[Missing],
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
    let external = match spec.clickhouse.kind() {
        Some(ClickHouseKind::External(external)) => external,
        Some(ClickHouseKind::Managed(_)) => {
            return Err(refused(
                "NotYetManaged",
                "spec.clickhouse.managed: this version does not run ClickHouse itself: use spec.clickhouse.external",
            ));
        }
        Some(ClickHouseKind::Embedded(_)) => {
            return Err(refused(
                "NotOnKubernetes",
                "spec.clickhouse.embedded: runs beside `qoe up` on one machine only: use spec.clickhouse.external",
            ));
        }
        None => {
            return Err(refused(
                "Invalid",
                "spec.clickhouse: expected exactly one of managed, external, embedded",
            ));
        }
    };
    if external.endpoints.len() > 1 {
        return Err(refused(
            "NotYetSharded",
            "spec.clickhouse.external.endpoints: this version stores on one server: name only the first",
        ));
    }
    if !missing.is_empty() {
        let lines: Vec<String> =
            missing.iter().map(|missing| format!("{}: {}", missing.path, missing.message)).collect();
        return Err(Refused { reason: "ReferenceNotFound", message: lines.join("; ") });
    }
    let (Some(url), Some(credentials)) = (external.endpoints.first(), credentials) else {
        return Err(refused("Invalid", "spec.clickhouse.external.endpoints: expected at least one address"));
    };
    Ok(Validated {
        name,
        namespace: object.namespace().unwrap_or_default(),
        uid: object.uid().unwrap_or_default(),
        spec: spec.clone(),
        version: version.to_owned(),
        clickhouse: ClickHouseEndpoint {
            url: url.clone(),
            user: credentials.user.clone(),
            database: spec.clickhouse.database.clone(),
            credentials_secret: external.credentials_secret_ref.name.clone(),
            ca_secret: external
                .tls
                .as_ref()
                .and_then(|tls| tls.ca_secret_ref.as_ref())
                .map(|ca| ca.name.clone()),
        },
    })
}

fn refused(reason: &'static str, message: &str) -> Refused {
    Refused { reason, message: message.to_owned() }
}
