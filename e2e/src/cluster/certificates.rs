//! A certificate authority for one server, made with openssl.

use std::fs;
use std::path::Path;

use super::namespace::run;

/// A certificate, its key, and the authority that signed it, in PEM.
pub(super) struct Certificate {
    pub authority: String,
    pub certificate: String,
    pub key: String,
}

/// Makes a certificate for an address, by an authority made for it alone.
pub(super) fn certificate_for(address: &str) -> Certificate {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30";
    let (authority, authority_key) = (at("ca.crt"), at("ca.key"));
    run("openssl", &format!("{new} -subj /CN=authority -keyout {authority_key} -out {authority}")).unwrap();
    let (certificate, key) = (at("tls.crt"), at("tls.key"));
    run(
        "openssl",
        &format!(
            "{new} -subj /CN=server -CA {authority} -CAkey {authority_key} -keyout {key} -out {certificate} \
             -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:{address}"
        ),
    )
    .unwrap();
    let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap();
    Certificate { authority: read(&authority), certificate: read(&certificate), key: read(&key) }
}
