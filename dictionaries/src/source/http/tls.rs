//! Which certificates are trusted. Where a CA is given the system's certificates are not.

use std::sync::Arc;

use http::Uri;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::FetchError;

pub(super) fn config(url: &Uri, ca: Option<&[u8]>) -> Result<TlsConfig, FetchError> {
    let certificates = match ca {
        Some(pem) => given(url, pem)?,
        None => of_the_system(url)?,
    };
    let roots: Vec<Certificate<'static>> =
        certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    // Named, not the process's: whoever calls need not have installed one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::from(roots))
        .build())
}

fn given(url: &Uri, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FetchError> {
    let wrong = |reason: String| FetchError::Ca { url: url.to_string(), reason };
    // The store only tells whether a certificate can be used: the client would ignore one that cannot.
    let mut store = RootCertStore::empty();
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate.clone()).map_err(|error| wrong(error.to_string()))?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err(wrong("no certificate in it".to_string()));
    }
    Ok(certificates)
}

fn of_the_system(url: &Uri) -> Result<Vec<CertificateDer<'static>>, FetchError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let reason = if reasons.is_empty() { "none were found".to_string() } else { reasons.join(", ") };
        return Err(FetchError::NoSystemCertificates { url: url.to_string(), reason });
    }
    Ok(found.certs)
}
