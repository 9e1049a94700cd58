//! The Secrets that streams and an external ClickHouse name, from the file's documents into files that only we may
//! read: on one machine they are what volumes of Secrets are in a pod. Must never show a value.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use crds::dpi::Dpi;
use crds::key_values::{KeyValues, ValuesKind, values};
use crds::receiver_of_dpi::SecretFiles;
use crds::stream::ServerTls;

/// Writes the files of all streams with TLS; what is not there is named by stream.
pub fn of_streams(
    data: &Path,
    dpis: &[Dpi],
    documents: &[KeyValues],
) -> anyhow::Result<BTreeMap<u16, SecretFiles>> {
    let mut all = BTreeMap::new();
    for dpi in dpis {
        let directory = data.join("secrets").join(format!("dpi-{}", dpi.id));
        let mut files = SecretFiles {
            tls: directory.join("tls"),
            client_ca: directory.join("client-ca"),
            missing: BTreeMap::new(),
        };
        for stream in &dpi.streams {
            let Some(tls) = &stream.tls else { continue };
            match of_stream(tls, documents) {
                Ok(Found { certificate, key, client_ca }) => {
                    let directory = files.tls.join(stream.name());
                    write(&directory, "tls.crt", &certificate)?;
                    write(&directory, "tls.key", &key)?;
                    if let Some(ca) = client_ca {
                        write(&files.client_ca.join(stream.name()), "ca.crt", &ca)?;
                    }
                }
                Err(reason) => drop(files.missing.insert(stream.name().to_owned(), reason)),
            }
        }
        all.insert(dpi.id, files);
    }
    Ok(all)
}

/// The login at an external ClickHouse, if the file has its Secret: the user and the file with the password.
pub fn of_clickhouse(
    data: &Path,
    secret: &str,
    documents: &[KeyValues],
) -> anyhow::Result<Option<(String, PathBuf)>> {
    let Ok(found) = values(documents, ValuesKind::Secret, secret) else { return Ok(None) };
    let text = |key: &str| {
        let value = found.get(key).with_context(|| format!("Secret {secret} has no key {key}"))?;
        String::from_utf8(value.clone()).with_context(|| format!("Secret {secret}, {key}: not UTF-8"))
    };
    let (user, password) = (text("username")?, text("password")?);
    let path = write(&data.join("secrets").join("clickhouse"), "password", password.trim().as_bytes())?;
    Ok(Some((user.trim().to_owned(), path)))
}

/// The authority of an external ClickHouse in a file.
///
/// # Errors
/// The file of documents does not have it.
pub fn of_authority(data: &Path, secret: &str, documents: &[KeyValues]) -> anyhow::Result<PathBuf> {
    let ca = key(documents, secret, "ca.crt").map_err(anyhow::Error::msg)?;
    write(&data.join("secrets").join("clickhouse"), "ca.crt", &ca)
}

struct Found {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

fn of_stream(tls: &ServerTls, documents: &[KeyValues]) -> Result<Found, String> {
    let own = &tls.certificate_secret_ref.name;
    Ok(Found {
        certificate: key(documents, own, "tls.crt")?,
        key: key(documents, own, "tls.key")?,
        client_ca: match &tls.client_ca_secret_ref {
            Some(reference) => Some(key(documents, &reference.name, "ca.crt")?),
            None => None,
        },
    })
}

fn key(documents: &[KeyValues], secret: &str, key: &str) -> Result<Vec<u8>, String> {
    let mut found = values(documents, ValuesKind::Secret, secret)?;
    found.remove(key).ok_or_else(|| format!("Secret {secret} has no key {key}"))
}

/// Puts a value into a file that nobody else may read, whole or not at all.
fn write(directory: &Path, name: &str, value: &[u8]) -> anyhow::Result<PathBuf> {
    let path = directory.join(name);
    let put = || -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let fresh = path.with_extension("new");
        let _ = fs::remove_file(&fresh);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(value)?;
        fs::rename(fresh, &path)
    };
    put().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_value_is_for_nobody_else() {
        let data = tempfile::tempdir().unwrap();
        let directory = data.path().join("secrets/a");
        let path = write(&directory, "password", b"one").unwrap();
        write(&directory, "password", b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&directory)), (0o600, 0o700));
    }
}
