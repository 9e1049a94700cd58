//! Whether a collector can be built, and if not, why in words. Pure.

use crds::clickhouse::ClickHouseKind;
use crds::kubernetes::Collector;
use crds::{QoeCollector, managed, validate};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
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

/// Everything checked.
///
/// # Errors
/// What a person has to change.
pub fn validate(
    object: &Collector,
    version: &str,
    credentials: Option<&Credentials>,
    missing: &[Missing],
    shards: &Shards,
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
    if let Some(message) = moves_with_less(object, shards) {
        return Err(refused("Invalid", &message));
    }
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
            closed_shards: Vec::new(),
            user,
            database: spec.clickhouse.database.clone(),
            credentials_secret,
            ca_secret,
        },
    })
}

/// Servers that still have to go are emptied by whoever runs them: ours would be gone, those of others out of reach.
fn moves_with_less(object: &Collector, shards: &Shards) -> Option<String> {
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let are_ours = matches!(object.spec.clickhouse.kind(), Some(ClickHouseKind::Managed(_)));
    let mut leaving = shards.leaving();
    let other = leaving.find(|shard| {
        let is_ours =
            shards.urls.get(*shard as usize) == Some(&managed::shard_url(&name, &namespace, *shard));
        is_ours != are_ours
    })?;
    Some(format!(
        "spec.clickhouse: {} servers store rows, and shard {other} of them is not in what is asked for now: go back, reduce the shards to {} there, and then move; or name as many servers",
        shards.in_use, shards.wanted
    ))
}

/// Claims of an earlier life that the servers would not mount: they would start without its rows, and say nothing.
///
/// # Errors
/// Which, and what to do.
pub fn no_volume_is_left_out(
    object: &Collector,
    claims: &[PersistentVolumeClaim],
    shards: u32,
) -> Result<(), Refused> {
    let Some(ClickHouseKind::Managed(managed)) = object.spec.clickhouse.kind() else { return Ok(()) };
    if managed.cold().is_some() {
        return Ok(());
    }
    let name = object.name_any();
    let cold: Vec<String> = (0..shards)
        .map(|shard| format!("{}-{}-0", managed::COLD, managed::server_name(&name, shard)))
        .collect();
    let stays = |claim: &&PersistentVolumeClaim| claim.metadata.deletion_timestamp.is_none();
    let left_out: Vec<String> =
        claims.iter().filter(stays).map(ResourceExt::name_any).filter(|claim| cold.contains(claim)).collect();
    if left_out.is_empty() {
        return Ok(());
    }
    Err(Refused {
        reason: "VolumeLeftOut",
        message: format!(
            "spec.clickhouse.managed.storage.cold: there are claims from an earlier life that may hold rows, {}: ask for cold storage, or delete the claims if the rows may go",
            left_out.join(", ")
        ),
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
