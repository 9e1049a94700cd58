//! The Secrets of servers that the operator makes: generated once, never overwritten. Whoever edits one changes the
//! password. They are read by name and never listed.

use std::collections::BTreeMap;

use crds::clickhouse::Managed;
use crds::kubernetes::Collector;
use crds::managed::{ADMIN, READER, WRITER, admin_secret, reader_secret, writer_secret};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use uuid::Uuid;

use super::super::build::owner_reference;
use super::super::dereference::{Missing, ReadError, secret};
use super::labels;
use super::resources::{Login, Rights};
use crate::context::Context;

/// Key of the login's name.
const USERNAME: &str = "username";
/// Key of the password.
const PASSWORD: &str = "password";
/// Key of what servers trust each other by, in the administrator's Secret.
const INTERSERVER: &str = "interserver";

/// Who may log in to the servers of a collector, and by what these trust each other. Has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Passwords {
    /// The administrator first, then the writer, the reader, and those of the object.
    pub logins: Vec<Login>,
    /// By what servers trust each other.
    pub interserver: String,
}

/// Makes the Secrets that are not there; returns their names.
///
/// # Errors
/// The API server refuses.
pub async fn make_missing(context: &Context, object: &Collector) -> Result<Vec<String>, ReadError> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let failed = |name: &str, source: kube::Error| ReadError::new(format!("Secret {name}"), source);
    let mut made = Vec::new();
    for (secret, user, is_admin) in [
        (admin_secret(&name), ADMIN, true),
        (writer_secret(&name), WRITER, false),
        (reader_secret(&name), READER, false),
    ] {
        if api.get_metadata_opt(&secret).await.map_err(|error| failed(&secret, error))?.is_some() {
            continue;
        }
        let mut data = BTreeMap::from([(USERNAME, user.to_owned()), (PASSWORD, random())]);
        if is_admin {
            data.insert(INTERSERVER, random());
        }
        let bytes = |(key, text): (&str, String)| (key.to_owned(), ByteString(text.into_bytes()));
        let wanted = Secret {
            metadata: ObjectMeta {
                name: Some(secret.clone()),
                namespace: Some(namespace.clone()),
                labels: Some(labels::shared(&name)),
                owner_references: Some(vec![owner_reference(&name, &object.uid().unwrap_or_default())]),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            data: Some(data.into_iter().map(bytes).collect()),
            ..Secret::default()
        };
        match api.create(&PostParams::default(), &wanted).await {
            Ok(_) => made.push(secret),
            // Somebody was faster: theirs counts.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(failed(&secret, error)),
        }
    }
    Ok(made)
}

/// 244 random bits.
fn random() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Reads all passwords; `None` with an entry in `missing` if a Secret or a key of it is not there.
///
/// # Errors
/// The API server does not answer.
pub async fn read(
    context: &Context,
    namespace: &str,
    name: &str,
    managed: &Managed,
    missing: &mut Vec<Missing>,
) -> Result<Option<Passwords>, ReadError> {
    let path = "spec.clickhouse.managed";
    let before = missing.len();
    let mut logins = Vec::new();
    let mut interserver = String::new();
    for (secret_name, user, rights) in [
        (admin_secret(name), ADMIN, Rights::Admin),
        (writer_secret(name), WRITER, Rights::Writer),
        (reader_secret(name), READER, Rights::Given(crds::clickhouse::Access::ReadOnly)),
    ] {
        let keys: &[&str] = if rights == Rights::Admin { &[PASSWORD, INTERSERVER] } else { &[PASSWORD] };
        let found = secret(context, namespace, &secret_name, path, keys, missing).await?;
        let Some(mut found) = found else { continue };
        logins.push(Login { name: user.to_owned(), password: text(found.remove(PASSWORD)), rights });
        if rights == Rights::Admin {
            interserver = text(found.remove(INTERSERVER));
        }
    }
    for (index, user) in managed.users.iter().enumerate() {
        let path = format!("{path}.users[{index}].passwordSecretRef");
        let reference = &user.password_secret_ref;
        let keys = [reference.key.as_str()];
        let found = secret(context, namespace, &reference.name, &path, &keys, missing).await?;
        let Some(mut found) = found else { continue };
        let password = text(found.remove(&reference.key));
        logins.push(Login { name: user.name.clone(), password, rights: Rights::Given(user.access) });
    }
    if missing.len() > before {
        return Ok(None);
    }
    Ok(Some(Passwords { logins, interserver }))
}

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8(bytes.unwrap_or_default()).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The administrator's password; `None` with an entry in `missing` if it is not there.
///
/// # Errors
/// The API server does not answer.
pub async fn read_admin(
    context: &Context,
    namespace: &str,
    name: &str,
    missing: &mut Vec<Missing>,
) -> Result<Option<Login>, ReadError> {
    let (before, path) = (missing.len(), "spec.clickhouse.managed");
    let found = secret(context, namespace, &admin_secret(name), path, &[PASSWORD], missing).await?;
    let password = found.map(|mut found| text(found.remove(PASSWORD)));
    let login = |password| Login { name: ADMIN.to_owned(), password, rights: Rights::Admin };
    Ok(password.filter(|_| missing.len() == before).map(login))
}

impl Passwords {
    /// The administrator's password.
    pub fn admin(&self) -> Option<&Login> {
        self.logins.iter().find(|login| login.rights == Rights::Admin)
    }
}
